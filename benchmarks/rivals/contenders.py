"""The same MMoE in three libraries, each in a process of its own, measured in turns."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator

import rich.console
import rich.table
from measured import machine, ratios, spread

from rivals.environments import PACKAGES
from rivals.mmoe import Sizes, write_data

OURS = "trailrank"
TITLES = {OURS: "Trailrank", "deepctr": "DeepCTR", "rechub": "torch-rechub"}
_LOSS_SPREAD = 0.1  # between the first passes; the libraries start differently


class Contender:
    """A process that trains one library's MMoE when it is told to.

    Attributes:
        name: Key of `TITLES`.
        versions: Package -> version.
        ways: What it said of each way to train, see `rivals.mmoe.Way`.
    """

    def __init__(
        self, name: str, python: str, data: str, sizes: Sizes, few: bool = False
    ):
        self.name = name
        here = str(pathlib.Path(__file__).parent.parent)
        path = [here, os.environ.get("PYTHONPATH", "")] if name == OURS else [here]
        sizes_text = json.dumps(dataclasses.asdict(sizes))
        self._log = pathlib.Path(f"{data}.{name}.log")
        answers, answer = os.pipe()
        module = ["-m", f"rivals.{name}_mmoe"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, *module, data, sizes_text, str(answer), *["few"] * few],
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
        sys.exit(f"{TITLES[self.name]} failed:\n{self._log.read_text()[-3000:]}")


@contextlib.contextmanager
def contenders(
    pythons: dict[str, str],
    sizes: Sizes,
    console: rich.console.Console,
    few: bool = False,
) -> Iterator[list[Contender]]:
    """All of them, started and waiting; each with a `few` of its ways, or with all."""
    started: list[Contender] = []
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/rows.npz"
        write_data(data, sizes)
        try:
            console.print(f"starting {', '.join(TITLES.values())} ...")
            for name, python in pythons.items():
                started.append(Contender(name, python, data, sizes, few))
            for contender in started:
                contender.introduce()
            yield started
        finally:
            for contender in started:
                contender.close()


def check_same(contenders: list[Contender], sizes: Sizes) -> None:
    """That all train the same network, and that it learns."""
    for contender in contenders:
        for way in contender.ways:
            whose = f"{TITLES[contender.name]}, {way['name']}"
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


def compared(
    contenders: list[Contender], rounds: list[dict[str, list[dict[str, float]]]]
) -> dict[str, typing.Any]:
    """Rows a second of each one's fastest ways, and ratios over the rounds."""
    ways = {contender.name: contender.ways for contender in contenders}

    def has(way: dict[str, typing.Any], wanted: dict[str, typing.Any]) -> bool:
        return all(way[key] == value for key, value in wanted.items())

    def fastest(name: str, **wanted) -> tuple[str, list[float]]:
        """Name and rows a second of the way that was fastest, of those wanted."""
        chosen = [
            (way["name"], [turn[name][index]["rows_per_s"] for turn in rounds])
            for index, way in enumerate(ways[name])
            if has(way, wanted)
        ]
        return max(chosen, key=lambda one: statistics.median(one[1]))

    ours = {
        "": fastest(OURS, tables="adam"),
        "_shipped": fastest(OURS, tables="adagrad"),
    }
    kinds: dict[str, dict[str, bool]] = {
        "": {"same": True},
        "_as_documented": {"same": True, "documented": True},
        "_as_it_comes": {"same": False},
    }
    theirs = {
        f"{name}{suffix}": fastest(name, **wanted)
        for name in PACKAGES
        for suffix, wanted in kinds.items()
        if any(has(way, wanted) for way in ways[name])
    }
    all_rates = {**{f"{OURS}{key}": one for key, one in ours.items()}, **theirs}
    return {
        "parameters": ways[OURS][0]["parameters"],
        "ways": {name: way for name, (way, _) in all_rates.items()},
        "rows_per_s": {
            name: round(statistics.median(rates))
            for name, (_, rates) in all_rates.items()
        },
        **{
            f"times_{name}{key}": ratios(own, rates)
            for name, (_, rates) in theirs.items()
            for key, (_, own) in ours.items()
        },
    }


def print_ways(
    title: str,
    sizes: Sizes,
    contenders: list[Contender],
    rounds: list[dict],
    console: rich.console.Console,
) -> None:
    table = rich.table.Table(
        title=f"MMoE, {title}: batch {sizes.batch}, {sizes.parameters:,} parameters",
        caption=machine(),
    )
    for column in ("", "way"):
        table.add_column(column)
    for column in ("loss, 2 passes", "rows/s", "CPU ms a step"):
        table.add_column(column, justify="right")
    for contender in contenders:
        for index, way in enumerate(contender.ways):
            turns = [turn[contender.name][index] for turn in rounds]
            table.add_row(
                TITLES[contender.name],
                way["name"],
                ", ".join(f"{loss:.2f}" for loss in way["losses"]),
                spread([turn["rows_per_s"] for turn in turns], ",.0f"),
                f"{statistics.median(turn['cpu_ms'] for turn in turns):.1f}",
            )
    console.print(table)
