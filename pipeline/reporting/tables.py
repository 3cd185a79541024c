"""Tables for people, on a console and in Markdown, and how numbers look in them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.reporting.intervals import Gain

SIGNIFICANT = "*"  # behind a gain whose interval leaves 0 out


def new_table(
    title: str,
    heads: Sequence[str],
    *,
    texts: Collection[str] = (),
    folded: Collection[str] = (),
    caption: str | None = None,
) -> Table:
    """An empty table.

    Args:
        title: Above it, on the left.
        heads: Of the columns. All but the first one are numbers, on the right.
        texts: Heads of other columns that are text.
        folded: Heads of columns whose long cells go on in a next line.
        caption: Below it, on the left.
    """
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
        caption=caption,
        caption_justify="left",
    )
    for place, head in enumerate(heads):
        is_text = place == 0 or head in texts
        table.add_column(
            head,
            justify="left" if is_text else "right",
            no_wrap=head not in folded,
            overflow="fold" if head in folded else "ellipsis",
        )
    return table


def number(value: float | None, digits: int = 4, *, missing: str = "") -> str:
    """`0.7410`; `missing` for NaN and None, which say that there is no such number."""
    if value is None or math.isnan(value):
        return missing
    return f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 0, *, missing: str = "") -> str:
    """`74 %` for 0.74; `missing` for NaN and None."""
    if share is None or math.isnan(share):
        return missing
    return f"{100 * share:.{digits}f} %"


def gain_text(gain: Gain | None, digits: int = 4, *, missing: str = "-") -> str:
    """`+0.0016 ±0.0004*`: a gain, half of its interval, a star where it is significant.

    Without an interval it is the gain alone, and `missing` without a gain.
    """
    if gain is None or math.isnan(gain.mean):
        return missing
    text = f"{round(gain.mean, digits) + 0.0:+.{digits}f}"  # no negative zero
    if not gain.has_interval:
        return text
    return f"{text} ±{gain.half:.{digits}f}{SIGNIFICANT * gain.is_significant}"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table to paste; all columns but the first one are numbers."""
    rule = ["---", *("---:" for _ in heads[1:])]
    # A star of its own would begin emphasis.
    cells = [
        [cell.replace(SIGNIFICANT, rf"\{SIGNIFICANT}") for cell in row] for row in rows
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in [heads, rule, *cells])
