"""Texts -> words, as the encoding splits them, in columns."""

from __future__ import annotations

import polars as pl

# What stands between words: blanks, punctuation, mathematical and other signs, and what
# is not printed. Emoji are words, as is each letter of scripts that leave no blanks.
# TensorFlow splits by the same where texts are encoded.
BETWEEN = r"[\p{Z}\p{P}\p{C}\p{Sm}\p{Sc}\p{Sk}]+"
ALONE = r"([\p{So}\p{Han}\p{Hiragana}\p{Katakana}])"


def words_of(texts: pl.Expr) -> pl.Expr:
    """Text -> the list of its words in lower case, maybe an empty one."""
    found = texts.str.to_lowercase().str.replace_all(BETWEEN, " ")
    found = found.str.replace_all(ALONE, " ${1} ")
    return found.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
