"""When a row of a log happened: the part of `log.time` that other logs have, too."""

from __future__ import annotations

import dataclasses
from typing import Literal

from feature_specs import expressions


@dataclasses.dataclass(frozen=True, kw_only=True)
class MomentSpec:
    """When a row happened. A text in the file is its `column`.

    Attributes:
        column: Column with numbers since the Unix epoch, timestamps, or ISO 8601 texts.
        expr: Instead of it: SQL over columns of the files that gives one of these.
        unit: Unit of the numbers, which timestamps in a column of numbers are converted
            to; `iso` for texts.
        timezone: IANA name: whose wall clock showed the texts and timestamps that have
            no zone; by default the log's.
        zone_column: Instead of it: column with the IANA name of each row's zone.
    """

    column: str = ""
    expr: str = ""
    unit: Literal["s", "ms", "us", "ns", "iso"] = "ms"
    timezone: str = ""
    zone_column: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the files that say when a row happened."""
        try:
            read = expressions.columns_of(self.expr) if self.expr else {self.column}
        except ValueError:  # which the reader tells
            read = set()
        return tuple(sorted({*read, self.zone_column} - {""}))
