"""Speed of the training step: of every sharing structure, and beside two libraries.

    python benchmarks/structures.py [--quick] [--envs FOLDER] [--python PYTHON]

First the same MMoE is trained by Trailrank, by DeepCTR and by torch-rechub: same layers
and number of parameters, same rows in memory, same batches, Adam with the same rate,
all cores. Each is a process of its own and offers several ways to train (its own loop,
a compiled step, ...); all ways take turns, and the fastest of a rival counts.
Compilation and reading are left out. Neither rival has a shared bottom, and
torch-rechub normalises batches in every layer: the networks are made equal (see
`rivals/`), and each rival is measured as it comes, too.

Then the steps of all structures at equal widths, with more and more tasks. A structure
must not grow faster than its number of tasks: twice as many may take twice as long.

The rivals are installed by pip into environments of their own, once, below `--envs`.
PyPI's torch for Linux brings CUDA along; point pip at CPU wheels (`PIP_FIND_LINKS`,
`PIP_EXTRA_INDEX_URL`) to spare 4 GB. Timings mean something on an idle machine only;
the load is printed beside them.

Prints tables, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Iterator, Sequence

import rich.console
import rich.table
from rivals.environments import PACKAGES, python_of
from rivals.mmoe import Sizes, write_data

if typing.TYPE_CHECKING:
    from feature_specs import ModelConfig

_OURS = "trailrank"
_TITLES = {_OURS: "Trailrank", "deepctr": "DeepCTR", "rechub": "torch-rechub"}
_COLUMNS = 118  # of the tables
_BUDGET = 1.5  # times the rows a second of a rival
_NOISE = 0.05  # of a ratio of step times
_LOSS_SPREAD = 0.1  # between the first passes; the libraries start differently


@dataclasses.dataclass(frozen=True)
class _Effort:
    """How much is measured.

    Attributes:
        rivals: Title -> network that all contenders train.
        rounds: Turns of each way.
        seconds: Of a turn.
        tasks: Numbers of tasks of a structure.
        structures: Their names; none is all.
        turns: Of each structure and number of tasks.
        turn_s: Seconds of a turn.
    """

    rivals: dict[str, Sizes]
    rounds: int
    seconds: float
    tasks: tuple[int, ...]
    structures: tuple[str, ...]
    turns: int
    turn_s: float


_SIZES = Sizes()
_FULL = _Effort(
    rivals={
        "4 tasks": _SIZES,
        "4 tasks, batch 256": dataclasses.replace(_SIZES, batch=256),
        "4 tasks, tables of 100,000": dataclasses.replace(_SIZES, rows=100_000),
        "16 tasks": dataclasses.replace(_SIZES, tasks=16),
    },
    rounds=7,
    seconds=2.0,
    tasks=(4, 16, 32),
    structures=(),
    turns=5,
    turn_s=0.7,
)
_QUICK = _Effort(
    rivals={"4 tasks": dataclasses.replace(_SIZES, batches=32)},
    rounds=3,
    seconds=0.5,
    tasks=(4, 16),
    structures=("mmoe", "ple", "multi_facet"),
    turns=3,
    turn_s=0.3,
)


def main() -> None:
    """Measures, prints tables and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument(
        "--envs",
        type=pathlib.Path,
        default=pathlib.Path(tempfile.gettempdir(), "trailrank-rivals"),
        help="where the rivals' environments are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="interpreter to make them with (default: this one)",
    )
    parser.add_argument(
        "--only", choices=("rivals", "structures"), help="one of both parts"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=_SIZES.threads,
        help="of each contender (default: the machine's %(default)s)",
    )
    args = parser.parse_args()
    effort = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=_COLUMNS)
    load = [os.getloadavg()[0]]
    result: dict[str, typing.Any] = {"benchmark": "structures"}
    if args.only != "structures":
        result |= _measure_rivals(effort, args, console)
    if args.only != "rivals":
        result |= _measure_structures(effort, console)
    load.append(os.getloadavg()[0])
    result |= {
        "machine": _machine(),
        "load_before_and_after": [round(value, 1) for value in load],
        "commit": _commit(),
    }
    print(json.dumps(result))


# --- the same MMoE in three libraries -------------------------------------------------


