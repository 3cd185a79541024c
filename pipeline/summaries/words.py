"""Texts -> words, as the encoding splits them, in columns."""

from __future__ import annotations

import polars as pl

# The same as in the encoding (`pipeline.transform`), where TensorFlow reads them: what
# stands between words, and what is a word of its own.
_BETWEEN = r"[\p{Z}\p{P}\p{C}\p{Sm}\p{Sc}\p{Sk}]+"
_ALONE = r"([\p{So}\p{Han}\p{Hiragana}\p{Katakana}])"


def words_of(texts: pl.Expr) -> pl.Expr:
    """Text -> the list of its words in lower case, maybe an empty one."""
    found = texts.str.to_lowercase().str.replace_all(_BETWEEN, " ")
    found = found.str.replace_all(_ALONE, " ${1} ")
    return found.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
