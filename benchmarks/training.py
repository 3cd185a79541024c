"""Speed of training: from disk, beside two libraries, and with size.

    python benchmarks/training.py [--quick] [--work DIR] [--envs DIR] [--python PYTHON]

1. The shipped preset on simulated KuaiRand examples: the day loop's steps on rows in
   memory, from files (unzipped and parsed in every pass), and from a cache of packed
   days (`trailrank train --cache`), once it is filled.
2. The same MMoE in Trailrank, DeepCTR and torch-rechub: same layers and number of
   parameters, same rows in memory, same batches, Adam with the same rate, all cores.
   Each is a process of its own and offers several ways to train: as its documentation
   shows it, by its own loop, by a compiled step, with several steps a call. The
   fastest of a rival counts; the documented one is reported beside it. Neither rival
   has a shared bottom, and torch-rechub normalises batches in every layer: the networks
   are made equal (see `rivals/`), and each rival is measured as it comes, too.
3. Rows a second with more tasks, more experts, larger tables, other batches.

In each part all contenders take turns, so that what else the machine does hits all of
them; ratios are of turns beside each other. Compilation is left out. Timings mean
something on an idle machine only; the load is printed beside them.

The rivals are installed by pip into environments of their own, once, below `--envs`.
PyPI's torch for Linux brings CUDA along; point pip at CPU wheels (`PIP_FIND_LINKS`,
`PIP_EXTRA_INDEX_URL`) to spare 4 GB. `--work` keeps the simulated examples.

Prints tables, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import time
import typing
from collections.abc import Iterator

import rich.console
import rich.table
from measured import COLUMNS, commit, machine, ratio_text, ratios, spread
from rivals.contenders import OURS, check_same, compared, contenders, print_ways
from rivals.environments import PACKAGES, python_of
from rivals.mmoe import Data, Sizes, timed, write_data

if typing.TYPE_CHECKING:
    import simulated
    import tensorflow as tf

    from trainer.days.training import Training
    from trainer.model.ranker import Batch

_FASTER = 1.5  # budget: times the rows a second of a rival
_FROM_DISK = 0.9  # budget: of the rows a second on data in memory
_PARTS = ("input", "rivals", "sizes")
_SIZES = Sizes()
Turns = dict[str, list[dict[str, float]]]  # contender -> what `_Source.turn` gives


@dataclasses.dataclass(frozen=True)
class _Effort:
    """How much is measured.

    Attributes:
        users: Of the simulated log.
        rows: Of a pass, at least; the log's days are read several times for it.
        rivals: Title -> network that all contenders train.
        sizes: What grows -> networks.
        rounds: Turns of everything.
        seconds: Of a turn, where it is no pass.
    """

    users: int
    rows: int
    rivals: dict[str, Sizes]
    sizes: dict[str, list[Sizes]]
    rounds: int
    seconds: float


def _grown(**values: tuple[int, ...]) -> dict[str, list[Sizes]]:
    """Each size by itself, the others as they are."""
    base = dataclasses.replace(_SIZES, batches=16)
    return {
        key: [dataclasses.replace(base, **{key: one}) for one in own]
        for key, own in values.items()
    }


_FULL = _Effort(
    users=200,
    rows=100_000,
    rivals={
        "4 tasks": _SIZES,
        "4 tasks, batch 256": dataclasses.replace(_SIZES, batch=256),
        "4 tasks, tables of 100,000": dataclasses.replace(_SIZES, rows=100_000),
        "16 tasks": dataclasses.replace(_SIZES, tasks=16),
    },
    sizes=_grown(
        tasks=(1, 4, 16, 64),
        experts=(2, 8, 32),
        rows=(1_000, 10_000, 100_000, 1_000_000),
        batch=(64, 256, 1024, 4096),
    ),
    rounds=7,
    seconds=2.0,
)
_QUICK = _Effort(
    users=40,
    rows=20_000,
    rivals={"4 tasks": dataclasses.replace(_SIZES, batches=16)},
    sizes=_grown(tasks=(4, 16), rows=(10_000, 100_000), batch=(256, 1024)),
    rounds=3,
    seconds=0.5,
)


def main() -> None:
    """Measures, prints tables and the ratios."""
    args = _arguments()
    effort = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=COLUMNS)
    load = [os.getloadavg()[0]]
    result: dict[str, typing.Any] = {"benchmark": "training", "rounds": effort.rounds}
    measures = (_measure_input, _measure_rivals, _measure_sizes)
    for part, measure in zip(_PARTS, measures, strict=True):
        if args.only in (None, part):
            result[part] = measure(effort, args, console)
    load.append(os.getloadavg()[0])
    result |= {
        "machine": machine(),
        "load_before_and_after": [round(value, 1) for value in load],
        "commit": commit(),
    }
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="less of everything")
    add("--only", choices=_PARTS, help="one of the parts")
    add("--work", metavar="DIR", help="keeps the simulated examples for another run")
    add(
        "--envs",
        type=pathlib.Path,
        default=pathlib.Path(tempfile.gettempdir(), "trailrank-rivals"),
        help="where the rivals' environments are kept (default: %(default)s)",
    )
    add(
        "--python",
        default=sys.executable,
        help="interpreter to make them with (default: this one)",
    )
    add(
        "--threads",
        type=int,
        default=_SIZES.threads,
        help="of each library (default: the machine's %(default)s)",
    )
    return parser.parse_args()


# --- from disk ------------------------------------------------------------------------


class _Memory:
    """A reader whose batches were read before, in one order for all passes."""

    def __init__(self, batches: list[Batch]):
        import tensorflow as tf

        self._stacked = tf.nest.map_structure(lambda *b: tf.stack(b), *batches)

    def batches(self, files, *, seed, skip, share) -> tf.data.Dataset:
        import tensorflow as tf

        from trainer.days.input import not_tuned

        dataset = tf.data.Dataset.from_tensor_slices(self._stacked)
        return not_tuned(dataset.skip(skip).prefetch(4))


class _Source(typing.NamedTuple):
    """Where the batches of one training come from: a reader that it is given."""

    name: str
    reader: typing.Any

    def turn(self, training: Training, files: list[str], epoch: int) -> dict:
        """One pass: rows a second, and processor time of a row."""
        from trainer.days.means import ROWS

        training.reader = self.reader
        began, busy = time.perf_counter(), time.process_time()
        rows = sum(t[:, ROWS].sum() for t in training.epoch("day", files, epoch))
        took, worked = time.perf_counter() - began, time.process_time() - busy
        return {"rows_per_s": float(rows / took), "cpu_us": float(worked / rows * 1e6)}


def _measure_input(effort: _Effort, args, console) -> dict[str, typing.Any]:
    import simulated

    from feature_specs import load_spec

    spec = load_spec("kuairand")
    shape = simulated.Shape(users=effort.users, days=3, rows_per_user_day=160)
    console.print("simulating a log and making its examples ...")
    with simulated.work_folder(args.work) as work:
        log = simulated.make_log(work, spec, shape, seed=0)
        files = _files(log, effort.rows)
        with tempfile.TemporaryDirectory(dir=work) as cache:
            training, sources, packing = _sources(log, files, cache)
            turns = _pass_by_turns(training, sources, files, effort.rounds)
        return _told_input(training, turns, packing, console)


def _files(log: simulated.Log, rows: int) -> list[str]:
    """Those of the training days, again and again."""
    from trainer.days.input import count_labels, match_files
    from trainer.days.layout import Layout

    own = [file for name, globs in log.days for file in match_files(name, globs)]
    seen = max(count_labels(Layout(log.spec, log.graph), own).rows.values())
    return own * max(1, round(rows / seen))


def _sources(
    log: simulated.Log, files: list[str], cache: str
) -> tuple[Training, list[_Source], dict[str, float]]:
    """A training of the shipped preset, and what it may read from."""
    import tensorflow as tf

    from feature_specs import load_preset
    from tpu_configs import load_slice
    from trainer.days.input import BatchReader
    from trainer.days.layout import Layout
    from trainer.days.packed import DayCache
    from trainer.days.training import Training

    slice_, strategy = load_slice("cpu"), tf.distribute.get_strategy()
    training = Training(
        log.spec,
        load_preset("mmoe"),
        slice_,
        strategy,
        seed=0,
        first_files=files,
        graph=log.graph,
    )
    plain = training.reader
    layout = Layout(log.spec, log.graph)
    days = DayCache(cache, layout)
    cached = BatchReader(layout, slice_.batch_size, cache=days)
    began = time.perf_counter()
    cached.batches(files, seed=0)  # packs
    took = time.perf_counter() - began
    memory = _Memory(list(plain.batches(files, seed=0)))
    packed = sum(file.stat().st_size for file in pathlib.Path(cache).glob("*.rows"))
    on_disk = sum(pathlib.Path(file).stat().st_size for file in files)
    sources = [
        _Source("memory", memory),
        _Source("files", plain),
        _Source("cache", cached),
    ]
    facts = {"packing_s": round(took, 2), "bytes_to_files": round(packed / on_disk, 2)}
    return training, sources, facts


def _pass_by_turns(training, sources, files, rounds: int) -> Turns:
    turns: Turns = {source.name: [] for source in sources}
    for epoch in range(1 + rounds):
        for source in sources:
            turn = source.turn(training, files, epoch)
            if epoch:  # the first one compiles
                turns[source.name].append(turn)
    return turns


def _told_input(training, turns: Turns, facts, console) -> dict[str, typing.Any]:
    rates = {name: [turn["rows_per_s"] for turn in own] for name, own in turns.items()}
    found = {name: ratios(own, rates["memory"]) for name, own in rates.items()}
    table = rich.table.Table(
        title=f"Shipped preset, simulated kuairand, batch {training.reader.batch_size}",
        caption=f"{machine()}; budget: {_FROM_DISK} of memory",
    )
    table.add_column("rows from")
    for column in ("rows/s", "to memory", "CPU us a row"):
        table.add_column(column, justify="right")
    for name, own in turns.items():
        cpu = spread([turn["cpu_us"] for turn in own], ".1f")
        table.add_row(name, spread(rates[name], ",.0f"), ratio_text(found[name]), cpu)
    console.print(table)
    return {
        "rows_per_s": {name: round(_middle(own)) for name, own in rates.items()},
        "files_to_memory": found["files"],
        "cache_to_memory": found["cache"],
        **facts,
        "budget": _FROM_DISK,
        "budget_met": found["cache"]["median"] >= _FROM_DISK,
    }


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


# --- the same MMoE in three libraries -------------------------------------------------


def _measure_rivals(effort: _Effort, args, console) -> dict[str, typing.Any]:
    pythons = {OURS: sys.executable}
    for name in PACKAGES:
        pythons[name] = python_of(name, args.envs, args.python)
    found: dict[str, typing.Any] = {}
    versions: dict[str, str] = {}
    for title, shape in effort.rivals.items():
        sizes = dataclasses.replace(shape, threads=args.threads)
        with contenders(pythons, sizes, console, few=args.quick) as started:
            for contender in started:
                versions |= contender.versions
            check_same(started, sizes)
            rounds = [
                {c.name: c.measure(effort.seconds) for c in started}
                for _ in range(effort.rounds)
            ]
            print_ways(title, sizes, started, rounds, console)
        found[title] = compared(started, rounds)
    first = next(iter(found.values()))

    def met(kind: str) -> bool:
        ratios = [first[f"times_{name}{kind}"]["median"] for name in PACKAGES]
        return min(ratios) >= _FASTER

    return {
        "versions": versions,
        "threads": args.threads,
        "mmoe": found,
        "budget": _FASTER,
        "budget_met": met(""),
        "budget_met_as_documented": met("_as_documented"),
    }


# --- with size ------------------------------------------------------------------------


def _measure_sizes(effort: _Effort, _, console) -> dict[str, typing.Any]:
    """Each size by itself: as `trailrank train` takes its steps, on rows in memory."""
    table = rich.table.Table(
        title=f"MMoE with size; else {_text(_SIZES)}",
        caption=f"{machine()}; ratios to the row above",
    )
    for column in ("what", "value", "parameters", "rows/s", "ratio", "CPU us a row"):
        table.add_column(column, justify="left" if column == "what" else "right")
    found = {}
    for what, sizes in effort.sizes.items():
        console.print(f"{what} ...")
        found[what] = _measure_size(what, sizes, effort, table)
        table.add_section()
    console.print(table)
    return found


def _measure_size(
    what: str, sizes: list[Sizes], effort: _Effort, table: rich.table.Table
) -> dict[str, typing.Any]:
    runs = [_run(one) for one in sizes]
    turns = [
        [timed(train, effort.seconds, one.batch) for _, train, one in runs]
        for _ in range(1 + effort.rounds)
    ][1:]
    rates = [[turn["rows_per_s"] for turn in own] for own in zip(*turns, strict=True)]
    found: dict[str, typing.Any] = {}
    for index, (count, _, one) in enumerate(runs):
        cpu = [t[index]["cpu_ms"] / one.batch * 1e3 for t in turns]
        ratio = ratios(rates[index], rates[index - 1]) if index else None
        value = getattr(one, what)
        table.add_row(
            what,
            f"{value:,}",
            f"{count:,}",
            spread(rates[index], ",.0f"),
            ratio_text(ratio) if ratio else "",
            spread(cpu, ".1f"),
        )
        found[str(value)] = {"rows_per_s": round(_middle(rates[index]))}
        found[str(value)] |= {"to_the_one_before": ratio} if ratio else {}
    return found


def _run(sizes: Sizes) -> tuple[int, Iterator, Sizes]:
    from rivals import trailrank_mmoe

    with tempfile.TemporaryDirectory() as folder:
        write_data(f"{folder}/rows.npz", sizes)
        way = trailrank_mmoe.shipped(Data(f"{folder}/rows.npz", sizes))
    return way.parameters, way.train, sizes


def _text(sizes: Sizes) -> str:
    return (
        f"{sizes.tasks} tasks, {sizes.experts} experts, {sizes.ids} tables of "
        f"{sizes.rows:,} rows, batch {sizes.batch}"
    )


if __name__ == "__main__":
    main()
