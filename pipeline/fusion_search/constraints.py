"""How far a task's rate may move: `skip <= 1%`, `like >= -2%`.

The number is the change of the discounted rate among the first k, relative to that of
the order by the default weights: `skip <= 1%` lets it rise by 1 % at most, `like >=
-2%` lets it fall by 2 % at most, and `like >= 5%` asks for a rise of 5 %.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Literal, cast

from pipeline.fusion_search.errors import FusionSearchError

_TEXT = re.compile(r"\s*(\S+?)\s*(<=|>=)\s*([-+]?\d+(?:\.\d*)?)\s*%\s*")


@dataclasses.dataclass(frozen=True)
class Constraint:
    """One limit.

    Attributes:
        task: Whose rate.
        side: Whether the change stays below the limit or above.
        limit: A share: 0.01 is 1 %.
    """

    task: str
    side: Literal["<=", ">="]
    limit: float

    @classmethod
    def parse(cls, text: str, tasks: Collection[str]) -> Constraint:
        """`skip <= 1%`.

        Raises:
            FusionSearchError: It is not of that form, or names no task.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise FusionSearchError(
                f"--constraint {text!r}: must be like 'skip <= 1%' (its rate rises by "
                "1 % at most) or 'like >= -2%' (it falls by 2 % at most)."
            )
        if match[1] not in tasks:
            raise FusionSearchError(
                f"--constraint {text!r}: there is no task {match[1]!r}. The tasks are "
                f"{', '.join(tasks)}."
            )
        side = cast(Literal["<=", ">="], match[2])
        return cls(match[1], side, float(match[3]) / 100)

    def violation(self, change: float) -> float:
        """How far a change, as a share, is beyond the limit; 0 if it is not."""
        over = change - self.limit
        return max(0.0, over if self.side == "<=" else -over)

    def __str__(self) -> str:
        return f"{self.task} {self.side} {100 * self.limit:g}%"
