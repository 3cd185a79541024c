"""One MMoE for all contenders of `benchmarks/training.py`: sizes, data and timing.

    python -m rivals.deepctr_mmoe DATA.npz '{"tasks": 4}' 1 [few]

A contender is a process of its own, mostly with a Python environment of its own, so
that this module needs NumPy only. It says what it has to offer (`Way`) and then times
the ways it is asked for, one line of JSON each way. Its answers go to the file
descriptor of the last argument, as libraries print to standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_PASSES = 2  # over all batches, to see that the loss falls; they compile the step, too


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Shape of the network, its data and its training.

    Attributes:
        ids: Id features, each with a table.
        rows: Of each table.
        dim: Columns of each table.
        numbers: Features that are numbers.
        tasks: Binary tasks.
        bottom: Width of the layer that all experts and gates read.
        experts: Their number, each one layer.
        units: Width of an expert.
        tower: Width of the hidden layer of a task's tower.
        batch: Rows of a step.
        batches: Different ones, in memory.
        rate: Adam's learning rate.
        threads: Of an operation; all cores by default.
    """

    ids: int = 8
    rows: int = 10_000
    dim: int = 16
    numbers: int = 8
    tasks: int = 4
    bottom: int = 128
    experts: int = 8
    units: int = 64
    tower: int = 32
    batch: int = 1024
    batches: int = 64
    rate: float = 1e-3
    threads: int = os.cpu_count() or 1

    @property
    def inputs(self) -> int:
        """Width of what the bottom reads."""
        return self.ids * self.dim + self.numbers

    @property
    def parameters(self) -> int:
        """Of the network: tables, bottom, experts, gates, towers, heads."""
        tables = self.ids * self.rows * self.dim
        bottom = (self.inputs + 1) * self.bottom
        experts = (self.bottom + 1) * self.experts * self.units
        gates = self.bottom * self.tasks * self.experts
        towers = self.tasks * (self.units + 1) * self.tower
        heads = self.tasks * (self.tower + 1)
        return tables + bottom + experts + gates + towers + heads


Taken = tuple[int, Any]  # steps, and their mean loss as something `float` takes


@dataclasses.dataclass
class Way:
    """One way to train a contender.

    Attributes:
        name: For people.
        parameters: Trainable ones.
        train: Takes steps over batch after batch without end. Yields how many it took,
            all batches' at most, and their mean loss, summed over the tasks.
        extra: Parameters that the network of `Sizes` does not have, by what they are.
        same: Whether it computes what the others compute, `extra` apart.
        tables: What moves the tables: `adam`, as everything else, or another one.
        documented: Whether the library's documentation shows it, for its users to copy.
    """

    name: str
    parameters: int
    train: Iterator[Taken]
    extra: dict[str, int] = dataclasses.field(default_factory=dict)
    same: bool = True
    tables: str = "adam"
    documented: bool = False


class Data:
    """Rows in memory, the same for every contender.

    Attributes:
        ids: int32 [rows, ids], from 1.
        numbers: float32 [rows, numbers].
        labels: float32 [rows, tasks].
    """

    def __init__(self, path: str, sizes: Sizes):
        with np.load(path) as file:
            self.ids, self.numbers = file["ids"], file["numbers"]
            self.labels = file["labels"]
        self.path, self.sizes = path, sizes

    def batches(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """ids, numbers and labels of each batch."""
        size = self.sizes.batch
        return [
            (
                self.ids[i : i + size],
                self.numbers[i : i + size],
                self.labels[i : i + size],
            )
            for i in range(0, len(self.ids), size)
        ]


def write_data(path: str, sizes: Sizes, seed: int = 0) -> None:
    """Rows whose labels follow from their ids and numbers, up to chance."""
    draw = np.random.default_rng(seed)
    rows = sizes.batch * sizes.batches
    ids = draw.integers(1, sizes.rows, (rows, sizes.ids), dtype=np.int32)
    numbers = draw.normal(size=(rows, sizes.numbers)).astype(np.float32)
    logits = numbers @ draw.normal(size=(sizes.numbers, sizes.tasks)) * 0.5
    for feature in range(sizes.ids):
        logits += (draw.normal(size=(sizes.rows, sizes.tasks)) * 0.4)[ids[:, feature]]
    labels = draw.random(logits.shape) < 1 / (1 + np.exp(-logits))
    np.savez(path, ids=ids, numbers=numbers, labels=labels.astype(np.float32))


def serve(
    create: Callable[[Data, bool], list[Way]], versions: Callable[[], dict]
) -> None:
    """Says what there is, then times ways until the input ends.

    Args:
        create: Makes the ways; told `few`, only those that matter most.
        versions: Of the packages.
    """
    path, sizes = sys.argv[1], Sizes(**json.loads(sys.argv[2]))
    answers = os.fdopen(int(sys.argv[3]), "w")
    ways = create(Data(path, sizes), "few" in sys.argv[4:])
    facts = [_facts(way, sizes.batches) for way in ways]
    said = {"versions": versions(), "ways": facts}
    print(json.dumps(said), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        found = timed(ways[asked["way"]].train, asked["seconds"], sizes.batch)
        print(json.dumps(found), file=answers, flush=True)


def _facts(way: Way, batches: int) -> dict[str, Any]:
    """What a way is, and its mean loss in each of the first passes."""
    losses = [_pass(way.train, batches) for _ in range(_PASSES)]
    fields = {key: value for key, value in vars(way).items() if key != "train"}
    return {**fields, "losses": losses}


def _pass(train: Iterator[Taken], batches: int) -> float:
    """Mean loss of one pass over all batches."""
    taken, total = 0, 0.0
    while taken < batches:
        steps, loss = next(train)
        taken, total = taken + steps, total + steps * float(loss)
    return total / taken


def timed(train: Iterator[Taken], seconds: float, batch: int) -> dict[str, float]:
    """Steps for some seconds: rows a second, and processor time of a step."""
    float(next(train)[1])
    taken, began, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        steps, loss = next(train)
        taken += steps
    float(loss)  # waits until the last step is done
    took = time.perf_counter() - began
    return {
        "rows_per_s": taken * batch / took,
        "cpu_ms": (time.process_time() - busy) / taken * 1e3,
    }
