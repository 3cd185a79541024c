"""Which columns are outcomes: known only after the impression, for labels, never for
features.

By name (`is_like`, `play_time_ms`), and by what the rows show: where a log holds an
impression twice, what differs between its rows was not known at first; and what is 0
or missing in every row that was not watched at all is made by watching.
"""

from __future__ import annotations

import polars as pl

from pipeline.proposing.columns import Column, mean_of

GOOD = {
    *("like", "liked", "likes", "click", "clicked", "follow", "followed", "comment"),
    *("commented", "share", "shared", "forward", "repost", "favorite", "favourite"),
    *("fav", "save", "saved", "collect", "download", "purchase", "purchased", "buy"),
    *("order", "cart", "convert", "conversion", "subscribe", "replay", "finish"),
    *("finished", "complete", "completed", "enter", "rating", "rated", "reward"),
    *("reaction", "upvote", "engaged", "interact", "view", "viewed"),
}
BAD = {
    *("hate", "dislike", "disliked", "report", "reported", "skip", "skipped", "unlike"),
    *("block", "blocked", "unfollow", "hide", "negative", "downvote", "exit"),
}
_WATCHED = {"play", "played", "watch", "watched", "dwell", "stay", "view", "playtime"}
_AMOUNTS = {"time", "duration", "seconds", "sec", "secs", "ms", "s", "msec", "share"}
_TOTALS = {"cnt", "count", "counts", "num", "total", "rate", "ratio", "avg", "mean"}
_IDLE_ROWS = 30  # not watched: fewer say nothing
_CHANCE = 1e-3


def is_outcome_name(column: Column) -> bool:
    """Whether a log column's name is that of something a user did with a video."""
    words = set(column.words)
    if words & {"id", "ids", "type", "url", "user", "author", "num"} or column.is_list:
        return False
    if words & (GOOD | BAD):
        return True
    return bool(words & _WATCHED and words & _AMOUNTS)


def is_total_name(column: Column) -> bool:
    """Whether a side column counts what users did: `like_cnt`, `play_duration`."""
    words = set(column.words)
    did = words & (GOOD | BAD | _WATCHED | {"show", "impression", "impressions"})
    return (
        column.is_number
        and bool(did)
        and bool(words & (_TOTALS | _AMOUNTS | {"progress"}))
    )


def guess_watched(columns: dict[str, Column]) -> Column | None:
    """The column with the time watched."""
    return _best(columns, _WATCHED, without={"profile", "comment", "page"})


def guess_length(columns: dict[str, Column], watched: Column | None) -> Column | None:
    """The column with the video's length."""
    rest = {n: c for n, c in columns.items() if watched is None or n != watched.name}
    rest = {n: c for n, c in rest.items() if not set(c.words) & _WATCHED}
    return _best(rest, {"duration", "length", "len"}, without={"title", "text", "name"})


def unit_of(column: Column) -> str:
    """`ms` or `s`: by the name's end, else by the median of what is not 0:
    from 1000 on it is ms."""
    words = column.words
    if words and words[-1] in ("ms", "msec", "millis", "milliseconds"):
        return "ms"
    if words and words[-1] in ("s", "sec", "secs", "seconds"):
        return "s"
    positive = column.values.cast(pl.Float64, strict=False)
    return "ms" if (positive.filter(positive > 0).quantile(0.5) or 0) >= 1000 else "s"


def told_by_copies(
    rows: pl.DataFrame, key: list[str], columns: dict[str, Column]
) -> set[str]:
    """Columns whose values differ between rows of one impression.

    Args:
        rows: The sampled rows.
        key: User, time and item.
        columns: The log's.
    """
    others = [name for name in columns if name not in key and name in rows.columns]
    repeated = rows.filter(pl.struct(key).is_duplicated())
    if not repeated.height or not others:
        return set()
    plain = [name for name in others if not columns[name].is_list]
    differ = repeated.group_by(key).agg(pl.col(plain).n_unique() > 1)
    return {name for name in plain if bool(differ[name].any())}


def told_by_idle_rows(columns: dict[str, Column], watched: Column | None) -> set[str]:
    """Numbers and flags that are 0 or missing wherever nothing was watched."""
    if watched is None:
        return set()
    seconds = watched.values.cast(pl.Float64, strict=False)
    idle = (seconds == 0).fill_null(True)
    count = int(idle.sum())
    if count < _IDLE_ROWS:
        return set()
    found = set()
    for name, column in columns.items():
        if name == watched.name or not (column.is_number or column.is_flag):
            continue
        is_set = (column.values.cast(pl.Float64, strict=False) != 0).fill_null(False)
        share = mean_of(is_set.filter(~idle))
        if not is_set.filter(idle).any() and (1 - share) ** count < _CHANCE:
            found.add(name)
    return found


def _best(
    columns: dict[str, Column], words: set[str], without: set[str]
) -> Column | None:
    """The first number with such a word in its name, best beside an amount."""
    found = [
        column
        for column in columns.values()
        if set(column.words) & words
        and column.is_number
        and not set(column.words) & (without | _TOTALS)
        and not column.is_flag
        and column.at_least(-1)
    ]
    found.sort(key=lambda column: not set(column.words) & _AMOUNTS)
    return found[0] if found and found[0].distinct > 5 else None
