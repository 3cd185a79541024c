"""What flags of several commands take."""

from __future__ import annotations

import pytest

from feature_specs import flags
from feature_specs.flags import ArgumentParser


@pytest.fixture
def parse():
    parser = ArgumentParser(prog="some")
    flags.add_loss_weights(parser.add_argument)
    return lambda *words: parser.parse_args(words).loss_weights


def test_weights_of_tasks(parse):
    assert parse("--loss_weights", "like=50, share=2.5,hate=0") == {
        "like": 50.0,
        "share": 2.5,
        "hate": 0.0,
    }
    assert parse() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("like", "Got 'like'"),
        ("like=5,", "Got ''"),
        ("=5", "Got '=5'"),
        ("like=-1", "Got 'like=-1'"),
        ("like=nan", "Got 'like=nan'"),
        ("like=inf", "Got 'like=inf'"),
        ("like=1,like=2", "names 'like' twice"),
    ],
)
def test_what_is_no_weight_is_refused(parse, text, message, capsys):
    with pytest.raises(SystemExit):
        parse("--loss_weights", text)
    assert message in capsys.readouterr().err
