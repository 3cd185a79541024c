"""What a sample of logs showed of a spec's features and tasks, for its tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Seen:
    """Numbers of a sample's training days.

    Attributes:
        means: Task -> mean of its label over its sample space; None if that is empty.
        known: Task -> share of the examples that train it.
        missing: Feature -> share of the examples that lack it.
        values: Feature -> its different values, of a list those of its elements: what a
            category whose size is counted would have.
    """

    means: Mapping[str, float | None]
    known: Mapping[str, float]
    missing: Mapping[str, float]
    values: Mapping[str, int]

    def mean(self, task: str) -> str:
        """A task's mean, as tables show it."""
        value = self.means.get(task)
        return "" if value is None else f"{value:.4g}"

    def lacks(self, feature: str) -> str:
        """A feature's missing share, as tables show it."""
        share = self.missing.get(feature)
        return "" if share is None else f"{share:.1%}"

    def count(self, feature: str) -> str:
        """A feature's different values, as tables show them."""
        found = self.values.get(feature)
        return "" if found is None else f"{found:,}"
