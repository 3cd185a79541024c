"""What the compiler's numbers mean for one step on one core."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from tpu_configs.chips import Chip


class Estimate(NamedTuple):
    """The compiler's estimate; no measurement.

    Attributes:
        step_s: Seconds of one step.
        compute_s: Seconds that its operations alone take at the chip's peak.
        memory_s: Seconds that its bytes alone take at the chip's bandwidth.
        bound: Which of both is longer, `compute` or `memory`.
        examples_s: Rows a second of all cores together.
    """

    step_s: float
    compute_s: float
    memory_s: float
    bound: str
    examples_s: float


def estimate(result: dict[str, Any], chip: Chip, rows: int) -> Estimate:
    """Of one program on one core, which works on `rows` rows with all others."""
    compute_s = result["flops"] / chip.core_peak
    memory_s = result["bytes"] / chip.core_bandwidth
    step_s = step_seconds(result["optimal_s"], result["custom_calls"])
    bound = "compute" if compute_s > memory_s else "memory"
    return Estimate(
        step_s, compute_s, memory_s, bound, rows / step_s if step_s else math.inf
    )


def step_seconds(optimal_s: float, custom_calls: int) -> float:
    """The compiler's `optimal_seconds` without its placeholders.

    It counts each custom call (a kernel that it has no model of) as -1 s. Where the sum
    is no time of a step, which reads its memory through in 20 to 40 ms, what is left of
    the whole seconds is taken.
    """
    seconds = optimal_s + custom_calls
    return seconds if 0 <= seconds < 1 else optimal_s - math.floor(optimal_s)


class Memory(NamedTuple):
    """Bytes of one core's memory.

    Attributes:
        used: At the peak: arguments, results and temporaries.
        available: What a program may use.
    """

    used: float
    available: float

    @property
    def fits(self) -> bool:
        return self.used <= self.available


def memory(result: dict[str, Any], chip: Chip) -> Memory:
    """Of a program that compiled."""
    held = result["argument_bytes"] + result["output_bytes"] - result["alias_bytes"]
    used = result["peak_bytes"] or held + result["temp_bytes"]
    return Memory(used + result["code_bytes"], chip.granted_gib * 2**30)


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_AMOUNT = r"\(?(\d+(?:\.\d+)?)([KMGT]?)\)?"
_TOO_MUCH = (
    re.compile(rf"{_AMOUNT} exceeds available HBM {_AMOUNT}"),
    re.compile(rf"Used {_AMOUNT} of {_AMOUNT} hbm"),
)


def out_of_memory(message: str) -> Memory | None:
    """What a compiler's refusal says of memory; None if it is about something else."""
    for pattern in _TOO_MUCH:
        if found := pattern.search(message):
            used, used_unit, available, unit = found.groups()
            return Memory(
                float(used) * _UNITS[used_unit], float(available) * _UNITS[unit]
            )
    return None
