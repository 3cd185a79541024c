"""`trailrank pipeline run`: what it says of the model, and the status that tells so."""

import dataclasses
import io

import rich.console

from feature_specs import load_spec, read_spec
from pipeline.command import show_outcome
from pipeline.run_record import RunRecord

_RECORD = RunRecord(
    spec="movielens",
    spec_text="",
    spec_digest="",
    preset="mmoe",
    days="",
    eval_splits=(),
    logs="",
    rows={},
    examples="",
    model="",
    pushed=True,
    metrics=[],
    slices={},
    versions={},
)
_GATED = load_spec("movielens")
_FREE = read_spec(_GATED.text[: _GATED.text.index("evaluation:")])


def _outcome(spec, pushed) -> tuple[int, str]:
    printed = io.StringIO()
    console = rich.console.Console(file=printed, width=400)
    record = dataclasses.replace(_RECORD, pushed=pushed)
    return show_outcome("RUN", spec, record, console), printed.getvalue()


def test_a_blessed_model_ends_with_0():
    status, told = _outcome(_GATED, pushed=True)
    assert status == 0
    assert told == (
        "Pushed to RUN/models/movielens. Serve it with trailrank serve --root RUN.\n"
    )


def test_a_refused_model_ends_with_3():
    status, told = _outcome(_GATED, pushed=False)
    assert status == 3
    assert told.startswith("Not blessed, so not pushed: the model missed a threshold")


def test_without_a_gate_it_is_told_that_there_is_none():
    status, told = _outcome(_FREE, pushed=True)
    assert status == 0
    assert told.startswith("No gate: the spec movielens sets no evaluation.min_auc")
    assert "Pushed to RUN/models/movielens." in told


def test_a_model_that_is_not_pushed_never_ends_with_0():
    status, told = _outcome(_FREE, pushed=False)
    assert status == 3
    assert "threshold" not in told
    assert told.startswith("Not pushed: ")
