"""What a client asks of a served model, whichever API carries it; how that fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

from feature_specs.errors import TrailrankError, UsageError


class ClientError(TrailrankError, RuntimeError):
    """No usable answer.

    Attributes:
        status: The HTTP status, 200 for an answer of another kind; None if the server
            was not reached. Over gRPC the one that TensorFlow Serving has for the code.
        retry_after_s: How long the server asks to be left alone.
        may_pass: Whether the same call may well succeed a moment later.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        retry_after_s: float = 0.0,
        may_pass: bool = False,
    ):
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.may_pass = may_pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Which model a client calls.

    Attributes:
        model: Its name.
        version: A number, or None.
        label: A version's label, or None; with neither, the newest loaded version.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise UsageError(
                f"Client of {self.model!r}: give version or label, not both. Got "
                f"{self.version} and {self.label!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    """One run of a signature.

    Attributes:
        signature: Its name.
        inputs: Columns, or the one input's values; None if there are rows.
        instances: Rows, or None.
        optional: Inputs that count for nothing where the signature has none of them.
    """

    signature: str
    inputs: Any = None
    instances: Sequence[Any] | None = None
    optional: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Status:
    """The states of the model's versions."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The served version and its signatures."""


Call: TypeAlias = Predict | Status | Metadata
