"""What the fused score makes of a prediction before it is raised to its weight.

    fusion:
      transforms: {completion: "clip(0, 3)", watch_time: expm1}

Each is monotone and gives a factor above 0, and none has a cliff: `1 + ...` keeps a
prediction of 0 or a little below it a factor of 1, where y itself would let one task's
zero decide everything.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from feature_specs.errors import TrailrankError

if TYPE_CHECKING:
    from feature_specs.task_kinds import TaskKind

LEAST_SCALE, MOST_SCALE = 1e-6, 1e12
_MOST = 1e12  # of a bound of `clip`
_CALL = re.compile(r"\s*([a-z0-9_]+)\s*(?:\(([^()]*)\))?\s*")


class TransformError(TrailrankError, ValueError):
    """A text that is no transform; the message is the rule that it breaks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformKind:
    """One entry of the closed list.

    Attributes:
        arguments: Their names, in order.
        defaults: Of the last ones; the others have to be given.
        factor: The formula of y and the arguments, for people.
    """

    arguments: tuple[str, ...] = ()
    defaults: tuple[float, ...] = ()
    factor: str


def _scaled(factor: str) -> TransformKind:
    return TransformKind(arguments=("scale",), defaults=(1.0,), factor=factor)


TRANSFORMS: dict[str, TransformKind] = {
    "identity": TransformKind(factor="y"),
    "linear": _scaled("1 + max(0, y) / {scale}"),
    "clip": TransformKind(
        arguments=("low", "high"), factor="1 + min(max({low}, y), {high})"
    ),
    "log1p": _scaled("1 + log(1 + max(0, y) / {scale})"),
    "expm1": _scaled("1 + expm1(y / {scale})"),
    "softplus": _scaled("log(1 + exp(y / {scale}))"),
    "sigmoid": _scaled("1 / (1 + exp(-y / {scale}))"),
}


@dataclasses.dataclass(frozen=True)
class Transform:
    """A transform with its arguments.

    Attributes:
        name: One of `TRANSFORMS`.
        numbers: A value an argument.
    """

    name: str
    numbers: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """As a spec has it, without arguments that have their defaults."""
        kind = TRANSFORMS[self.name]
        if self.numbers == kind.defaults:
            return self.name
        return f"{self.name}({', '.join(map(_plain, self.numbers))})"

    def factor(self, of: str) -> str:
        """The formula of what `of` names, for people."""
        kind = TRANSFORMS[self.name]
        values = zip(kind.arguments, self.numbers, strict=True)
        text = kind.factor.format(**{name: _plain(value) for name, value in values})
        return re.sub(r"\by\b", of, text.replace(" / 1)", ")").removesuffix(" / 1"))


def parse_transform(text: str) -> Transform:
    """`clip(0, 3)` -> its transform.

    >>> parse_transform("clip(0, 3)")
    Transform(name='clip', numbers=(0.0, 3.0))
    >>> parse_transform("linear").numbers
    (1.0,)

    Raises:
        TransformError: It is not of the list, or an argument cannot be.
    """
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in TRANSFORMS:
        raise TransformError(f"must be one of {', '.join(_usages())}.")
    name, kind = match[1], TRANSFORMS[match[1]]
    given = _numbers(name, match[2])
    missing = len(kind.arguments) - len(given)
    if missing < 0 or missing > len(kind.defaults):
        raise TransformError(f"must be {usage(name)}.")
    numbers = (*given, *kind.defaults[len(kind.defaults) - missing :])
    _check(name, dict(zip(kind.arguments, numbers, strict=True)))
    return Transform(name, numbers)


def default_transform(kind: TaskKind) -> Transform:
    """What a task has whose transform is not stated: p itself, or 1 + max(0, y)."""
    return parse_transform("identity" if kind.is_probability else "linear")


def usage(name: str) -> str:
    """`clip(low, high)`, `linear(scale = 1)`."""
    kind = TRANSFORMS[name]
    first = len(kind.arguments) - len(kind.defaults)
    told = [
        argument if n < first else f"{argument} = {kind.defaults[n - first]:g}"
        for n, argument in enumerate(kind.arguments)
    ]
    return f"{name}({', '.join(told)})" if told else name


def _plain(number: float) -> str:
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _usages() -> list[str]:
    return [usage(name) for name in TRANSFORMS]


def _numbers(name: str, inside: str | None) -> list[float]:
    if inside is None or not inside.strip():
        return []
    try:
        return [float(part) for part in inside.split(",")]
    except ValueError:
        raise TransformError(f"must be {usage(name)}, with numbers.") from None


_Check = Callable[[dict[str, float]], bool]
_RULES: tuple[tuple[str, _Check, str], ...] = (
    (
        "scale",
        lambda given: LEAST_SCALE <= given["scale"] <= MOST_SCALE,
        f"must have a scale from {LEAST_SCALE:g} to {MOST_SCALE:g}.",
    ),
    (
        "low",
        lambda given: 0 <= given["low"] < given["high"] <= _MOST,
        f"must be clip(low, high) with 0 <= low < high <= {_MOST:g}.",
    ),
)


def _check(name: str, given: dict[str, float]) -> None:
    for argument, holds, told in _RULES:
        if argument in given and not holds(given):
            raise TransformError(told)
