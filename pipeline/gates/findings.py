"""What the gates found of a day, and how it is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pipeline.gates.errors import GateError
from pipeline.reporting.files import significant, to_json

_FIGURES = 6  # of a value, by which findings are the same ones
_FORM = 1
DAY = "day"  # the column of what is measured of the day as a whole
PREFIX = "day-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One measure of a day that is not what the days before let expect.

    Attributes:
        column: Key in the examples; `day` for rows, users, videos...
        measure: What was measured: `label mean`, `missing`...
        value: What it is.
        low: The least that passes; None where there is no such bound.
        high: The most that passes.
        expected: What it is on the days before.
        times: How far it moved, in units of what is allowed; above 1.
        cause: What it looks like, in words.
        impossible: Whether no drift explains it, so that a few days are enough to know.
    """

    column: str
    measure: str
    value: float
    low: float | None
    high: float | None
    expected: float
    times: float
    cause: str
    impossible: bool = False

    @property
    def key(self) -> tuple[str, str, float | None]:
        """By which two findings are the same one."""
        return self.column, self.measure, significant(self.value, _FIGURES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateReport:
    """How a day was judged.

    Attributes:
        split: `day-YYYYMMDD`.
        rows: Its examples.
        before: Splits that it was compared with, in order.
        judged: How many measures were compared.
        findings: What stands out, the worst first.
        notes: What was not judged, and what passed for a reason: sentences.
        source: What most of the findings have in common, a sentence; "" for nothing.
        enabled: Whether findings stop the run.
        accepted_by: Who let it pass all the same; "" for nobody.
        accepted_why: With which reason.
    """

    split: str
    rows: int
    before: tuple[str, ...]
    judged: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    enabled: bool = True
    accepted_by: str = ""
    accepted_why: str = ""

    @property
    def day(self) -> str:
        """`YYYYMMDD`."""
        return self.split.removeprefix(PREFIX)

    @property
    def is_suspicious(self) -> bool:
        """Whether something was found, whoever accepted it."""
        return bool(self.findings)

    @property
    def passes(self) -> bool:
        """Whether the day may be trained on."""
        return not self.findings or not self.enabled or bool(self.accepted_by)

    @property
    def verdict(self) -> str:
        """`passed`, `accepted`, `off` (found, but not enabled) or `refused`."""
        if not self.findings:
            return "passed"
        if not self.enabled:
            return "off"
        return "accepted" if self.accepted_by else "refused"

    @property
    def digest(self) -> str:
        """Twelve hex digits of what was found, which an acceptance is for."""
        keys = sorted(map(str, (finding.key for finding in self.findings)))
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]

    def to_json(self) -> bytes:
        """As a file."""
        told = {"verdict": self.verdict, "digest": self.digest}
        return to_json({"form": _FORM, **told, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, data: bytes, source: str = "report") -> GateReport:
        """What `to_json` gave.

        Raises:
            GateError: It is something else; `source` names it.
        """
        try:
            return cls._of(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GateError(
                f"{source}: is no report of a data gate ({type(error).__name__}: "
                f"{error}). Run the pipeline again, which judges the day again."
            ) from None

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> GateReport:
        if values["form"] != _FORM:
            raise ValueError(f"form {values['form']}, this version reads form {_FORM}")
        names = {f.name for f in dataclasses.fields(cls)}
        plain = {key: value for key, value in values.items() if key in names}
        for key in ("before", "notes"):
            plain[key] = tuple(plain[key])
        plain["findings"] = tuple(_finding(entry) for entry in values["findings"])
        return cls(**plain)


def _finding(entry: Mapping[str, Any]) -> Finding:
    """JSON knows no infinity: what is impossible is null times beyond what may be."""
    times = math.inf if entry["times"] is None else entry["times"]
    return Finding(**{**entry, "times": times})