def _measure_rivals(
    effort: _Effort, args: argparse.Namespace, console: rich.console.Console
) -> dict[str, typing.Any]:
    pythons = {_OURS: sys.executable}
    for name in PACKAGES:
        pythons[name] = python_of(name, args.envs, args.python)
    found: dict[str, typing.Any] = {}
    versions: dict[str, str] = {}
    for title, shape in effort.rivals.items():
        sizes = dataclasses.replace(shape, threads=args.threads)
        with _contenders(pythons, sizes, console) as contenders:
            for contender in contenders:
                versions |= contender.versions
            _check_same(contenders, sizes)
            rounds = [
                {c.name: c.measure(effort.seconds) for c in contenders}
                for _ in range(effort.rounds)
            ]
            _print_ways(title, sizes, contenders, rounds, console)
        found[title] = _compared(contenders, rounds)
    first = next(iter(found.values()))
    met = all(first[f"times_{name}"]["median"] >= _BUDGET for name in PACKAGES)
    return {
        "versions": versions,
        "rounds": effort.rounds,
        "threads": args.threads,
        "mmoe": found,
        "budget": _BUDGET,
        "budget_met": met,
    }


class _Contender:
    """A process that trains one library's MMoE when it is told to.

    Attributes:
        name: See `_TITLES`.
        versions: Package -> version.
        ways: What it said of each way to train, see `rivals.mmoe.Way`.
    """

    def __init__(self, name: str, python: str, data: str, sizes: Sizes):
        self.name = name
        here = str(pathlib.Path(__file__).parent)
        path = [here, os.environ.get("PYTHONPATH", "")] if name == _OURS else [here]
        sizes_text = json.dumps(dataclasses.asdict(sizes))
        self._log = pathlib.Path(f"{data}.{name}.log")
        answers, answer = os.pipe()
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, "-m", f"rivals.{name}_mmoe", data, sizes_text, str(answer)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[answer],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            )
        os.close(answer)
        self._answers = os.fdopen(answers)
        self.versions: dict[str, str] = {}
        self.ways: list[dict[str, typing.Any]] = []

    def introduce(self) -> None:
        """Waits until it has started, and notes what it says of itself."""
        said = self._read()
        self.versions, self.ways = said["versions"], said["ways"]

    def measure(self, seconds: float) -> list[dict[str, float]]:
        """A turn of each way, in their order."""
        return [
            self._ask({"way": i, "seconds": seconds}) for i in range(len(self.ways))
        ]

    def close(self) -> None:
        """Ends the process, as its input ends."""
        self._process.communicate()
        self._answers.close()

    def _ask(self, question: dict[str, float]) -> dict[str, float]:
        assert self._process.stdin is not None  # a pipe
        self._process.stdin.write(f"{json.dumps(question)}\n".encode())
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, typing.Any]:
        line = self._answers.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        sys.exit(f"{_TITLES[self.name]} failed:\n{self._log.read_text()[-3000:]}")


@contextlib.contextmanager
def _contenders(
    pythons: dict[str, str], sizes: Sizes, console: rich.console.Console
) -> Iterator[list[_Contender]]:
    """All of them, started and waiting."""
    started: list[_Contender] = []
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/rows.npz"
        write_data(data, sizes)
        try:
            console.print(f"starting {', '.join(_TITLES.values())} ...")
            for name, python in pythons.items():
                started.append(_Contender(name, python, data, sizes))
            for contender in started:
                contender.introduce()
            yield started
        finally:
            for contender in started:
                contender.close()


def _check_same(contenders: list[_Contender], sizes: Sizes) -> None:
    """That all train the same network, and that it learns."""
    for contender in contenders:
        for way in contender.ways:
            whose = f"{_TITLES[contender.name]}, {way['name']}"
            before, after = way["losses"][0], way["losses"][-1]
            if not after < before:
                sys.exit(f"{whose}: the loss must fall. Got {before}, then {after}.")
            count = way["parameters"] - sum(way["extra"].values())
            if way["same"] and count != sizes.parameters:
                sys.exit(f"{whose}: has {count} parameters, not {sizes.parameters}.")
    same = [
        w for c in contenders for w in c.ways if w["same"] and w["tables"] == "adam"
    ]
    losses = [way["losses"][0] for way in same]
    if max(losses) > min(losses) * (1 + _LOSS_SPREAD):
        sys.exit(f"The same network's losses of a pass differ too much: {losses}")


