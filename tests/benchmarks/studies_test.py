"""The mechanics of the older studies: their data, measures, tables and figures.

No conclusion is looked at, and nothing is trained, which has tests of its own: rankers
are those that a training begins with. They predict label means, whatever the row is, so
that what they measure is known: an AUC of 0.5, and no gain over each other.
"""

import importlib
import io
import json
import math
import pathlib
import sys

import numpy as np
import polars as pl
import pytest
import rich.console

pytestmark = pytest.mark.slow

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")
_CONSOLE = rich.console.Console(file=io.StringIO(), width=118)


@pytest.fixture(scope="module")
def study():
    """Name -> the study's module."""
    sys.path.insert(0, _BENCHMARKS)
    try:
        yield lambda name: importlib.import_module(f"study_{name}")
    finally:
        sys.path.remove(_BENCHMARKS)


@pytest.fixture(scope="module")
def simulated(study):
    study("trail")
    return sys.modules["simulated"]


@pytest.fixture(scope="module")
def shape(simulated):
    return simulated.Shape(users=12, days=2, rows_per_user_day=60)


@pytest.fixture(scope="module")
def work(simulated, shape, tmp_path_factory):
    """A folder with the one log that all studies here look at."""
    folder = tmp_path_factory.mktemp("studies")
    (number,) = simulated.log_numbers(1)
    spec = simulated.kuairand_by_registration()
    simulated.make_log(folder, spec, shape, number)
    return folder


@pytest.fixture
def untrained(simulated, monkeypatch):
    """Rankers are not trained; the list gets (preset, seed, what differs) of each."""
    from trainer.days.encoding import counted, read_encoding
    from trainer.model.ranker import Ranker

    asked = []

    def train(log, config, seed, **differs):
        asked.append((config, seed, differs))
        spec = counted(log.spec, read_encoding(log.graph))
        means = {task.name: 0.1 for task in spec.tasks}
        return Ranker(spec, config, means, seed=seed)

    monkeypatch.setattr(simulated, "train", train)
    return asked


def _half(found, names):
    for name in names:
        assert found[name] == pytest.approx(0.5, abs=1e-9), name


def _is_whole(summary, figure, panels):
    assert json.loads(json.dumps(summary))["commit"]
    assert len(figure.axes) == panels


def test_precision_trains_both_presets_in_both_precisions(
    study, untrained, work, shape
):
    own = study("precision")
    results, rows = own._run(work, own._Sizes(shape, logs=1, seeds=1), _CONSOLE)
    both = [{"precision": precision} for precision in ("float32", "bfloat16")]
    of_a_tpu = {"precision": "bfloat16", "tables_of_a_tpu": True}
    assert [d for _, _, d in untrained] == [*both, *both, of_a_tpu]
    assert {seed for _, seed, _ in untrained} == {700}
    assert set(results) == {
        *(f"{p} {k}" for p in ("mmoe", "ple") for k in own._PRECISIONS),
        "mmoe bfloat16, tables of a TPU",
    }
    for by_training in results.values():
        _half(by_training[7, 0], [f"{k} {t}" for k in own._KINDS for t in own._ROWS])
    assert rows > 500
    assert own._table(results, "seeds").row_count == 10
    assert own._table_of_tables(results, "seeds").row_count == 5
    summary = own._summary(results, own._Sizes(shape, logs=1, seeds=1), rows, 1.0)
    assert summary["gains_of_bfloat16"]["auc"]["mmoe"]["mean"]["gain"] == 0
    _is_whole(summary, own._draw(results, "seeds"), 2)
    own._run(work, own._Sizes(shape, logs=1, seeds=1), _CONSOLE)
    assert len(untrained) == 5  # what `work` has is not trained again


