"""Speed of the training step of every sharing structure.

    python benchmarks/structures.py [--quick]

The steps of all structures at equal widths, with more and more tasks, on rows in
memory. A structure must not grow faster than its number of tasks: twice as many may
take twice as long. Timings mean something on an idle machine only; the load is printed
beside them. How fast the MMoE is beside DeepCTR and torch-rechub says
`benchmarks/training.py --only rivals`.

Prints a table, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
import typing
from collections.abc import Sequence

import rich.console
import rich.table
from measured import COLUMNS, commit, machine, ratio_text, ratios
from rivals.mmoe import Sizes, write_data

if typing.TYPE_CHECKING:
    from feature_specs import ModelConfig

_NOISE = 0.05  # of a ratio of step times


@dataclasses.dataclass(frozen=True)
class _Effort:
    """How much is measured.

    Attributes:
        tasks: Numbers of tasks of a structure.
        structures: Their names; none is all.
        turns: Of each structure and number of tasks.
        turn_s: Seconds of a turn.
    """

    tasks: tuple[int, ...]
    structures: tuple[str, ...]
    turns: int
    turn_s: float


_SIZES = Sizes()
_FULL = _Effort(tasks=(4, 16, 32), structures=(), turns=5, turn_s=0.7)
_QUICK = _Effort(
    tasks=(4, 16), structures=("mmoe", "ple", "multi_facet"), turns=3, turn_s=0.3
)


def main() -> None:
    """Measures, prints a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything")
    args = parser.parse_args()
    load = [os.getloadavg()[0]]
    found = _measure_structures(
        _QUICK if args.quick else _FULL, rich.console.Console(width=COLUMNS)
    )
    load.append(os.getloadavg()[0])
    result = {
        "benchmark": "structures",
        **found,
        "machine": machine(),
        "load_before_and_after": [round(value, 1) for value in load],
        "commit": commit(),
    }
    print(json.dumps(result))


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
    )
    from feature_specs.preset_kinds import SWITCHER_KINDS

    def switcher(kind) -> SwitcherConfig:
        return SwitcherConfig(kind=kind, units=(32,), experts=4)

    shape = ModelConfig(switcher=switcher("ple"), bottom=(128,), tower=(32,))
    found = {
        kind: dataclasses.replace(shape, switcher=switcher(kind))
        for kind in SWITCHER_KINDS
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
            f"{more}/{fewer}": ratios(wall[more], wall[fewer])
            for fewer, more in _steps_of(effort.tasks)
        },
        "growth_cpu": {
            f"{more}/{fewer}": ratios(cpu[more], cpu[fewer])
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
        caption=f"{machine()}; linear growth: {', '.join(linear)}",
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
            *(ratio_text(ratio) for ratio in one["growth"].values()),
            f"{one['parameters'][tasks[-1]]:,}",
            f"{one['first_step_s'][tasks[-1]]:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