def _compared(
    contenders: list[_Contender], rounds: list[dict[str, list[dict[str, float]]]]
) -> dict[str, typing.Any]:
    """Rows a second of each one's fastest ways, and ratios over the rounds."""
    ways = {contender.name: contender.ways for contender in contenders}

    def fastest(name: str, **wanted) -> tuple[str, list[float]]:
        """Name and rows a second of the way that was fastest, of those wanted."""
        chosen = [
            (way["name"], [turn[name][index]["rows_per_s"] for turn in rounds])
            for index, way in enumerate(ways[name])
            if all(way[key] == value for key, value in wanted.items())
        ]
        return max(chosen, key=lambda one: statistics.median(one[1]))

    ours = {
        "": fastest(_OURS, tables="adam"),
        "_shipped": fastest(_OURS, tables="adagrad"),
    }
    theirs = {
        f"{name}{suffix}": fastest(name, same=same)
        for name in PACKAGES
        for same, suffix in ((True, ""), (False, "_as_it_comes"))
    }
    all_rates = {**{f"{_OURS}{key}": one for key, one in ours.items()}, **theirs}
    return {
        "parameters": ways[_OURS][0]["parameters"],
        "ways": {name: way for name, (way, _) in all_rates.items()},
        "rows_per_s": {
            name: round(statistics.median(rates))
            for name, (_, rates) in all_rates.items()
        },
        **{
            f"times_{name}{key}": _ratios(own, rates)
            for name, (_, rates) in theirs.items()
            for key, (_, own) in ours.items()
        },
    }


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Of each round: the median, and how far it goes."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "min": round(min(ratios), 2),
        "max": round(max(ratios), 2),
    }


def _print_ways(
    title: str,
    sizes: Sizes,
    contenders: list[_Contender],
    rounds: list[dict],
    console: rich.console.Console,
) -> None:
    table = rich.table.Table(
        title=f"MMoE, {title}: batch {sizes.batch}, {sizes.parameters:,} parameters",
        caption=_machine(),
    )
    for column in ("", "way"):
        table.add_column(column)
    for column in ("loss, 2 passes", "rows/s", "CPU ms a step"):
        table.add_column(column, justify="right")
    for contender in contenders:
        for index, way in enumerate(contender.ways):
            turns = [turn[contender.name][index] for turn in rounds]
            table.add_row(
                _TITLES[contender.name],
                way["name"],
                ", ".join(f"{loss:.2f}" for loss in way["losses"]),
                _spread([turn["rows_per_s"] for turn in turns], ",.0f"),
                f"{statistics.median(turn['cpu_ms'] for turn in turns):.1f}",
            )
    console.print(table)


# --- all structures -------------------------------------------------------------------


def _measure_structures(
    effort: _Effort, console: rich.console.Console
) -> dict[str, typing.Any]:
    found: dict[str, dict[str, typing.Any]] = {}
    configs = _structures()
    for name in effort.structures or configs:
        console.print(f"{name} ...")
        found[name] = _growth(configs[name], effort)
    _print_structures(found, effort.tasks, console)
    most = [
        ratio["median"] / (more / fewer)
        for one in found.values()
        for (fewer, more), ratio in zip(
            _steps_of(effort.tasks), one["growth"].values(), strict=True
        )
    ]
    return {
        "structures": found,
        "growth_to_linear_at_most": round(max(most), 2),
        "at_most_linear": max(most) <= 1 + _NOISE,
    }


def _structures() -> dict[str, ModelConfig]:
    """Every switcher, flat, and every way to nest them, with layers of equal widths."""
    from rivals.trailrank_mmoe import GROUP, GROUP_FEATURE

    from feature_specs import ModelConfig
    from feature_specs.model import (
        TASK_FACET,
        BiasConfig,
        StructureConfig,
        SwitcherConfig,
        SwitcherKind,
    )

    def switcher(kind) -> SwitcherConfig:
        return SwitcherConfig(kind=kind, units=(32,), experts=4)

    shape = ModelConfig(switcher=switcher("ple"), bottom=(128,), tower=(32,))
    found = {
        kind: dataclasses.replace(shape, switcher=switcher(kind))
        for kind in typing.get_args(SwitcherKind)
    }
    nested = StructureConfig(
        facets=(TASK_FACET, GROUP),
        levels=(switcher("ple"), switcher("cgc")),
        node=(32,),
    )
    for name, structure in {
        "single": StructureConfig(kind="single"),
        "flat, split by group": StructureConfig(facets=(GROUP,)),
        "hierarchical": dataclasses.replace(nested, kind="hierarchical"),
        "multi_facet": dataclasses.replace(nested, kind="multi_facet"),
    }.items():
        found[name] = dataclasses.replace(shape, structure=structure)
    bias = BiasConfig(features=(GROUP_FEATURE,))
    found["biasnet"] = dataclasses.replace(shape, bias=bias)
    return found


