"""What the values of a sampled column are: its type, how often it is missing, how many
values it has, how they look."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import orjson
import polars as pl

from pipeline.examples.reading.times import iso_clock
from pipeline.proposing.sampling import FILE, STRETCH, Sample

_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_LIST = r"^\s*\[.*\]\s*$"
_FITTING = 0.995  # of the values: a few may be damaged
_LONGEST_PART = 40  # characters, of what a text is a list of
_NO_NUMBERS = pl.Series([], dtype=pl.Float64)
LIST_SEPARATORS = (",", "|", ";", " ")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table, as its sample shows it.

    Attributes:
        name: In the files.
        type: As a spec declares it, without `?`.
        values: The sampled values in that type [B]; null where missing or unreadable.
        missing: Share of them without a value.
        distinct: Different values in the sample.
        separator: Of a text that holds a list, such as `12,65`; else "".
        width: Of a vector; else 0.
    """

    name: str
    type: str
    values: pl.Series = dataclasses.field(repr=False)
    missing: float
    distinct: int
    separator: str = ""
    width: int = 0

    @property
    def declared(self) -> str:
        """The type as the spec declares it, `?` where a value was missing."""
        return f"{self.type}?" if self.missing else self.type

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the name, lower case: `is_like`, `isLike` -> is, like."""
        return words_of(self.name)

    @property
    def is_number(self) -> bool:
        """Whether values are numbers (true and false are not)."""
        return self.values.dtype.is_numeric()

    @property
    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return self.values.dtype.is_integer()

    @property
    def is_text(self) -> bool:
        """Whether values are text."""
        return self.values.dtype == pl.String

    @property
    def is_list(self) -> bool:
        """Whether values are lists or vectors."""
        return isinstance(self.values.dtype, (pl.List, pl.Array)) or self.width > 0

    @property
    def is_flag(self) -> bool:
        """Whether values are true and false, or 0 and 1, no others."""
        if self.values.dtype == pl.Boolean:
            return True
        return (
            self.is_whole and self.distinct <= 2 and self.at_least(0) and self.most <= 1
        )

    @property
    def most(self) -> float:
        """The largest number; -inf without one."""
        values = self.values.cast(pl.Float64) if self.is_number else _NO_NUMBERS
        found = values.drop_nulls().to_numpy()
        return float(found.max(initial=-float("inf")))

    def at_least(self, floor: float) -> bool:
        """Whether all numbers are at least so large."""
        known = self.values.drop_nulls() if self.is_number else _NO_NUMBERS
        return bool(len(known)) and bool((known >= floor).all())

    def mean(self) -> float:
        """Of numbers, or of true and false; 0 without any."""
        return mean_of(self.values)

    def quantile(self, share: float) -> float:
        """Of numbers; 0 without any."""
        found = self.values.cast(pl.Float64, strict=False).quantile(share)
        return float(found) if found is not None else 0.0

    def some(self) -> Any:
        """A sample value, the first; None without any."""
        known = self.values.drop_nulls()
        return known[0] if len(known) else None


def mean_of(values: pl.Series) -> float:
    """The mean of numbers, or of true and false; 0 without any."""
    known = values.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
    return float(known.mean()) if len(known) else 0.0


def words(text: str) -> tuple[str, ...]:
    """The words of a list of them."""
    return tuple(text.split())


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, lower case."""
    return tuple(word.lower() for word in _WORD.findall(name))


def columns_of(sample: Sample) -> dict[str, Column]:
    """Every column of a sample by its name."""
    names = [c for c in sample.rows.columns if c not in (STRETCH, FILE)]
    return {name: _column(sample.rows[name]) for name in names}


def _column(raw: pl.Series) -> Column:
    values, kind, width = _typed(raw)
    lacks = raw.is_null()
    if raw.dtype == pl.String:
        lacks = lacks | raw.str.to_lowercase().is_in(["", "nan"]).fill_null(True)
    missing = mean_of(lacks) if len(raw) else 1.0
    found = Column(raw.name, kind, values, missing, _distinct(values), width=width)
    if kind == "string":
        return dataclasses.replace(found, separator=_list_separator(values))
    return found


def _distinct(values: pl.Series) -> int:
    if isinstance(values.dtype, (pl.List, pl.Array)):
        return (
            len(values.drop_nulls().list.explode().unique())
            if isinstance(values.dtype, pl.List)
            else 0
        )
    return values.drop_nulls().n_unique()


