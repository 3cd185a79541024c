"""What the gates found of a model: each value with its limit, and what they add up to.

verdict = Verdict.from_json(text)
verdict.check()          # RefusedModelError, exit status 3
console.print(verdict.table())
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import TYPE_CHECKING, Any, Literal

from feature_specs.errors import Status, TrailrankError
from feature_specs.places import Place
from pipeline.evaluation import buckets

if TYPE_CHECKING:
    from rich.table import Table

Outcome = Literal["passed", "refused", "not judged"]

_NAMES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "rmse": "RMSE",
    "miscalibration": "miscalibration",
    "ndcg": "NDCG@10",
}
_RELATIVE = ("rmse", "miscalibration")  # their changes are shares
_LOWER_IS_BETTER = ("rmse", "miscalibration")
_TOLD = 12  # gates in a message
FILE = "verdict.json"


class RefusedModelError(TrailrankError, RuntimeError):
    """A model that may not replace the one that serves; says by which gates."""

    exit_status = Status.REFUSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """One value and its limit.

    Attributes:
        measure: `auc`, `gauc`, `rmse`, `miscalibration` or `ndcg`.
        of: Task, or `fused score`.
        slice: `tab=1`; "" for all rows.
        against: The model that it is compared with, the best of several; "" for a
            limit on the value itself.
        key: Key of the spec that holds the limit.
        value: Of the model; NaN if there is none.
        best: Of `against`; NaN without it.
        limit: Smallest or largest value; of a comparison, the largest loss.
        loss: How much worse than `best` (a share for `rmse` and `miscalibration`), or
            than the limit where that is judged by its interval; negative is better.
        low: Lower end of the loss's interval; NaN without one.
        high: Upper end.
        outcome: `not judged` if there are too few rows.
        why: What it was not judged for.
    """

    measure: str
    of: str
    key: str
    outcome: Outcome
    slice: str = ""
    against: str = ""
    value: float = math.nan
    best: float = math.nan
    limit: float = math.nan
    loss: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""

    @property
    def name(self) -> str:
        """`AUC of like, tab=1`."""
        return f"{_NAMES[self.measure]} of {self.of}{self._slice}"

    @property
    def _slice(self) -> str:
        return f", {self.slice}" if self.slice else ""

    def __str__(self) -> str:
        """A sentence: the value, the limit, and by how much."""
        if self.outcome == "not judged":
            return f"{self.name}: not judged: {self.why}"
        if math.isnan(self.value):
            return f"{self.name}: has no value, as {self.why}; {self._limit}"
        if not self.against:
            return f"{self.name}: {self.value:.4f}; {self._limit}, {self._beyond}"
        told = (
            f"{self.name}: {self.value:.4f}, model {self.against} has "
            f"{self.best:.4f} on the same rows: {self._amount(self.loss)} "
            f"{'worse' if self.loss > 0 else 'better'} ({self._range}); at most "
            f"{self._amount(self.limit)} is allowed"
        )
        over = self.loss - self.limit
        return f"{told}, {self._amount(over)} less" if over > 0 else told

    @property
    def _limit(self) -> str:
        most = self.measure in _LOWER_IS_BETTER
        return f"must be {'at most' if most else 'at least'} {self.limit:.4f}"

    @property
    def _beyond(self) -> str:
        apart = self.value - self.limit
        return f"{abs(apart):.4f} {'above' if apart > 0 else 'below'} it"

    @property
    def _range(self) -> str:
        return f"interval {self._signed(self.low)} to {self._signed(self.high)}"

    def _signed(self, loss: float) -> str:
        sign = "-" if loss < 0 else ""
        return sign + self._amount(loss)

    def _amount(self, loss: float) -> str:
        if self.measure in _RELATIVE:
            return f"{abs(loss):.1%}".replace("%", " %")
        return f"{abs(loss):.4f}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """All gates of a model.

    Attributes:
        model: Its name.
        against: The models that it was compared with.
        gates: Whole metrics first, then slices.
        gate: `evaluation.gate` of the spec; `none` blesses in any case.
        confidence: Of all intervals together.
    """

    model: str
    gates: tuple[Gate, ...]
    against: tuple[str, ...] = ()
    gate: Literal["judge", "none"] = "judge"
    confidence: float = 0.95

    @property
    def refused(self) -> tuple[Gate, ...]:
        """The gates that it failed, whether or not that counts."""
        return tuple(g for g in self.gates if g.outcome == "refused")

    @property
    def blessed(self) -> bool:
        """Whether it may serve."""
        return self.gate == "none" or not self.refused

    def check(self) -> None:
        """Raises RefusedModelError, with one message, if the model may not serve."""
        if not self.blessed:
            raise RefusedModelError(self.told())

    def told(self) -> str:
        """What it was refused for, and what to do."""
        failed = self.refused
        lines = [f"  - {gate}" for gate in failed[:_TOLD]]
        if len(failed) > _TOLD:
            lines.append(f"  - and {len(failed) - _TOLD} more")
        keys = ", ".join(sorted({gate.key for gate in failed}))
        return "\n".join(
            [
                f"Model {self.model}: is refused by {len(failed)} of "
                f"{len(self.gates)} gates, and not pushed.",
                *lines,
                "The model before it keeps serving. Look at the days that it was "
                "trained and judged on, and mend data, spec or preset; if it is as it "
                f"should be, write other limits into the spec ({keys}), and run again: "
                "it is judged anew, not trained.",
            ]
        )

    def to_json(self) -> str:
        """As text; NaN is null."""
        found = dataclasses.asdict(self)
        found["gates"] = [_without_nan(gate) for gate in found["gates"]]
        return json.dumps({**found, "blessed": self.blessed}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """What `to_json` gave."""
        found = json.loads(text)
        found.pop("blessed")
        gates = tuple(_gate(entry) for entry in found.pop("gates"))
        return cls(**{**found, "against": tuple(found["against"]), "gates": gates})

    def table(self, *, passed: bool = True) -> Table:
        """For a console; `passed` False leaves out what passed."""
        from pipeline.reporting.tables import new_table, number

        heads = ("gate", "value", "against", "best", "loss", "limit", "outcome")
        table = new_table(
            f"Gates of model {self.model}",
            heads,
            texts=("against", "outcome"),
            caption=self._caption(),
        )
        for gate in self.gates:
            if passed or gate.outcome != "passed":
                table.add_row(
                    gate.name,
                    number(gate.value),
                    gate.against,
                    number(gate.best),
                    number(gate.loss) if gate.against else "",
                    number(gate.limit),
                    gate.outcome,
                )
        return table

    def _caption(self) -> str:
        counts = ", ".join(
            f"{sum(g.outcome == kind for g in self.gates)} {kind}"
            for kind in ("passed", "refused", "not judged")
        )
        if self.gate == "none" and self.refused:
            return f"{counts}; blessed all the same (evaluation.gate: none)"
        return counts


def write_verdict(directory: Place, verdict: Verdict) -> None:
    """Keeps a verdict as `verdict.json` in a directory, which may be a bucket's."""
    buckets.write_bytes(os.path.join(directory, FILE), verdict.to_json().encode())


def read_verdict(directory: Place) -> Verdict:
    """What `write_verdict` kept."""
    text = buckets.read_bytes(os.path.join(directory, FILE))
    return Verdict.from_json(text.decode())


def _without_nan(gate: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in gate.items()
    }


def _gate(entry: dict[str, Any]) -> Gate:
    known: dict[str, Any] = {k: math.nan if v is None else v for k, v in entry.items()}
    return Gate(**known)