def test_trail_measures_rankers_and_the_bounds_of_the_truth(
    study, untrained, work, shape, simulated, monkeypatch
):
    own = study("trail")
    monkeypatch.setattr(own, "_LAMBDAS", (0.0,))
    monkeypatch.setattr(own, "_STRONGER", 1.0)  # the same log, for both
    sizes = own._Sizes(shape, logs=1, seeds=1, lambda_seeds=1)
    results, rows = own._run(work, sizes, _CONSOLE)
    assert {c.disentangle for c, _, _ in untrained} == {0.0, own._shipped()}
    assert 0.2 < rows["random"] / rows["evaluation"] < 0.4  # 30 % are
    (truth,) = results["truth"].values()
    for task in own._DENSE:
        assert truth[f"position {task}"] <= truth[f"oracle {task}"] + 1e-12
        assert truth[f"oracle {task}"] > 0.5
    (found,) = results["trail tower"].values()
    _half(found, [f"auc {task}" for task in (*own._DENSE, *own._RARE)])
    assert 0 < found["correlation"] < 1 and found["pair"] > 0
    rows_of = (
        own._trail_table(results, "seeds", s).row_count for s in ("", ", strong")
    )
    assert list(rows_of) == [10, 10]
    assert own._lambda_table(results, "seeds").row_count == 2
    assert own._bounds_table(results, "").row_count == 4
    summary = own._summary(results, sizes, rows, 1.0)
    assert summary["gains"]["like"]["gain"] == 0
    _is_whole(summary, own._draw(results, "seeds"), 5)


def test_mfh_measures_each_task_for_each_group(
    study, untrained, work, shape, simulated
):
    own = study("mfh")
    sizes = own._Sizes(shape, logs=1, seeds=1, fewer_days=(), matches=False)
    spec = simulated.kuairand_by_registration()
    models = own._models(own._play_tasks(spec), sizes)
    assert set(models) == {*own._RIVALS, own._MFH}
    results, rows = own._run(work, spec, models, sizes, _CONSOLE)
    (number,) = simulated.log_numbers(1)
    log = simulated.make_log(work, spec, shape, number)
    assert sum(rows.values()) == log.rows.height
    truth, labels = log.rows["p_completion"].to_numpy(), None
    for name, by_training in results.items():
        (found,) = by_training.values()
        known = [g for g in own._GROUPS if rows[g]]
        _half(found, [f"{g} {t}" for g in known for t in ("finish", "skip")])
        column = [t.name for t in log.spec.tasks].index("completion")
        labels = log.batch.labels[:, column].numpy()
        for group in known:
            is_own = own._group_of(log) == group
            mse = np.mean((0.1 - labels[is_own]) ** 2)
            assert found[f"label {group} completion"] == pytest.approx(mse, rel=1e-4), (
                name
            )
            off = np.mean((0.1 - truth[is_own]) ** 2)
            noise = np.mean((labels[is_own] - truth[is_own]) ** 2)
            assert found[f"{group} completion"] == pytest.approx(off + noise, rel=1e-4)
    assert own._models_table(models).row_count == 6
    assert own._metrics_table(results, rows).row_count == 9
    assert [t.row_count for t in own._gain_tables(results, "seeds")] == [5] * 3
    summary = own._summary(results, models, sizes, rows, 1.0)
    assert summary["weights"]["MFH"] > 1000
    _is_whole(summary, own._draw(results, "seeds"), 3)


