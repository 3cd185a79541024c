"""The errors of the data gates."""

from __future__ import annotations

from feature_specs.errors import Status, TrailrankError


class GateError(TrailrankError, ValueError):
    """An acceptance, or a report of a gate, that cannot be used."""


class SuspiciousDayError(TrailrankError, ValueError):
    """Days that are too unlike the days before them to be trained on.

    Attributes:
        days: Their names, `YYYYMMDD`.
    """

    exit_status = Status.REFUSED

    def __init__(self, message: str, days: tuple[str, ...] = ()):
        super().__init__(message)
        self.days = days
