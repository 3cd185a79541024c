"""What is searched, on what; checked before anything is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from feature_specs import ModelConfig, views
from pipeline.compare.examples import Examples
from pipeline.tune.objective import Objective
from pipeline.tune.space import Space
from tpu_configs import SliceConfig

_RUNGS = 4  # a first rung at a fourth of the days, at the first day at least


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, on what.

    Attributes:
        preset: Trial 0, and what the others differ from.
        name: Of the preset, for people.
        space: Key -> where it is searched.
        examples: Days to search on, and the days kept from it.
        objective: What a trial is worth.
        slice: What a training runs on.
        seed: Of the values drawn, and of every trial's training.
    """

    preset: ModelConfig
    name: str
    space: Space
    examples: Examples
    objective: Objective
    slice: SliceConfig
    seed: int

    @property
    def by_passes(self) -> bool:
        """Whether trials are judged on the last search day, as presets' passes are."""
        searched = any(key.split(".")[0] == "passes" for key in self.space)
        return searched or self.preset.passes.most > 1

    @property
    def steps(self) -> int:
        """Days that judge a trial."""
        return 1 if self.by_passes else len(self.examples.train) - 1

    @property
    def first_rung(self) -> int:
        """Days after which a trial may be given up."""
        return max(1, self.steps // _RUNGS)

    def holdout_seeds(self, pairs: int) -> tuple[int, ...]:
        """Of the trainings that judge the best trial: none is the search's."""
        return tuple(range(self.seed + 1, self.seed + 1 + pairs))

    def identity(self) -> dict[str, str]:
        """What a search in the same directory must agree in: word -> digest."""
        from trainer.days.encoding import read_encoding

        examples, graph = self.examples, self.examples.encoding
        told: dict[str, Any] = {
            "spec": views.digest(examples.spec, views.TRAINING),
            "days": [*examples.train_days, "/", *examples.evaluation_days],
            "examples": examples.fingerprint,
            "encoding": read_encoding(graph).digest if graph else None,
            "preset": json.loads(json.dumps(dataclasses.asdict(self.preset))),
            "space": {key: domain.as_yaml() for key, domain in self.space.items()},
            "metric": str(self.objective),
            "slice": dataclasses.asdict(self.slice),
            "seed": self.seed,
        }
        return {name: _digest(value) for name, value in told.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
