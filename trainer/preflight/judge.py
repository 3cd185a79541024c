"""What the compiler said of one program -> what there is to say about it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from tpu_configs.chips import Chip
from trainer.preflight import estimates
from trainer.preflight.findings import Checked, Refusal, Tensor
from trainer.preflight.lowering import Argument, Lowered, Refused
from trainer.preflight.places import Place, Places
from trainer.preflight.remedies import remedy_of

_BYTES = {"bfloat16": 2, "float16": 2, "int64": 8, "float64": 8, "bool": 1, "uint8": 1}
_NAMED = 4  # variables that a refusal for memory names
_TEMPORARIES = 5


def unlowered(base: Checked, refused: Refused) -> Checked:
    """A program that TensorFlow refused."""
    where = tuple(str(place) for place in refused.where)
    refusal = Refusal(reason=refused.reason, where=where, remedy=refused.remedy)
    return dataclasses.replace(base, refusal=refusal)


def judge(
    base: Checked,
    lowered: Lowered,
    result: dict[str, Any],
    chip: Chip,
    variables: Sequence[Tensor],
) -> Checked:
    """A program that the compiler got.

    Args:
        base: With its name, precision, rows and cores.
        lowered: What the compiler got.
        result: Of `compile_hlo.py`.
        chip: Its numbers.
        variables: Of the program, the largest first.
    """
    base = dataclasses.replace(
        base,
        dynamic=tuple(str(place) for place in lowered.dynamic),
        compile_s=result.get("compile_s", 0.0),
    )
    if "error" not in result:
        return _compiled(base, lowered, result, chip, variables)
    room = estimates.out_of_memory(result["error"])
    if room is None:
        return dataclasses.replace(base, refusal=_refusal(result["error"], lowered))
    return dataclasses.replace(
        base,
        hbm_used=room.used,
        hbm_available=room.available,
        refusal=_too_large(room, variables),
    )


def tensors(arguments: Sequence[Argument], resize: dict[int, int]) -> list[Tensor]:
    """The variables among a program's arguments, largest first, at full size."""
    found = [_tensor(a, resize) for a in arguments if a.variable]
    return sorted(found, key=lambda tensor: -tensor.bytes)


def _tensor(argument: Argument, resize: dict[int, int]) -> Tensor:
    rows = [resize.get(side, side) for side in argument.shape[:1]]
    shape = (*rows, *argument.shape[1:])
    size = math.prod(shape) * _BYTES.get(argument.dtype, 4)
    return Tensor(name=argument.name, shape=shape, dtype=argument.dtype, bytes=size)


def _compiled(
    base: Checked,
    lowered: Lowered,
    result: dict[str, Any],
    chip: Chip,
    variables: Sequence[Tensor],
) -> Checked:
    room = estimates.memory(result, chip)
    found = estimates.estimate(result, chip, base.rows)
    return dataclasses.replace(
        base,
        refusal=None if room.fits else _too_large(room, variables),
        hbm_used=room.used,
        flops=result["flops"],
        bytes_accessed=result["bytes"],
        step_s=found.step_s,
        bound=found.bound,
        examples_s=found.examples_s,
        collectives=result["collectives"],
        temporaries=_temporaries(result["largest"], lowered.places),
    )


def _too_large(room: estimates.Memory, variables: Sequence[Tensor]) -> Refusal:
    reason = (
        f"It does not fit: {room.used / 2**30:.2f} GiB are needed on each core, "
        f"{room.available / 2**30:.2f} GiB are available."
    )
    where = tuple(_described(variable) for variable in variables[:_NAMED])
    return Refusal(reason=reason, where=where, remedy=remedy_of("HBM"))


def _described(tensor: Tensor) -> str:
    shape = " x ".join(f"{side:,}" for side in tensor.shape)
    return f"{tensor.name}: {shape} {tensor.dtype}, {tensor.bytes / 2**30:.2f} GiB"


_QUOTED = re.compile(r'op_name\s*=?\s*"([^"]+)"|loc\("([^"]+)"')


def _refusal(error: str, lowered: Lowered) -> Refusal:
    """The ops that the compiler's message names, or those of unknown size."""
    names = dict.fromkeys(a or b for a, b in _QUOTED.findall(error))
    named = [place for place in map(lowered.places.find, names) if place]
    where: list[Place] = named or lowered.dynamic
    line = error.strip().splitlines()[0]
    short = line if len(line) <= 300 else line[:297] + "..."
    remedy = remedy_of(error, [place.kind for place in where])
    if where is lowered.dynamic and where:
        remedy = remedy_of("dynamic")
    return Refusal(
        reason=f"The TPU compiler refuses it: {short}",
        where=tuple(str(place) for place in where),
        remedy=remedy,
    )


def _temporaries(
    buffers: Sequence[dict[str, Any]], places: Places
) -> tuple[Tensor, ...]:
    """One an op and shape, without the variables' own updates."""
    found: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    for buffer in buffers:
        place = places.find(buffer["op"]) if buffer["op"] else None
        if place and place.kind.startswith(("ResourceApply", "Assign")):
            continue
        name = str(place) if place else buffer["op"] or buffer["kind"]
        sides = [side.lstrip("<=") for side in buffer["shape"].split(",") if side]
        shape = tuple(map(int, sides))
        tensor = Tensor(
            name=name, shape=shape, dtype=buffer["type"], bytes=buffer["bytes"]
        )
        found.setdefault((name, shape), tensor)
    return tuple(found.values())[:_TEMPORARIES]
