"""Hands lowered programs to the TPU compiler's own process, in files."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tpu_configs import SliceConfig
from trainer.errors import PreflightError
from trainer.preflight.lowering import Lowered

_SCRIPT = pathlib.Path(__file__).with_name("compile_hlo.py")
_TAIL = 15  # lines of the process's errors that are shown


class Task(NamedTuple):
    """One program to compile.

    Attributes:
        key: Name, unique in a job.
        lowered: The program.
        cores: Cores that run it together; its batch must divide by them.
        resize: See `stand_ins`.
    """

    key: str
    lowered: Lowered
    cores: int
    resize: dict[int, int]


def compile_all(
    python: pathlib.Path,
    slice: SliceConfig,
    tasks: Sequence[Task],
    told: Callable[[str], None] = lambda key: None,
) -> dict[str, Any]:
    """What the compiler says of each program: see `compile_hlo.py`.

    Args:
        python: Of the compiler's environment.
        slice: A TPU.
        tasks: What to compile, one after the other.
        told: Called with the key of each program that is done.

    Raises:
        PreflightError: The process failed before it compiled anything.
    """
    with tempfile.TemporaryDirectory(prefix="trailrank-preflight-") as name:
        folder = pathlib.Path(name)
        job, result = folder / "job.json", folder / "result.json"
        programs = [_write(task, folder, i) for i, task in enumerate(tasks)]
        job.write_text(json.dumps({**_where(slice), "programs": programs}))
        keys = [task.key for task in tasks]
        command = [str(python), str(_SCRIPT), str(job), str(result)]
        failure = _run(
            command, folder, lambda line: told(line) if line in keys else None
        )
        found = _read(result, keys, failure)
        if found["cores"] != slice.cores:
            raise RuntimeError(
                f"Slice {slice.name!r}: the TPU compiler sees {found['cores']} cores "
                f"in {slice.topology}, we {slice.cores}. Mend tpu_configs/chips.py."
            )
        return found


def _where(slice: SliceConfig) -> dict[str, Any]:
    config = slice.chip.chip_config if slice.chip else ""
    options = {"chip_config_name": config} if config else {}
    return {"topology": slice.topology, "options": options}


def _write(task: Task, folder: pathlib.Path, index: int) -> dict[str, Any]:
    file = folder / f"{index}.hlo"
    file.write_bytes(task.lowered.hlo)
    return {
        "name": task.key,
        "file": str(file),
        "cores": task.cores,
        "batch_arguments": len(task.lowered.program.inputs) if task.cores > 1 else 0,
        "resize": list(task.resize.items()),
    }


def _run(command: list[str], folder: pathlib.Path, told: Callable[[str], None]) -> str:
    """Runs the process; what went wrong, or nothing."""
    errors = folder / "errors.txt"
    with open(errors, "w") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told(line.strip())
            process.wait()
        finally:
            process.kill()
    if process.returncode == 0:
        return ""
    tail = errors.read_text(errors="replace").strip().splitlines()[-_TAIL:]
    return f"it ended with status {process.returncode}\n" + "\n".join(tail)


def _read(result: pathlib.Path, keys: Sequence[str], failure: str) -> dict[str, Any]:
    """Results by key; a program at which the process died has that as its error."""
    if not result.exists():
        raise PreflightError(
            f"the TPU compiler's process failed: {failure}\n"
            f"Check that its environment holds the packages of "
            f"requirements/preflight.txt."
        )
    found = json.loads(result.read_text())
    programs = {program["name"]: program for program in found["programs"]}
    missing = [key for key in keys if key not in programs]
    for key in missing:
        died = f"at {missing[0]}, {failure}" if key != missing[0] else failure
        programs[key] = {"name": key, "error": f"The compiler died: {died}"}
    return {**found, "programs": programs}