def _typed(raw: pl.Series) -> tuple[pl.Series, str, int]:
    """(values, declared type, width of a vector)."""
    if raw.dtype in (pl.Categorical, pl.Enum, pl.Binary):
        raw = raw.cast(pl.String, strict=False)
    if raw.dtype == pl.Null:
        return raw.cast(pl.String), "string", 0
    if raw.dtype == pl.String:
        return _from_text(raw)
    if isinstance(raw.dtype, pl.Array):
        return raw, f"vector<{raw.dtype.size}>", int(raw.dtype.size)
    if isinstance(raw.dtype, pl.List):
        return _from_lists(raw)
    return _plain(raw)


def _plain(raw: pl.Series) -> tuple[pl.Series, str, int]:
    """Of Parquet and JSON: the file says the type."""
    dtype = raw.dtype
    if dtype.is_integer():
        return raw, str(dtype).lower(), 0
    if dtype == pl.Boolean:
        return raw, "bool", 0
    if dtype == pl.Date:
        return raw, "date", 0
    if isinstance(dtype, pl.Datetime):
        return raw, "timestamp", 0
    name = "float32" if dtype == pl.Float32 else "float64"
    return raw.cast(pl.Float64, strict=False), name, 0


def _from_text(raw: pl.Series) -> tuple[pl.Series, str, int]:
    known = raw.drop_nulls()
    known = known.filter((known != "") & (known.str.to_lowercase() != "nan"))
    if not len(known):
        return raw, "string", 0

    def fits(pattern: str) -> bool:
        return mean_of(known.str.contains(pattern)) >= _FITTING

    codes = mean_of(known.str.contains(r"^0[0-9]+$"))  # zeros that a number loses
    if fits(_WHOLE) and codes > 1 - _FITTING:
        return raw, "string", 0
    if fits(_WHOLE):
        whole = raw.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
        if whole.null_count() <= raw.null_count() + 0.02 * len(raw):
            return whole, "int64", 0
        return raw, "string", 0  # beyond 64 bits
    if fits(_NUMBER):
        numbers = raw.cast(pl.Float64, strict=False)
        return numbers.fill_nan(None), "float64", 0
    lower = raw.str.to_lowercase()
    if set(lower.drop_nulls().unique().to_list()) <= {"true", "false", ""}:
        return lower == "true", "bool", 0
    if fits(_DATE):
        return raw.str.to_date("%Y-%m-%d", strict=False), "date", 0
    if (
        float(pl.select(iso_clock(pl.lit(known)).is_not_null().mean()).item())
        >= _FITTING
    ):
        return raw, "string", 0  # ISO texts: log.time knows them, see guess_time
    if fits(_LIST) and (width := _vector_width(known)):
        return raw, f"vector<{width}>", width
    return raw, "string", 0


def _vector_width(texts: pl.Series) -> int:
    """The length of texts such as `[0.1, 0.2]`, if it is the same in all."""
    lengths = set()
    for text in texts.head(200):
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            return 0
        if not all(isinstance(value, (int, float)) for value in values):
            return 0
        lengths.add(len(values))
    return lengths.pop() if len(lengths) == 1 and max(lengths) > 1 else 0


def _from_lists(raw: pl.Series) -> tuple[pl.Series, str, int]:
    assert isinstance(raw.dtype, pl.List)
    inner = raw.dtype.inner
    lengths = raw.drop_nulls().list.len().unique()
    if inner in (pl.Float32, pl.Float64) and len(lengths) == 1 and lengths[0] > 1:
        return raw, f"vector<{lengths[0]}>", int(lengths[0])
    flat = raw.list.explode().head(1000)
    return raw, f"list<{_plain(flat)[1] if inner != pl.String else 'string'}>", 0


def _list_separator(values: pl.Series) -> str:
    """What parts a text into values of a small vocabulary, "" if nothing does.

    Parts must come back: texts of many different words are sentences, no lists.
    """
    known = values.drop_nulls()
    for separator in LIST_SEPARATORS:
        several = known.str.contains(separator, literal=True)
        if not len(known) or mean_of(several) < 0.1:
            continue
        parts = known.unique().str.split(separator).list.explode()
        words = parts.n_unique()
        spaced = separator == " "  # as sentences are: so the parts must come back often
        often = len(parts) // (5 if spaced else 2)
        few = words <= max(2, often) and (not spaced or words <= 256)
        if few and mean_of(parts.str.len_chars()) < _LONGEST_PART:
            return separator
    return ""


def named(columns: Iterable[Column], *names: str) -> Column | None:
    """The first column whose name is one of some, whatever its case and signs."""
    plain = {_plain_name(column.name): column for column in columns}
    wanted = map(_plain_name, names)
    return next((plain[name] for name in wanted if name in plain), None)


def _plain_name(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
