"""A preflight's findings as tables for people, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.reporting import files
from pipeline.reporting.tables import new_table
from trainer.preflight.findings import Checked, Report, Tensor

# What the compiler is not asked; docs/preflight.md says why.
NOT_COVERED = (
    "the sums between replicas as TPUStrategy writes them (here the compiler splits "
    "the batch of one global step, and adds its own)",
    "lookups and updates of TPUEmbedding",
    "the input: infeed, host and disk",
    "run time: all numbers are the compiler's estimates, nothing was run",
)


def to_json(report: Report) -> str:
    """Everything in the report, indented."""
    found = dataclasses.asdict(report)
    found["slice"] |= {
        "chips": report.slice.chips,
        "cores": report.slice.cores,
        "batch_per_core": report.slice.batch_per_core,
        "hbm_gib": report.slice.hbm_gib,
    }
    for program, checked in zip(found["programs"], report.programs, strict=True):
        program["ok"] = checked.ok
    content = {"ok": report.ok, **found, "not_covered": NOT_COVERED}
    return files.to_json(content).decode()


def show(report: Report, console: Console) -> None:
    """Prints the tables, what is wrong, and the verdict."""
    console.print(_programs_table(report))
    if report.variables:
        console.print(_variables_table(report))
    if temporaries := report.programs[0].temporaries:
        console.print(_temporaries_table(report.programs[0], temporaries))
    for program in report.programs:
        _show_refusal(console, program)
    for warning in _warnings(report):
        console.print(Text(f"Warning: {warning}", style="yellow"))
    console.print(Text("Not covered: " + "; ".join(NOT_COVERED) + ".", style="dim"))
    console.print(_verdict(report))


def _programs_table(report: Report) -> Table:
    s = report.slice
    programs = [f"{p.program}\n{p.precision}" for p in report.programs]
    table = new_table(
        f"{s.name} ({s.topology}): {report.spec}, {report.preset}",
        ["", *programs],
        folded=programs,
        caption="Estimates of the TPU compiler, for one core; nothing was run.",
    )
    for name, value in _ROWS:
        table.add_row(name, *(value(p) for p in report.programs))
    return table


def _variables_table(report: Report) -> Table:
    table = new_table(
        "Largest variables of a core",
        ["variable", "shape", "size"],
        folded=["variable"],
        caption=f"All variables: {_size(report.variable_bytes)}.",
    )
    for variable in report.variables:
        table.add_row(*_tensor_row(variable))
    return table


def _temporaries_table(program: Checked, temporaries: tuple[Tensor, ...]) -> Table:
    title = f"Largest results beside them, {program.program} {program.precision}"
    table = new_table(title, ["made by", "shape", "size"], folded=["made by"])
    for tensor in temporaries:
        table.add_row(*_tensor_row(tensor))
    return table


def _tensor_row(tensor: Tensor) -> list[str]:
    shape = " x ".join(f"{side:,}" for side in tensor.shape) or "scalar"
    return [tensor.name, f"{shape} {tensor.dtype}", _size(tensor.bytes)]


def _show_refusal(console: Console, program: Checked) -> None:
    refusal = program.refusal
    if refusal is None:
        return
    title = f"{program.program} {program.precision}: {refusal.reason}"
    console.print(Text(title, style="bold red"))
    for place in refusal.where:
        console.print(Text(f"  {place}"))
    console.print(Text(f"  What to do: {refusal.remedy}"))


def _warnings(report: Report) -> list[str]:
    found = [
        f"{p.program}: the size of a result is known at run time only, so that it is "
        f"padded to its bound, which is slow: {place}"
        for p in report.programs
        if p.precision == report.slice.precision
        for place in p.dynamic
    ]
    if report.slice.embedding != "dense":
        found.append(
            f"the slice says embedding: {report.slice.embedding}. Compiled are dense "
            f"tables with a copy on each core: more memory and another step time than "
            f"with the embedding engine."
        )
    if report.stand_ins:
        sizes = ", ".join(f"{true:,}" for true in report.stand_ins.values())
        found.append(
            f"tables of {sizes} rows are too large to be made here; they were lowered "
            f"small and compiled at full size."
        )
    return found


def _verdict(report: Report) -> Text:
    what = f"{report.preset} on {report.slice.name}"
    if report.ok:
        return Text(f"OK: {what} compiles and fits.", style="bold green")
    return Text(f"NOT OK: {what} does not compile or fit.", style="bold red")


def _size(size: float | None) -> str:
    if size is None:
        return "-"
    if size >= 2**30:
        return f"{size / 2**30:.2f} GiB"
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"


def _compiles(p: Checked) -> str:
    if p.ok:
        return "yes"
    return "does not fit" if p.hbm_used is not None else "NO"


def _headroom(p: Checked) -> str:
    if p.hbm_used is None:
        return "-"
    return f"{1 - p.hbm_used / p.hbm_available:.1%}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.2f} ms"


def _number(number: float | None, scale: float, unit: str) -> str:
    return "-" if number is None else f"{number / scale:,.2f} {unit}"


def _collectives(p: Checked) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in p.collectives.items()) or "-"


_ROWS: tuple[tuple[str, Callable[[Checked], str]], ...] = (
    ("rows, on cores", lambda p: f"{p.rows:,} on {p.cores}"),
    ("compiles", _compiles),
    ("memory used", lambda p: _size(p.hbm_used)),
    ("memory available", lambda p: _size(p.hbm_available)),
    ("headroom", _headroom),
    ("operations", lambda p: _number(p.flops, 1e9, "GFLOP")),
    ("bytes accessed", lambda p: _number(p.bytes_accessed, 1e9, "GB")),
    ("step, estimated", lambda p: _seconds(p.step_s)),
    ("bound by", lambda p: p.bound or "-"),
    (
        "examples/s, all cores",
        lambda p: "-" if p.examples_s is None else f"{p.examples_s:,.0f}",
    ),
    ("exchanges between cores", _collectives),
    ("compiled in", lambda p: f"{p.compile_s:.0f} s" if p.compile_s else "-"),
)
