"""Trainings side by side, each in a process of its own.

    for trial, outcome in side_by_side(comparison, trials, out, begin, workers=4):
        ...

One process, the foreman, loads TensorFlow and starts nothing with it; each training is
forked from there, which takes no time, and ends with its process: what kills one loses
no other. Each has the same pools of threads as one in the process that asks, so that
its figures are the same, digit for digit.

Where the asking process goes away, however it does, the foreman notices by its stdin
and ends the trainings; after SIGTERM they have a checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, NoReturn

from pipeline.compare.errors import CompareError
from pipeline.quiet import quiet_imports
from tpu_configs import SliceConfig

if TYPE_CHECKING:
    from pipeline.compare.comparison import Comparison
    from pipeline.compare.trials import Result, Trial

_BUSY_CORES = 2  # of a training: one computes, one reads rows ahead of it
_GRACE_S = 1.0  # for a checkpoint; a stopped command has 1.5 s in all
_POLL_S = 0.05
_LAST_LINES = 15  # that a dead training wrote, in a message
_FOREMAN = "import sys; sys.path[:] = {!r}; from {} import work; work()"


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a foreman is asked for: `threads` are TensorFlow's, inside and between."""

    comparison: Comparison
    trials: tuple[Trial, ...]
    out: pathlib.Path
    workers: int
    threads: tuple[int, int]


def choose_workers(asked: int | None, slice: SliceConfig) -> int:
    """How many trainings go on at once.

    Args:
        asked: So many; None for as many as the cores that this process may use allow,
            each with two.
        slice: What a training runs on.

    Raises:
        CompareError: Several on an accelerator, which processes cannot share.
    """
    alone = slice.accelerator != "cpu" or slice.hosts > 1
    if asked is None:
        cores = len(os.sched_getaffinity(0))
        return 1 if alone else max(1, cores // _BUSY_CORES)
    if alone and asked > 1:
        raise CompareError(
            f"--workers {asked}: must be 1 on slice {slice.name!r}, whose accelerator "
            "one process takes for itself. Leave it out."
        )
    return asked


def check_workers(asked: int | None) -> None:
    """CompareError for no number of workers."""
    if asked is not None and asked < 1:
        raise CompareError(f"--workers: must be at least 1, got {asked}")


def side_by_side(
    comparison: Comparison,
    trials: Sequence[Trial],
    out: pathlib.Path,
    begin: Callable[[Trial], None],
    workers: int,
) -> Generator[tuple[Trial, Result | str], None, None]:
    """Each trial with its result, or why there is none, as they end.

    Args:
        comparison: What the trials are of.
        trials: No two of one key.
        out: See `trials.run_trials`.
        begin: Is called with each trial as it begins.
        workers: So many at once.

    Raises:
        CompareError: The processes are gone.
    """
    import tensorflow as tf

    threading = tf.config.threading
    job = _Job(
        comparison=comparison,
        trials=tuple(trials),
        out=out,
        workers=workers,
        threads=(
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        ),
    )
    left = len(trials)
    with _foreman(job) as told:
        while left:
            number, outcome = told()
            if outcome is None:
                begin(trials[number])
            else:
                left -= 1
                yield trials[number], outcome


@contextlib.contextmanager
def _foreman(job: _Job) -> Iterator[Callable[[], tuple[int, Any]]]:
    """Gives what tells the next event: a trial's number, and None as it begins."""
    code = _FOREMAN.format([os.path.abspath(place) for place in sys.path], __name__)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the command alone
        )
        assert process.stdin and process.stdout

        def told() -> tuple[int, Any]:
            try:
                event: tuple[int, Any] = pickle.load(process.stdout)  # type: ignore[arg-type]
            except EOFError:
                errors.seek(0)
                raise CompareError(
                    f"--workers {job.workers}: the process that starts trainings is "
                    f"gone.\n{_last_lines(errors.read())}\nThe same command goes on; "
                    "--workers 1 needs no such process."
                ) from None
            return event

        try:
            with contextlib.suppress(BrokenPipeError):  # `told` says why
                pickle.dump(job, process.stdin)
                process.stdin.flush()
            yield told
        finally:
            _dismiss(process)


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    """Has the foreman end its trainings, if any goes on, and itself."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()  # type: ignore[union-attr]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S + 10 * _POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whom a killed foreman has left
    process.wait()
    process.stdout.close()  # type: ignore[union-attr]


# --- the foreman's process ------------------------------------------------------------


def work() -> None:
    """Of the foreman: reads a job from stdin, and tells on stdout how it goes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    job: _Job = pickle.load(sys.stdin.buffer)
    with quiet_imports():
        from pipeline.compare import trials  # noqa: F401
    with tempfile.TemporaryDirectory() as folder:
        _oversee(job, pathlib.Path(folder), answers)


def _oversee(job: _Job, folder: pathlib.Path, answers: IO[bytes]) -> None:
    """Keeps `workers` trainings going until all have ended, or nobody listens."""

    def tell(number: int, outcome: Result | str | None) -> None:
        pickle.dump((number, outcome), answers)
        answers.flush()

    waiting = list(range(len(job.trials)))
    running: dict[int, int] = {}  # process -> number of its trial
    while waiting or running:
        if waiting and len(running) < job.workers:
            number = waiting.pop(0)
            tell(number, None)
            running[_fork(job, number, folder)] = number
            continue
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            tell(running[pid], _outcome(folder, running[pid], status))
            del running[pid]
        elif select.select([0], [], [], _POLL_S)[0]:  # its end: nobody is there
            _end(set(running))
            return


def _fork(job: _Job, number: int, folder: pathlib.Path) -> int:
    """Starts a training; returns its process."""
    pid = os.fork()
    if not pid:
        _train(job, number, folder)
    return pid


def _train(job: _Job, number: int, folder: pathlib.Path) -> NoReturn:
    """Of a training's process: leaves its outcome in a file."""
    import traceback

    status = 1
    try:
        written = os.O_WRONLY | os.O_CREAT
        errors = os.open(folder / f"{number}.err", written)
        for stream in (1, 2):
            os.dup2(errors, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import tensorflow as tf

        from pipeline.compare.trials import attempt

        tf.config.threading.set_intra_op_parallelism_threads(job.threads[0])
        tf.config.threading.set_inter_op_parallelism_threads(job.threads[1])
        outcome = attempt(job.comparison, job.trials[number], job.out)
        (folder / f"{number}.out").write_bytes(pickle.dumps(outcome))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _outcome(folder: pathlib.Path, number: int, status: int) -> Result | str:
    """What an ended process has left, or what became of it."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        outcome: Result | str = pickle.loads((folder / f"{number}.out").read_bytes())
        return outcome
    errors = folder / f"{number}.err"
    lines = _last_lines(errors.read_bytes()) if errors.exists() else ""
    if code < 0:
        return (
            f"Its process was ended by {signal.Signals(-code).name}. Where memory was "
            f"short, fewer --workers need less.\n{lines}".strip()
        )
    return lines or f"Its process ended with status {code}."


def _last_lines(text: bytes) -> str:
    return "\n".join(text.decode(errors="replace").splitlines()[-_LAST_LINES:])


def _end(pids: set[int]) -> None:
    """Ends trainings; those that take a checkpoint get a moment for it."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    while pids and time.monotonic() < until:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        pids.discard(pid)
        if not pid:
            time.sleep(_POLL_S)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
