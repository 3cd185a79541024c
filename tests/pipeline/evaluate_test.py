"""The evaluation table in a run's record."""

import dataclasses
import math

import pytest

from pipeline.evaluate import Evaluation, evaluation_of, with_evaluation
from pipeline.evaluation.model_evaluation import evaluate_rows, model_of
from pipeline.evaluation.rows import Rows
from pipeline.run_record import RunRecord, read_record, write_record
from tests.pipeline.evaluation.drawn import drawn_rows
from tests.pipeline.evaluation.tiny import SPEC


@pytest.fixture(scope="module")
def evaluation():
    rows = Rows.of(drawn_rows())
    return Evaluation.of(evaluate_rows(SPEC, rows, 0, model_of("m", [])), SPEC)


@pytest.fixture
def record():
    texts = dict.fromkeys(("spec_text", "spec_digest", "preset", "days", "logs"), "")
    lists = {"rows": {}, "metrics": [], "slices": {}, "versions": {}}
    return RunRecord(
        spec="tiny",
        examples="",
        model="m",
        pushed=True,
        eval_splits=(),
        **texts,
        **lists,
    )


def test_a_record_holds_the_table_and_the_ranking(evaluation, record, tmp_path):
    write_record(str(tmp_path), with_evaluation(record, evaluation))
    found = evaluation_of(read_record(tmp_path))
    assert str(found) == str(evaluation)
    assert math.isnan(found.task("stay").auc)
    assert found.ranking.order().ndcg["10"] > found.ranking.order("(random)").ndcg["10"]


def test_a_run_of_before_the_ranking_was_measured_has_none(record):
    assert evaluation_of(record).ranking is None


def test_tasks_come_in_the_spec_s_order(evaluation):
    turned = dataclasses.replace(SPEC, tasks=SPEC.tasks[::-1])
    rows = Rows.of(drawn_rows())
    found = Evaluation.of(evaluate_rows(turned, rows, 0, model_of("m", [])), SPEC)
    assert [task.task for task in found.tasks] == ["like", "stay"]
    names = [order.order for order in found.ranking.orders]
    assert names == [order.order for order in evaluation.ranking.orders]
