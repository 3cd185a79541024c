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
    version="7",
    metrics=[],
    slices={},
    versions={},
)
_GATED = load_spec("movielens")
_FREE = read_spec(_GATED.text.replace("evaluation:", "evaluation:\n  gate: none"))


def _outcome(spec, pushed) -> tuple[int, str]:
    printed = io.StringIO()
    console = rich.console.Console(file=printed, width=400)
    refused = "" if pushed else "Model 7: is refused [by a gate]."
    record = dataclasses.replace(_RECORD, pushed=pushed, refused=refused)
    return show_outcome("RUN", spec, record, console), printed.getvalue()


def test_a_blessed_model_ends_with_0():
    status, told = _outcome(_GATED, pushed=True)
    assert status == 0
    assert told == (
        "Pushed to RUN/models/movielens/7. Serve it with trailrank serve --root RUN.\n"
    )


def test_a_refused_model_ends_with_3():
    status, told = _outcome(_GATED, pushed=False)
    assert status == 3
    assert told == "Not pushed: Model 7: is refused [by a gate].\n"


def test_without_a_gate_it_is_told_that_there_is_none():
    status, told = _outcome(_FREE, pushed=True)
    assert status == 0
    assert told.startswith("No gate: the spec movielens says evaluation.gate: none")
    assert "Pushed to RUN/models/movielens/7." in told