def test_progressive_deals_the_same_rows_to_days_of_the_same_sizes(
    study, simulated, tmp_path
):
    import tensorflow as tf

    own = study("progressive")
    days = []
    for day, count in (("day-1", 30), ("day-2", 50)):
        path = str(tmp_path / f"{day}.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in range(count):
                writer.write(f"{day} {row}".encode())
        days.append((day, [path]))
    log = simulated.Log(
        name="x", spec=None, days=days, examples="", graph="", batch=None, rows=None
    )
    dealt = own._shuffled_days(tmp_path / "dealt", log)
    before, after = ([own._records(p) for _, p in d] for d in (days, dealt))
    assert [name for name, _ in dealt] == ["day-1", "day-2"]
    assert [len(day) for day in after] == [30, 50]
    rows = [{row for day in rows for row in day} for rows in (before, after)]
    assert rows[0] == rows[1] and len(rows[1]) == 80
    assert any(row.startswith(b"day-2") for row in after[0])
    variants = own._training_days(tmp_path / "all", log)
    assert variants["reversed"] == [("day-1", days[1][1]), ("day-2", days[0][1])]


def test_progressive_changes_the_simulator_for_a_while_and_reads_its_days(study):
    own = study("progressive")
    from pipeline.simulator import exposure

    before = exposure.INTEREST_MEMORY
    with own._changed(own._CHANGED["no drift"]):
        assert exposure.INTEREST_MEMORY == 1
    assert before == exposure.INTEREST_MEMORY < 1
    day = {
        "auc": dict.fromkeys(own._DENSE, 0.6),
        "loss": dict.fromkeys(own._DENSE, 0.3),
    }
    found = own._by_day([{"validation": day}, {"validation": day}, {}])
    assert set(found) == {
        f"day 2 {m} {t}" for m in ("auc", own._LOSS) for t in own._DENSE
    }
    assert own._trained([{"rows": 3, "steps": 1}, {"rows": 4, "steps": 2}]) == {
        "rows": 7.0,
        "steps": 3.0,
    }


def test_progressive_measures_a_ranker(study, untrained, work, shape, simulated):
    own = study("progressive")
    (number,) = simulated.log_numbers(1)
    spec = simulated.kuairand_by_registration()
    log = simulated.make_log(work, spec, shape, number)
    ranker = simulated.train(log, own.load_preset("mmoe"), 0)
    found = own._measure(log, ranker)
    _half(found, [f"auc {task}" for task in (*own._DENSE, *own._RARE)])
    chance = log.rows["p_skip"].mean()
    assert found["calibration skip"] == pytest.approx(0.1 / chance, rel=1e-4)
    skips = log.batch.labels[:, [t.name for t in spec.tasks].index("skip")].numpy()
    rate = skips.mean()
    loss = -(rate * math.log(0.1) + (1 - rate) * math.log(0.9))
    assert found["log loss skip"] == pytest.approx(loss, rel=1e-4)


def test_ple_synthetic_has_contenders_of_one_size_and_labels_of_the_recipe(
    study, monkeypatch
):
    own = study("ple_synthetic")
    monkeypatch.setattr(own, "_TEST_ROWS", 400)
    trainees = {name: own.Trainee(name) for name in own._CONTENDERS}
    weights = [trainee.parameters for trainee in trainees.values()]
    assert max(weights) / min(weights) < 1.06  # each within 3 % of the middle
    for correlation in (0.0, 0.5, 1.0):
        w1, w2 = own.Recipe.drawn(3, correlation).weights.T
        cosine = w1 @ w2 / np.linalg.norm(w1) / np.linalg.norm(w2)
        assert cosine == pytest.approx(correlation, abs=1e-9)
    untrained = own._run(trainees, seed=1, correlation=1.0, samples=0)
    rows = own.Recipe.drawn(1, 1.0).rows
    means = rows(np.random.default_rng([1, 3]), own._MEAN_ROWS)[1].mean(axis=0)
    y = rows(np.random.default_rng([1, 2]), 400)[1]
    for mse in untrained.mse.values():
        assert mse == pytest.approx(((y - means) ** 2).mean(axis=0), 1e-3)
    assert untrained.label_correlation > 0.9  # all but the noise is the same
    hard = {"hard": trainees["hard"]}
    trained = own._run(hard, seed=1, correlation=1.0, samples=own._BATCH)  # a step
    assert trained.mse["hard"] != untrained.mse["hard"]


def _log_rows():
    return pl.DataFrame(
        {
            "is_like": ["0", "1", "0", "0", "0"],
            "play_time_ms": ["1500", "20", "0", "9999", "1000"],
            "tab": ["0", "1", "2", "1", "0"],
            "comment_stay_time": ["5"] * 5,
            "time_ms": ["1", "2", "3", "4", "5"],
            "duration_ms": ["1000"] * 5,
            "is_click": ["1"] * 5,
            "long_view": ["1"] * 5,
        }
    )


def test_gates_damage_a_day_as_they_say(study):
    own = study("gates")
    found = {d.name: d.change(_log_rows()) for d in own._DAMAGES}
    assert found["likes flipped"]["is_like"].to_list() == ["1", "0", "1", "1", "1"]
    seconds = found["play times in seconds"]["play_time_ms"]
    assert seconds.to_list() == ["1", "0", "0", "9", "1"]
    assert found["two tabs exchanged"]["tab"].to_list() == ["1", "0", "2", "0", "1"]
    assert found["half of the rows"].height == 3
    unread = found["a fifth unreadable"]["time_ms"].to_list()
    assert unread == ["?", "2", "3", "4", "5"]
    assert set(found["a feature all null"]["tab"]) == {""}
    longer = found["videos longer by a standard deviation"]["duration_ms"]
    assert set(longer) == {"61000"}
    assert own._changed_spec().log.max_reject_share == 1


def test_gates_damage_one_day_alone(study, tmp_path):
    own = study("gates")
    rows = _log_rows().with_columns(date=pl.lit("20220418"))
    day = rows.with_columns(date=pl.lit(own._DAY))
    (tmp_path / "data").mkdir()
    pl.concat([rows, day]).write_csv(tmp_path / "data" / "log_1.csv")
    with own._damaged(str(tmp_path / "data"), own._DAMAGES[0]) as other:
        found = pl.read_csv(f"{other}/log_1.csv", infer_schema=False)
    likes = found["is_like"].to_list()
    assert likes == ["0", "1", "0", "0", "0", "1", "0", "1", "1", "1"]


def test_movielens_means_know_what_a_server_would(study, tmp_path, monkeypatch):
    """Two ratings judge: of the better film, by a user who likes nothing, and back."""
    own = study("movielens")
    monkeypatch.setattr(own, "_LAST", 2)
    ratings = [(1, 10, 5), (2, 10, 4), (1, 11, 2), (2, 11, 1), (1, 11, 4), (3, 10, 1)]
    rows = [f"{user},{film},{r},{t}" for t, (user, film, r) in enumerate(ratings)]
    text = "\n".join(["user_id,movie_id,rating,timestamp", *rows])
    (tmp_path / "ratings.csv").write_text(text)
    # Film 10 has (9 + 15) / 7, film 11 (3 + 15) / 7: it alone ranks both the wrong way.
    # With the users it stays: user 1 has (7 + 15) / 7 and user 3 the mean, 3.
    assert own._means(str(tmp_path)) == (0.0, 0.0)
    # With six ones of user 3 the mean is 1.8: 12/7 + 16/7 against 18/7 + 15/11.
    ones = "".join(f"3,{film},1,0\n" for film in range(20, 26))
    (tmp_path / "ratings.csv").write_text(text.replace("1,10,5,0", f"{ones}1,10,5,0"))
    item, both = own._means(str(tmp_path))
    assert (item, both) == (0.0, 1.0)


def test_vectors_specs_differ_in_the_vector_alone(study, tmp_path):
    import subprocess

    own = study("vectors")
    logs = [sys.executable, str(own._LOGS), str(tmp_path / "logs")]
    subprocess.run([*logs, "--impressions", "3000"], check=True)
    from feature_specs import read_spec

    specs = {name: read_spec(text) for name, text in own._specs(tmp_path).items()}
    names = {n: {f.name for f in spec.features} for n, spec in specs.items()}
    more = names["with"] - names["without"]
    assert {"embedding", "liked"} <= more
    kinds = {f.name: f.kind for f in specs["with"].features}
    assert "vector" not in {kinds[name] for name in names["without"]}
    assert specs["with"].tasks == specs["without"].tasks
