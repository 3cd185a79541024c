"""The step that judges a model: what it leaves for the Pusher and for people."""

import json
import os

import pytest
from tfx.types import standard_artifacts

from pipeline.evaluation.model_evaluation import read_evaluation
from pipeline.gates import blessing as marks
from pipeline.gates.verdict import Verdict
from pipeline.steps.evaluator import Evaluator
from tests.pipeline.evaluation import exported
from tests.pipeline.evaluation.tiny import TEXT


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(slope of the model, ...) -> the step's evaluation and blessing."""
    folder = tmp_path_factory.mktemp("run")
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    exported.write_day(examples.uri, 1)
    earlier = exported.write_day(folder / "earlier", 0)

    def make(name, slope, baselines=()):
        model, evaluation, blessing = (
            kind()
            for kind in (
                standard_artifacts.Model,
                standard_artifacts.ModelEvaluation,
                standard_artifacts.ModelBlessing,
            )
        )
        for artifact, what in ((model, "model"), (evaluation, "e"), (blessing, "b")):
            artifact.uri = str(folder / name / what)
        model.id = 12
        exported.save_model(os.path.join(model.uri, "Format-Serving"), slope)
        given = {"model": [model], "examples": [examples]}
        made = {"evaluation": [evaluation], "blessing": [blessing]}
        days = [earlier, (exported.DAYS[1], "")]  # "" is where this run's examples are
        values = {"spec": TEXT, "days": json.dumps(days), "truth": ""}
        values["baselines"] = json.dumps(list(baselines))
        Evaluator.EXECUTOR_SPEC.executor_class().Do(given, made, values)
        return evaluation, blessing, os.path.join(model.uri, "Format-Serving")

    return make


def _verdict(artifact) -> Verdict:
    with open(os.path.join(artifact.uri, "verdict.json"), encoding="utf-8") as file:
        return Verdict.from_json(file.read())


def test_a_model_is_blessed_and_a_worse_one_is_not(run):
    evaluation, blessing, good = run("good", 4.0)
    assert marks.is_blessed(blessing.uri)
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 12
    found = read_evaluation(os.path.join(evaluation.uri, "model-0"))
    assert found.rows == len(exported.ROWS)  # of both days
    assert found.days == exported.DAYS

    evaluation, blessing, _ = run("bad", -4.0, [good])
    assert not marks.is_blessed(blessing.uri)
    assert blessing.get_int_custom_property("blessed") == 0
    verdict = _verdict(blessing)
    assert verdict == _verdict(evaluation)
    assert "Model of this run: is refused by" in verdict.told()
    before = read_evaluation(os.path.join(evaluation.uri, "model-1"))
    assert before.model == good
    assert before.task("like") == found.task("like")
