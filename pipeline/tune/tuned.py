"""What a search found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from feature_specs import ModelConfig
from pipeline.tune.holdout import Holdout
from pipeline.tune.plan import Plan
from pipeline.tune.search import Tried


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search found.

    Attributes:
        plan: What was searched.
        tried: All trials, trial 0 first, which is the preset as it was.
        best: The one of the highest value.
        importance: Key -> its share of the trials' spread, the largest first; empty
            with few trials.
        holdout: What the days kept from the search say; None if they were not asked, or
            the best trial is the preset itself.
    """

    plan: Plan
    tried: Sequence[Tried]
    best: Tried
    importance: Mapping[str, float]
    holdout: Holdout | None

    @property
    def preset(self) -> ModelConfig:
        """The best trial's."""
        return self.best.config or self.plan.preset

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `not shown to be better`, by the days kept."""
        return self.holdout.verdict if self.holdout else "not shown to be better"
