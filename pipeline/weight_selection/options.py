"""How a weight is selected."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.weight_selection.errors import WeightSelectionError

LEAST, MOST = 1.0, 1000.0  # W is in [1, 1000] (SFV sec. 6.3.3)
UNIFORM, GRID = "uniform", "grid"
RIVALS = (UNIFORM, "uncertainty", "gradnorm", GRID)
_STEPS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """How a weight is selected.

    >>> trailrank.WeightOptions(sample=0.1).runs
    10

    Attributes:
        sample: Share of the training rows; SFV table 3 has 0.05, 0.1 and 0.2. Which
            rows, a hash of the seed and of each row's place decides.
        weights: That each existing sparse task is trained with. 1 is always among them:
            there the features are seen.
        candidates: W, of which one is chosen; 1 is always among them. As runs vote,
            they should not lie so close that neighbours share the votes.
        existing: Sparse tasks that play the new one; by default all others that the
            spec calls `sparse`.
        importance: Task -> alpha of its metric in M; 1 for the others.
        seeds: Trainings with each weight; those of one seed read the same rows.
        runs: Of the learner G.
        rivals: What it is compared with, each trained on all rows; of `uniform`,
            `uncertainty`, `gradnorm`, `grid`.
        days: `20220408` or `20220408:20220414`; by default all.
        eval_days: The last days judge; by default as many as the run's, or 1.
        keep: Whether checkpoints stay in `out/checkpoints`.
        workers: Trainings at once, each in a process of its own, with the same results;
            None for as many as this machine's cores allow, 1 for this process. Other
            processes know kinds of your own by `TRAILRANK_PLUGINS` or entry points.

    Raises:
        WeightSelectionError: Values that do not go together.
    """

    sample: float = 0.2
    weights: Sequence[float] = (1.0, 10.0, 100.0, 1000.0)
    candidates: Sequence[float] = _STEPS
    existing: Sequence[str] = ()
    importance: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seeds: int = 3
    runs: int = 10
    rivals: Sequence[str] = ()
    days: Sequence[str] = ()
    eval_days: int | None = None
    keep: bool = False
    workers: int | None = 1

    def __post_init__(self) -> None:
        _check(0 < self.sample <= 1, "sample", "above 0, at most 1", self.sample)
        _check(self.seeds >= 1, "seeds", "at least 1", self.seeds)
        _check(self.runs >= 1, "runs", "at least 1", self.runs)
        eval_days = self.eval_days
        _check(
            eval_days is None or eval_days >= 1, "eval_days", "at least 1", eval_days
        )
        workers = self.workers
        _check(workers is None or workers >= 1, "workers", "at least 1", workers)
        for flag in ("weights", "candidates"):
            values = getattr(self, flag)
            for value in values:
                inside = math.isfinite(value) and LEAST <= value <= MOST
                _check(inside, flag, f"from {LEAST:g} to {MOST:g}", value)
            rule = "two different ones at least, each once"
            _check(len(set(values)) == len(values) >= 2, flag, rule, list(values))
        for value in self.importance.values():
            known = math.isfinite(value) and value >= 0
            _check(known, "importance", "0 or more", value)
        for name in self.rivals:
            _check(name in RIVALS, "rivals", f"of {', '.join(RIVALS)}", name)

    @property
    def trained_weights(self) -> tuple[float, ...]:
        """`weights` from the smallest, 1 among them."""
        return tuple(sorted({LEAST, *self.weights}))

    @property
    def ordered_candidates(self) -> tuple[float, ...]:
        """`candidates` from the smallest, 1 among them."""
        return tuple(sorted({LEAST, *self.candidates}))


def _check(holds: bool, flag: str, rule: str, got: object) -> None:
    if not holds:
        raise WeightSelectionError(f"--{flag}: must be {rule}. Got {got}.")
