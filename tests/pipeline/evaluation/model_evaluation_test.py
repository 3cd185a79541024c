"""Exported models on days of examples, in one pass, in memory and on disk."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from pipeline.evaluation import model_evaluation, quality, scoring
from pipeline.evaluation.fused import measure_ranking
from pipeline.evaluation.model_evaluation import (
    EvaluationFileError,
    NoRowsError,
    evaluate_models,
    read_evaluation,
)
from pipeline.evaluation.rows import Rows, collect
from pipeline.evaluation.user_sums import FUSED
from pipeline.reporting.metrics import NotFiniteError
from serving.models.servable import LoadError
from tests.pipeline.evaluation.exported import ROWS
from tests.pipeline.evaluation.tiny import SLICED, SPEC
from trainer.days.shards import DamagedExamplesError


@pytest.fixture(scope="module")
def evaluated(export, days, tmp_path_factory):
    """A good model, a bad one, and one without a task, evaluated at once."""
    models = [export("good", 4.0), export("bad", -1.0)]
    models.append(export("old", 2.0, tasks=("like",)))
    out = tmp_path_factory.mktemp("out")
    return evaluate_models(SLICED, models, days, str(out)), models, out


def test_all_rows_of_all_days_are_measured_as_the_model_scores_them(evaluated):
    good = evaluated[0][0]
    assert good.days == ("day-20240101", "day-20240102") and good.rows == 400
    taste = ROWS["taste"].to_numpy()
    like = (1 / (1 + np.exp(-4 * (taste - 0.5)))).astype(np.float32)
    scored = ROWS.with_columns(
        prediction_like=like, prediction_stay=8 * taste, score=like**2
    )
    for task in quality.measure(SLICED, scored):
        for name in ("rows", "positives", "label_mean", "auc", "gauc", "rmse", "xauc"):
            expected = getattr(task, name)
            found = getattr(good.task(task.task), name)
            assert found == pytest.approx(expected, rel=1e-5, nan_ok=True), name
    ranking, _ = measure_ranking(SLICED, Rows.of(scored))
    assert good.ranking.groups == ranking.groups
    ndcg = good.ranking.order().ndcg
    assert ndcg == pytest.approx(ranking.order().ndcg, rel=1e-5)
    assert set(good.slices) == {"liked=0", "liked=1"}


def test_each_model_has_its_own_predictions(evaluated):
    good, bad, old = evaluated[0]
    # The same number, turned round: what one orders right, the other orders wrong.
    assert bad.task("like").auc == pytest.approx(1 - good.task("like").auc)
    assert bad.ranking.order().ndcg["5"] < good.ranking.order().ndcg["5"]
    # Of another slope: the same order, other chances.
    assert old.task("like").auc == pytest.approx(good.task("like").auc, abs=1e-6)
    assert old.task("like").prediction_mean != good.task("like").prediction_mean
    assert [task.task for task in old.tasks] == ["like"]
    # What gates compare is measured of all, the rest of the first one.
    assert [order.order for order in old.ranking.orders] == [FUSED]
    assert old.ranking.order().ndcg == pytest.approx(good.ranking.order().ndcg)
    assert not old.ranking.tasks and good.ranking.tasks
    assert math.isnan(bad.task("stay").xauc) and good.task("stay").xauc > 0.5
    first, *_ = bad.slices["liked=1"]
    assert math.isnan(first.gauc) and first.auc < 0.5 < good.slices["liked=1"][0].gauc
    assert bad.task("stay").rmse > good.task("stay").rmse


def test_models_are_compared_user_by_user(evaluated):
    good, bad, _ = (model.user_sums("like", ["", "liked=1"]) for model in evaluated[0])
    for name in ("", "liked=1"):
        assert good[name].users.equals(bad[name].users)
        np.testing.assert_array_equal(
            good[name].sums["positives"], bad[name].sums["positives"]
        )
    fused = evaluated[0][0].user_sums(FUSED)[""]
    ndcg = evaluated[0][0].ranking.order().ndcg["10"]
    assert fused.value("ndcg@10") == pytest.approx(ndcg, rel=1e-12)


def test_an_evaluation_is_read_again(evaluated):
    found, models, out = evaluated
    for number, one in enumerate(found):
        again = read_evaluation(str(out / f"model-{number}"))
        assert again.model == models[number]
        assert str(again) == str(one)


def test_rows_on_disk_make_the_same_evaluation(evaluated, days, monkeypatch, tmp_path):
    in_parts = {"part_rows": 60}
    monkeypatch.setattr(
        model_evaluation, "collect", lambda *args: collect(*args, **in_parts)
    )
    found = evaluate_models(SLICED, evaluated[1][:1], days, scratch=str(tmp_path))
    expected = dataclasses.replace(evaluated[0][0], folder="")
    for task, other in zip(found[0].tasks, expected.tasks, strict=True):
        assert dataclasses.astuple(task) == pytest.approx(
            dataclasses.astuple(other), rel=1e-12, nan_ok=True
        )
    ndcg = found[0].ranking.order().ndcg
    assert ndcg == pytest.approx(expected.ranking.order().ndcg, rel=1e-12)
    assert not list(tmp_path.iterdir())  # nothing is left over


def test_a_diverged_model_is_refused_by_the_task_s_name(export, days):
    with pytest.raises(NotFiniteError, match=r"Task 'like': predictions .* of \d+ "):
        evaluate_models(SPEC, [export("diverged", float("nan"))], days)


def test_what_cannot_be_loaded_is_told(days, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(LoadError, match=f"{tmp_path}: cannot be loaded"):
        evaluate_models(SPEC, [str(tmp_path)], days)


def test_a_damaged_day_is_told_before_anything_is_scored(export, days, tmp_path):
    folder = tmp_path / "Split-day-20240101"
    folder.mkdir()
    (folder / "data_tfrecord-00000-of-00001.gz").write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(DamagedExamplesError, match="data_tfrecord-00000-of-00001.gz"):
        evaluate_models(SPEC, ["nowhere"], [("day-20240101", str(tmp_path))])


def test_days_without_a_row_are_told(tmp_path):
    folder = tmp_path / "Split-day-20240101"
    folder.mkdir()
    path = str(folder / "data_tfrecord-00000-of-00001.gz")
    tf.io.TFRecordWriter(path, "GZIP").close()
    with pytest.raises(NoRowsError, match=r"evaluation days \(day-20240101\) have no"):
        evaluate_models(SPEC, ["nowhere"], [("day-20240101", str(tmp_path))])


def test_a_directory_without_an_evaluation_is_told(tmp_path):
    with pytest.raises(EvaluationFileError, match="there is no such file. Evaluate"):
        read_evaluation(str(tmp_path))
    (tmp_path / "evaluation.json").write_text('{"model": "m"}')
    with pytest.raises(EvaluationFileError, match="is no evaluation .*'days'"):
        read_evaluation(str(tmp_path))


def test_texts_are_read_as_texts():
    found = scoring._series(np.array([b"a", "\u732b".encode()], object))
    assert found.to_list() == ["a", "\u732b"]