def _growth(config: ModelConfig, effort: _Effort) -> dict[str, typing.Any]:
    """One structure's steps with each number of tasks, in turns."""
    runs = {tasks: _Run(config, tasks) for tasks in effort.tasks}
    turns: dict[int, list[_Step]] = {tasks: [] for tasks in runs}
    for turn in range(1 + effort.turns):
        for tasks, run in runs.items():
            step = run.step(effort.turn_s)
            if turn:  # the first one is slower
                turns[tasks].append(step)
    wall = {tasks: [step.ms for step in steps] for tasks, steps in turns.items()}
    cpu = {tasks: [step.cpu_ms for step in steps] for tasks, steps in turns.items()}
    return {
        "step_ms": {t: round(statistics.median(ms), 2) for t, ms in wall.items()},
        "step_cpu_ms": {t: round(statistics.median(ms), 2) for t, ms in cpu.items()},
        "first_step_s": {t: round(run.first_step_s, 1) for t, run in runs.items()},
        "parameters": {t: run.parameters for t, run in runs.items()},
        "growth": {
            f"{more}/{fewer}": _ratios(wall[more], wall[fewer])
            for fewer, more in _steps_of(effort.tasks)
        },
        "growth_cpu": {
            f"{more}/{fewer}": _ratios(cpu[more], cpu[fewer])
            for fewer, more in _steps_of(effort.tasks)
        },
    }


def _steps_of(tasks: Sequence[int]) -> list[tuple[int, int]]:
    """Each number of tasks and the next."""
    return list(itertools.pairwise(tasks))


class _Step(typing.NamedTuple):
    """Means of some steps: milliseconds by the clock, and of processor."""

    ms: float
    cpu_ms: float


class _Run:
    """A ranker of some tasks and its compiled step.

    Attributes:
        first_step_s: Seconds of the first step, most of them for its graph.
        parameters: Without the tables, which are the same for all structures.
    """

    def __init__(self, config: ModelConfig, tasks: int):
        import tensorflow as tf
        from rivals import mmoe, trailrank_mmoe

        sizes = dataclasses.replace(_SIZES, tasks=tasks, batches=4)
        spec = trailrank_mmoe.spec_of(sizes, grouped=True)
        ranker = trailrank_mmoe.ranker_of(spec, config)
        with tempfile.TemporaryDirectory() as folder:
            write_data(f"{folder}/rows.npz", sizes)
            data = mmoe.Data(f"{folder}/rows.npz", sizes)
        self._batches = trailrank_mmoe.batches(data, grouped=True)
        self._step = tf.function(ranker.train_step, autograph=False)
        self.parameters = trailrank_mmoe.parameters(ranker.dense_variables)
        began = time.perf_counter()
        self._take(0)
        self.first_step_s = time.perf_counter() - began

    def step(self, seconds: float) -> _Step:
        """Steps for some seconds, three at least."""
        steps, began, busy = 0, time.perf_counter(), time.process_time()
        while steps < 3 or time.perf_counter() - began < seconds:
            self._take(steps)
            steps += 1
        took, worked = time.perf_counter() - began, time.process_time() - busy
        return _Step(took / steps * 1e3, worked / steps * 1e3)

    def _take(self, index: int) -> None:
        batch = self._batches[index % len(self._batches)]
        loss = float(self._step(batch)["loss"])
        if not math.isfinite(loss):
            sys.exit(f"The loss must be a number. Got {loss}.")


def _print_structures(
    found: dict[str, dict[str, typing.Any]],
    tasks: Sequence[int],
    console: rich.console.Console,
) -> None:
    steps = _steps_of(tasks)
    linear = [f"{more / fewer:g} for {more}/{fewer}" for fewer, more in steps]
    table = rich.table.Table(
        title=f"Structures, batch {_SIZES.batch}: ms a step by tasks",
        caption=f"{_machine()}; linear growth: {', '.join(linear)}",
    )
    table.add_column("")
    columns = [f"{count} tasks" for count in tasks]
    columns += [f"{more}/{fewer}" for fewer, more in steps]
    for column in (*columns, f"parameters, {tasks[-1]}", "1st step, s"):
        table.add_column(column, justify="right")
    for name, one in found.items():
        table.add_row(
            name,
            *(f"{one['step_ms'][count]:.1f}" for count in tasks),
            *(_range(ratio) for ratio in one["growth"].values()),
            f"{one['parameters'][tasks[-1]]:,}",
            f"{one['first_step_s'][tasks[-1]]:.0f}",
        )
    console.print(table)


def _range(ratio: dict[str, float]) -> str:
    return f"{ratio['median']} ({ratio['min']}-{ratio['max']})"


# --- common ---------------------------------------------------------------------------


def _spread(values: list[float], form: str) -> str:
    """ "2.1 (2.0-2.4)": the median and the range."""
    middle = f"{statistics.median(values):{form}}"
    return f"{middle} ({min(values):{form}}-{max(values):{form}})"


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    here = pathlib.Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
