"""A program -> the HLO that TensorFlow's own bridge makes of it.

The bridge is the one that `jit_compile=True` and TPUStrategy use, here with the CPU's
kernels: the pip package holds none for TPU.
"""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from feature_specs import TrailrankError
from trainer.preflight.places import NODE, Place, Places, user_line
from trainer.preflight.programs import Program
from trainer.preflight.remedies import culprits_of, remedy_of


class Argument(NamedTuple):
    """One input of the lowered program.

    Attributes:
        name: Of the feature or of the variable.
        shape: As lowered.
        dtype: TensorFlow's name.
        variable: Whether it is a variable; the batch's tensors come first.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    variable: bool


class Lowered(NamedTuple):
    """A program that TensorFlow could lower.

    Attributes:
        program: What was lowered.
        hlo: Serialized HLO module.
        arguments: Its inputs, in order.
        places: Where its ops come from.
        dynamic: Ops with a result whose size is known at run time only.
    """

    program: Program
    hlo: bytes
    arguments: list[Argument]
    places: Places
    dynamic: list[Place]


class Refused(TrailrankError, RuntimeError):
    """A program that does not compile for TPU.

    Attributes:
        program: Its name.
        reason: What is wrong, in one line.
        where: The ops concerned; may be empty.
        remedy: What to do instead.
    """

    def __init__(self, program: str, reason: str, where: list[Place], remedy: str):
        self.program, self.reason = program, reason
        self.where, self.remedy = where, remedy
        told = "".join(f"\n  - {place}" for place in where)
        super().__init__(f"{program}: {reason}{told}\n  {remedy}")


def lower(program: Program) -> Lowered:
    """The HLO of a program.

    Raises:
        Refused: TensorFlow cannot trace or lower it; names ops and lines.
    """
    function = tf.function(
        lambda *values: program.function(*values), jit_compile=True, autograph=False
    )
    specs = list(program.inputs.values())
    concrete = _trace(program, function, specs)
    places = Places(concrete.graph)
    try:
        generate = function.experimental_get_compiler_ir(*specs)
        hlo = generate(stage="hlo_serialized")
        text = generate(stage="hlo")
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise _refusal(program, str(error), places) from error
    return Lowered(
        program, hlo, _arguments(program, concrete), places, _dynamic(text, places)
    )


def _trace(program: Program, function: Any, specs: Sequence[tf.TensorSpec]) -> Any:
    try:
        return function.get_concrete_function(*specs)
    except Exception as error:
        raise untraceable(program.name, error) from error


def untraceable(program: str, error: Exception) -> Refused:
    """What a failure of building or tracing the model says, with its line.

    Raises:
        Exception: `error` itself, if our code raised it, with its own message, or if
            none of our code had a part in it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    at = user_line(frames)
    last = frames[-1]
    ours = (last.filename, last.lineno) == at and (last.line or "").startswith("raise")
    if at is None or ours:
        raise error
    where = [Place("", "line", "", at[0], at[1], linecache.getline(*at).strip())]
    reason = f"TensorFlow cannot build or trace it: {_first_line(error)}"
    return Refused(program, reason, where, remedy_of(str(error)))


def _arguments(program: Program, concrete: Any) -> list[Argument]:
    """The batch, then the captured variables and constants, as the bridge has them."""
    batch = [
        Argument(name, tuple(spec.shape), spec.dtype.name, False)
        for name, spec in program.inputs.items()
    ]
    others = ((v.name, v) for v in concrete.graph.variables)  # hyperparameters
    known = {id(v.handle): (name, v) for name, v in (*others, *program.variables)}
    captured = []
    for index, tensor in enumerate(concrete.captured_inputs):
        name, source = known.get(id(tensor), (f"constant_{index}", tensor))
        shape = tuple(source.shape)
        captured.append(Argument(name, shape, source.dtype.name, source is not tensor))
    return [*batch, *captured]


def _refusal(program: Program, message: str, places: Places) -> Refused:
    named = [places.find(name) for name in dict.fromkeys(NODE.findall(message))]
    where = [place for place in named if place]
    if not where:
        where = places.of_kind(culprits_of(message))
    kinds = {place.kind for place in where}
    reason = f"TensorFlow cannot lower it for TPU: {_told(message, where)}"
    return Refused(program.name, reason, where, remedy_of(message, kinds))


def _told(message: str, where: list[Place]) -> str:
    """TensorFlow's reason, without what it says of the CPU whose kernels it used."""
    if "unsupported operations" in message and where:
        return f"there is no {', '.join(sorted({p.kind for p in where}))} in a step."
    return _first_line(message.removeprefix("Failed getting HLO text: '"))


def _first_line(error: object) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    line = " ".join(lines[: 2 if "calling layer" in str(error) else 1])
    line = line or type(error).__name__
    return line if len(line) <= 300 else line[:297] + "..."


_BOUNDED = re.compile(r'= \w+\[[^\]]*<=.*?op_name="([^"]*)"')


def _dynamic(text: str, places: Places) -> list[Place]:
    """Ops whose result has a size with a bound only (`<=256`)."""
    names = dict.fromkeys(_BOUNDED.findall(text))
    found = [places.find(name) or Place(name, "") for name in names]
    by_line = {(p.file, p.line) if p.file else p.op: p for p in reversed(found)}
    return list(reversed(by_line.values()))
