"""Deliberate faults, and whether the tests notice them: `make mutants`.

    python tests/mutants/run.py                     # all of mutants.yaml
    python tests/mutants/run.py --only losses       # with this in a path, or its tests'
    python tests/mutants/run.py --tree ../other     # in another checkout

Each mutant is put into a copy of the tree and its tests run with -x, in a process that
is forked from this one, so that TensorFlow is imported once. First the tests run without
any mutant: they must pass. Exit status 1 if one survives, or no longer applies.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

import yaml

_HERE = pathlib.Path(__file__).resolve().parent
_LIST = _HERE / "mutants.yaml"
_LEFT_OUT = (".git", ".venv*", "__pycache__", "*.egg-info", ".*_cache", "demo", "build")
# What the tests load, as far as it is not ours. Nothing of it may start TensorFlow: a
# forked process could not go on with its threads.
_PRELOADED = (
    "numpy",
    "polars",
    "pytest",
    "tensorflow",
    "tf_keras",
    "tensorflow_recommenders",
)
_PASSED, _FAILED, _STOPPED = 0, 1, 2  # exit statuses of pytest; 2: cannot be imported


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: Where, from the root of the tree.
        replace: The text there, which must be in the file once.
        by: What stands there instead.
        tests: Files of tests, of which one must fail.
    """

    file: str
    replace: str
    by: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        line = self.replace.splitlines()[0]
        return f"{self.file}: {line} -> {self.by.splitlines()[0] if self.by else ''}"

    def applied(self, text: str) -> str:
        """The file's text with the fault.

        Raises:
            ValueError: The text to replace is not there, or more than once; or what
                comes of it is no Python, which every test would notice.
        """
        found = text.count(self.replace)
        if found != 1:
            raise ValueError(
                f"{self.file}: {self.replace!r} must be there once, and is {found} "
                f"times. Bring {_LIST.name} up to date."
            )
        changed = text.replace(self.replace, self.by)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise ValueError(f"{self.file}: the mutant is no Python: {error}") from None
        return changed


def read(path: pathlib.Path = _LIST) -> list[Mutant]:
    """The list's mutants."""
    return [
        Mutant(
            entry["file"],
            entry["replace"].rstrip("\n"),
            entry["by"].rstrip("\n"),
            tuple(entry["tests"]),
        )
        for entry in yaml.safe_load(path.read_text())
    ]


class Copy:
    """A copy of the tree in which mutants come and go, one after the other."""

    def __init__(self, tree: pathlib.Path, folder: pathlib.Path):
        self.root = folder
        shutil.copytree(tree, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))

    def judge(self, mutant: Mutant, timeout_s: float) -> str:
        """`died`, `SURVIVED`, or what is wrong with the entry."""
        path = self.root / mutant.file
        text = path.read_text()
        try:
            path.write_text(mutant.applied(text))
            status = self.run_tests(mutant.tests, timeout_s)
        except (OSError, ValueError) as error:
            return f"DOES NOT APPLY: {error}"
        finally:
            path.write_text(text)
        if status < 0:
            return "died: hung or crashed"
        if status in (_FAILED, _STOPPED):
            return f"died: {self._first_failure()}"
        return "SURVIVED" if status == _PASSED else f"NO TESTS (pytest: {status})"

    def _first_failure(self) -> str:
        """The test that noticed, as pytest names it."""
        log = self.root.with_suffix(".log").read_text(errors="replace")
        found = re.findall(r"^(?:FAILED|ERROR) (\S+)", log, re.MULTILINE)
        return found[0].rpartition("/")[2] if found else "without a failure in the log"

    def run_tests(self, tests: Sequence[str], timeout_s: float) -> int:
        """Pytest's exit status, below 0 for a signal."""
        child = os.fork()
        if not child:
            os._exit(self._pytest(tests))
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def _pytest(self, tests: Sequence[str]) -> int:
        """In the forked process, which does not return from it."""
        os.setsid()  # what a test starts ends with it
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = sys.path[0] = str(self.root)
        log = os.open(self.root.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
        os.ftruncate(log, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        pytest = importlib.import_module("pytest")
        status = int(pytest.main(["-x", "-q", "--rootdir", str(self.root), *tests]))
        sys.stdout.flush()
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the list; the exit status."""
    args = _parse(argv)
    chosen = [m for m in read() if any(args.only in p for p in (m.file, *m.tests))]
    for name in _PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [
            Copy(args.tree, pathlib.Path(folder, f"tree-{index}"))
            for index in range(args.jobs)
        ]
        if not args.unchecked and not _passes(copies[0], chosen, args.timeout_s):
            return 1
        survivors = 0
        for number, (mutant, end) in enumerate(_judged(copies, chosen, args), start=1):
            survivors += not end.startswith("died")
            print(f"{number:3}/{len(chosen)} {mutant}\n    {end}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants died")
    return 1 if survivors else 0


def _passes(copy: Copy, chosen: Sequence[Mutant], timeout_s: float) -> bool:
    """Whether all the tests pass as long as nothing is wrong."""
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    status = copy.run_tests(tests, timeout_s * len(tests))
    if status:
        print(copy.root.with_suffix(".log").read_text()[-3000:])
        print("Without a mutant the tests must pass, and they do not.")
    return status == _PASSED


def _judged(
    copies: Sequence[Copy], chosen: Sequence[Mutant], args: argparse.Namespace
) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with its end, as they come."""
    free = list(copies)

    def judge(mutant: Mutant) -> tuple[Mutant, str]:
        copy = free.pop()
        try:
            return mutant, copy.judge(mutant, args.timeout_s)
        finally:
            free.append(copy)

    with concurrent.futures.ThreadPoolExecutor(len(copies)) as pool:
        for done in concurrent.futures.as_completed(
            [pool.submit(judge, mutant) for mutant in chosen]
        ):
            yield done.result()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--tree", type=pathlib.Path, default=_HERE.parents[1])
    parser.add_argument("--only", default="", metavar="TEXT", help="part of a path")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once")
    parser.add_argument("--timeout_s", type=float, default=900, help="for a mutant")
    parser.add_argument(
        "--unchecked", action="store_true", help="without the run without mutants"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.exit(main())
