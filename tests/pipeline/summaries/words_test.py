"""Words of texts: the same ones as TensorFlow finds, which encodes them."""

import polars as pl
import tensorflow as tf

from pipeline.summaries.words import ALONE, BETWEEN, words_of

_TEXTS = [
    "Best GOALS, of 2022!",
    "  tabs\tand\nlines\u00a0and\u3000wide blanks ",
    "don't e-mail a+b=c $5 x^y `code`",
    "看电影vlog 日常のカフェ😀😀cat",
    "ÄÖÜß ΣΑΣ İstanbul Ǆ",
    "#tag @user http://a.b/c?d=e",
    "zero\u200bwidth\ufeff and\u0007bell",
    "한국어 тест नमस्ते",
    "½ ² ⅷ ①  ♥love♥ ©2022",
    "...",
    "",
]


def test_words_by_hand():
    frame = pl.DataFrame({"text": ["Best GOALS, of 2022!", "看电影vlog😀", " - ", ""]})
    found = frame.select(words_of(pl.col("text"))).to_series().to_list()
    assert found == [
        ["best", "goals", "of", "2022"],
        ["看", "电", "影", "vlog", "😀"],
        [],
        [],
    ]


def test_words_are_those_that_tensorflow_finds():
    text = tf.strings.lower(tf.constant(_TEXTS), encoding="utf-8")
    text = tf.strings.regex_replace(text, BETWEEN, " ")
    text = tf.strings.regex_replace(text, ALONE, r" \1 ")
    wanted = [[w.decode() for w in row] for row in tf.strings.split(text).to_list()]
    frame = pl.DataFrame({"text": _TEXTS})
    assert frame.select(words_of(pl.col("text"))).to_series().to_list() == wanted
