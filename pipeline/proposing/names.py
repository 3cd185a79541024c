"""Names of columns as a spec writes them: in SQL, in YAML, and as names of features."""

from __future__ import annotations

import json
import re

from pipeline.proposing.columns import words, words_of

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_YAML_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_YAML_WORDS = words("false inf n nan no null off on true y yes")
# Words that SQL has another use for.
_SQL_WORDS = words(
    "all and array as asc begin between by case cast check column comment cross "
    "current date day default desc distinct else end exists extract false filter "
    "for from full group having hour if in index inner insert interval into is join "
    "key left like limit match natural not null of offset on or order outer over "
    "partition position range right row rows select set share some table then time "
    "timestamp to true union unique update user using value values view when where "
    "with"
)


def sql(column: str) -> str:
    """A column in SQL."""
    if _PLAIN.fullmatch(column) and column not in _SQL_WORDS:
        return column
    return f'"{column}"'


def yaml(text: str) -> str:
    """A key or a text of YAML, quoted where it would be read as something else."""
    if _YAML_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def feature_name(column: str) -> str:
    """A column as the name of a feature: `movieId` -> movie_id, `author.id` ->
    author_id."""
    if _NAME.fullmatch(column):
        return column
    name = "_".join(words_of(column)) or "feature"
    return (name if name[0].isalpha() else f"f_{name}")[:64]


def nice(count: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50... that is as large."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if factor * size >= count:
                return factor * size
        size *= 10
