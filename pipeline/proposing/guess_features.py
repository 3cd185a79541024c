"""Columns -> features: whose each is, and of which kind.

Whose a column is says its file (a side file's is its key's) or the rows: a column that
has one value for each video is the video's. What the rows cannot tell is proposed as a
`paired` feature of the candidate, which is right whoever's it is, only larger to send.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from pipeline.proposing.columns import Column, mean_of
from pipeline.proposing.guess_keys import Roles
from pipeline.proposing.guess_outcomes import unit_of
from pipeline.proposing.guess_time import day_columns
from pipeline.proposing.names import feature_name, nice, sql

_AMOUNTS = {
    *("num", "number", "cnt", "count", "counts", "days", "age", "year", "years", "len"),
    *(
        "length",
        "duration",
        "size",
        "width",
        "height",
        "score",
        "price",
        "rate",
        "ratio",
    ),
    *("share", "seconds", "minutes", "hours", "ms", "lat", "lon", "amount", "level"),
}
_FEWEST_GROUPS = 20  # of two rows and more: fewer do not tell whose a column is
_ONE_VALUE = 0.98
_MOST_CODES, _MOST_CATEGORIES = 200, 1_000
_FEW_CODES = 32
_FEWEST_BUCKETS = 1_000  # of users and of videos: there will be more of them
_TEXT_WORDS = 2.0
_SKEWED = 10.0


@dataclasses.dataclass(frozen=True)
class FeatureGuess:
    """A proposed feature.

    Attributes:
        name: Of the feature.
        group: `query`, `candidate` or `context`.
        kind: Of the feature.
        settings: Its other keys, as YAML writes them, in order.
        why: A comment; "" where nothing need be said.
    """

    name: str
    group: str
    kind: str
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    why: str = ""


@dataclasses.dataclass(frozen=True)
class FeatureGuesses:
    """All features, the tables that they share, and what became none.

    Attributes:
        features: In the order of groups.
        tables: Table -> (buckets, about how many ids there are).
        left_out: Column -> why it is no feature.
    """

    features: tuple[FeatureGuess, ...]
    tables: Mapping[str, tuple[int, str]]
    left_out: Mapping[str, str]


def guess_features(
    roles: Roles, outcomes: set[str], length: str | None
) -> FeatureGuesses:
    """The features of a log and its side files.

    Args:
        roles: Which table and column plays which role.
        outcomes: Columns of the log that no feature may read.
        length: The column with the video's length, if there is one.
    """
    maker = _Maker(roles, outcomes, length)
    maker.run()
    order = {"query": 0, "candidate": 1, "context": 2}
    features = sorted(maker.features, key=lambda feature: order[feature.group])
    return FeatureGuesses(tuple(features), maker.tables, maker.left_out)


def joined_names(roles: Roles) -> Iterator[tuple[str, str, Column]]:
    """(join, its key, column) of every column that a side file brings: of a name that
    comes twice the first one."""
    seen = set(roles.log.columns)
    for join in roles.joins:
        if join.totals:
            continue
        for name, column in join.look.columns.items():
            if name != join.key and name not in seen:
                seen.add(name)
                yield join.look.name, join.key, column


def ids_in_all(roles: Roles, column: str) -> int:
    """About how many values an id of the log has in all of its rows."""
    for join in roles.joins:
        if join.key == column:
            return max(join.look.sample.row_count, join.look.columns[column].distinct)
    values = roles.log.columns[column].values
    counts = values.drop_nulls().value_counts()["count"]
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    # Chao (1984): what was seen once and twice says how much was not seen at all.
    unseen = 0 if roles.log.sample.is_whole else once * once // (2 * max(twice, 1))
    return len(counts) + unseen


class _Maker:
    def __init__(self, roles: Roles, outcomes: set[str], length: str | None):
        self._roles, self._outcomes, self._length = roles, outcomes, length
        self.features: list[FeatureGuess] = []
        self.tables: dict[str, tuple[int, str]] = {}
        self.left_out: dict[str, str] = {}

    def run(self) -> None:
        roles = self._roles
        self._add_id(roles.user, "query")
        self._add_id(roles.item, "candidate")
        for name, key, column in joined_names(roles):
            group = {roles.user: "query", roles.item: "candidate"}.get(key)
            self._add(
                column, group or self._owner(roles.log.columns[key]), f"of {name}"
            )
        days = day_columns(roles.time, roles.log.columns)
        for name, column in roles.log.columns.items():
            if why := self._no_feature(name, days):
                self.left_out[name] = why
            elif name not in (roles.user, roles.item, *self._outcomes):
                self._add(column, self._owner(column))
        hour = {"size": "24", "expr": '"EXTRACT(hour FROM event_time)"'}
        self.features.append(FeatureGuess(self._free("hour"), "context", "code", hour))

    def _no_feature(self, name: str, days: set[str]) -> str:
        roles = self._roles
        if name == roles.time.column.name:
            return "the time itself comes never again"
        if name in days:
            return f"a part of {roles.time.column.name}: the hour is a feature already"
        if name == roles.random:
            return "no request knows it"
        if name == roles.impression:
            return "it names the impression"
        if name == roles.request:
            return "it names the request"
        return ""

    def _owner(self, column: Column) -> str:
        """`query`, `candidate`, `context`, or "" if the rows do not tell."""
        log = self._roles.log
        rows = pl.DataFrame(
            {
                "value": column.values.rank("dense")
                if column.values.dtype.is_numeric() or column.is_text
                else column.values.hash()
                if not column.is_list
                else column.values.cast(pl.List(pl.String), strict=False).list.join(
                    ","
                ),
                "user": log.columns[self._roles.user].values,
                "item": log.columns[self._roles.item].values,
            }
        )
        shares = {side: _one_value(rows, side) for side in ("item", "user")}
        if shares["item"] is not None and shares["item"] >= _ONE_VALUE:
            return "candidate"
        if shares["item"] is None:
            return ""
        if shares["user"] is not None and shares["user"] >= _ONE_VALUE:
            return "query"
        return "context"  # no video's: then a request is right, whoever's it is

    def _add_id(self, name: str, group: str) -> None:
        table = feature_name(name).removesuffix("_id").removesuffix("id").rstrip("_")
        if not table or not self._roles.is_sure:
            table = "user" if group == "query" else "item"
        self._table(table, ids_in_all(self._roles, name), _FEWEST_BUCKETS)
        self.features.append(
            FeatureGuess(
                self._free(feature_name(name)),
                group,
                "id",
                self._keys(name, table=table),
            )
        )

    def _add(self, column: Column, group: str, why: str = "") -> None:
        name = column.name
        if name == self._length:
            self._add_length(column)
            return
        if not column.distinct and not column.width:
            self.left_out[name] = "it is empty in the sample"
            return
        if column.distinct == 1 and not column.is_list:
            self.left_out[name] = f"it is {column.some()!r} in the whole sample"
            return
        kind, settings, note = self._kind(column)
        if not kind:
            self.left_out[name] = note
            return
        if not group:
            settings = {"paired": "true", **settings}
            note = note or "could not know whose it is: too few rows of one video"
        self.features.append(
            FeatureGuess(
                self._free(feature_name(name)),
                group or "candidate",
                kind,
                self._keys(name, **settings),
                note,
            )
        )

    def _add_length(self, column: Column) -> None:
        expr = sql(column.name) + (" / 1000" if unit_of(column) == "ms" else "")
        settings = {"transform": "log1p", "expr": f'"{_escaped(expr)}"'}
        name = self._free("length_s")
        self.features.append(FeatureGuess(name, "candidate", "number", settings))

    def _kind(self, column: Column) -> tuple[str, dict[str, str], str]:
        """(kind, its keys, what to say of it); no kind for what is no feature."""
        if column.width:
            return "vector", {"normalize": "l2"}, f"{column.width} numbers"
        if column.is_list or column.separator:
            return self._sequence(column)
        if column.is_flag:
            return "code", {"size": "2"}, ""
        if column.type in ("date", "timestamp"):
            return "", {}, "a day comes never again; its age in days could be a number"
        if column.is_text:
            return self._text(column)
        return self._number(column)

    def _sequence(self, column: Column) -> tuple[str, dict[str, str], str]:
        values, expr = column.values, ""
        if column.separator:
            expr = (
                f"STRING_TO_ARRAY(NULLIF({sql(column.name)}, ''), '{column.separator}')"
            )
            values = values.str.split(column.separator)
        lengths = values.drop_nulls().list.len()
        length = max(1, int(lengths.quantile(0.95) or 1))
        table = feature_name(column.name)
        self._table(table, values.list.explode().n_unique())
        keys = {"table": table, "length": str(length)}
        if expr:
            keys["expr"] = f'"{_escaped(expr)}"'
        return "sequence", keys, f"95 % have at most {length}"

    def _text(self, column: Column) -> tuple[str, dict[str, str], str]:
        known = column.values.drop_nulls()
        words = mean_of(known.str.count_matches(r"\S+"))
        mostly_own = (
            column.distinct > 0.5 * len(known.unique()) and column.distinct > 50
        )
        if mostly_own and words >= _TEXT_WORDS and not _is_id(column):
            length = max(1, int(known.str.count_matches(r"\S+").quantile(0.95) or 1))
            table = f"{feature_name(column.name)}_words"
            found = known.str.to_lowercase().str.split(" ").list.explode().n_unique()
            self._table(table, found)
            keys = {"table": table, "length": str(length)}
            return "text", keys, f"words; 95 % have at most {length}"
        if _is_id(column) or column.distinct > _MOST_CATEGORIES:
            return self._id(column)
        if len(known) >= 50 and column.distinct > 0.5 * len(known):
            return "", {}, "nearly every row has a value of its own"
        return "category", {"size": str(nice(1.25 * column.distinct))}, _seen(column)

    def _number(self, column: Column) -> tuple[str, dict[str, str], str]:
        is_amount = bool(set(column.words) & _AMOUNTS)
        if _is_id(column) and column.is_whole:
            return self._id(column)
        if not self._roles.is_sure and column.is_whole and column.distinct > _FEW_CODES:
            kind, keys, _ = self._id(column)
            return kind, keys, "could not know: without a name a number may be an id"
        if column.is_whole and not is_amount and column.at_least(0):
            if column.most < min(_MOST_CODES, 4 * column.distinct + 8):
                return "code", {"size": str(int(column.most) + 1)}, _seen(column)
            if column.distinct <= _MOST_CATEGORIES and column.most < 100_000:
                size = nice(1.25 * column.distinct)
                return "category", {"size": str(size)}, _seen(column)
        if column.at_least(0) and column.quantile(0.99) > _SKEWED * max(
            column.quantile(0.5), 1e-9
        ):
            return "number", {"transform": "log1p"}, ""
        return "number", {}, ""

    def _id(self, column: Column) -> tuple[str, dict[str, str], str]:
        table = feature_name(column.name).removesuffix("_id")
        self._table(table, column.distinct)
        return "id", {"table": table}, ""

    def _table(self, name: str, ids: int, fewest: int = 8) -> None:
        buckets = max(fewest, nice((1.5 if ids > 100 else 2) * ids))
        known = self.tables.get(name, (0, ""))
        self.tables[name] = max(known, (buckets, f"about {ids:,} ids"))

    def _keys(self, column: str, **settings: str) -> dict[str, str]:
        """Keys, and an `expr` where the feature is not called as its column."""
        if feature_name(column) == column and sql(column) == column:
            return dict(settings)
        settings.setdefault("expr", f'"{_escaped(sql(column))}"')
        return dict(settings)

    def _free(self, name: str) -> str:
        taken = {feature.name for feature in self.features}
        while name in taken:
            name = f"{name}_2"
        return name


def _one_value(rows: pl.DataFrame, side: str) -> float | None:
    """The share of users (or items) of several rows with one value in all of them;
    None if they are too few."""
    groups = rows.group_by(side).agg(pl.len().alias("n"), pl.col("value").n_unique())
    several = groups.filter(pl.col("n") > 1)
    if several.height < _FEWEST_GROUPS:
        return None
    return mean_of(several["value"] == 1)


def _is_id(column: Column) -> bool:
    return bool({"id", "ids", "uuid"} & set(column.words))


def _seen(column: Column) -> str:
    return f"{column.distinct} in the sample"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def of_group(features: Iterable[FeatureGuess], group: str) -> list[FeatureGuess]:
    """The features of a group."""
    return [feature for feature in features if feature.group == group]
