"""Whole experiments: who wins, going on after a kill, and what is written."""

import dataclasses
import datetime
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from feature_specs import load_spec, read_preset, read_spec, views
from pipeline.experiment.arms import choose
from pipeline.experiment.command import run as command
from pipeline.experiment.design import Arm
from pipeline.experiment.errors import ExperimentError
from pipeline.experiment.knowledge import Knowledge, Known, candidate_lines, side_rows
from pipeline.experiment.run import experiment
from pipeline.run_record import RunRecord, read_record, write_record
from pipeline.simulator import simulate
from pipeline.simulator.block import LOG_COLUMNS
from tpu_configs import SliceConfig
from trainer.days.checkpoints import read_metrics

_TASKS = ("valid_play", "skip", "watch_rank")  # few: the page draws each
_TABLES = ("experiment.json", "report.md", "report.html")
_SMALL = {
    "days": 2,
    "pre_days": 1,
    "candidates": 20,
    "rows_per_user_day": 8.0,
    "videos": 900,
}


def _contents(out):
    names = [*_TABLES, *sorted(p.relative_to(out) for p in out.rglob("*.csv"))]
    return {str(name): (out / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A file: `kuairand` with some of its tasks."""
    whole = load_spec("kuairand")
    tasks = tuple(task for task in whole.tasks if task.name in _TASKS)
    weights = dict.fromkeys(_TASKS[:1], 1.0)
    fusion = dataclasses.replace(whole.fusion, weights=weights, transforms={})
    gates = dataclasses.replace(whole.evaluation, min_auc={})
    few = dataclasses.replace(whole, tasks=tasks, fusion=fusion, evaluation=gates)
    path = tmp_path_factory.mktemp("spec") / "few.yaml"
    path.write_text(views.written(few))
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, any_seed, spec):
    """Reference rankers side by side, and the directory."""
    out = tmp_path_factory.mktemp("experiment") / "out"
    arms = ["oracle", "random", "again=feed"]
    return out, experiment(
        out, "feed", arms, users=320, days=3, pre_days=3, seed=any_seed, spec=spec
    )


@pytest.mark.stochastic
def test_who_knows_the_truth_wins_and_who_knows_nothing_loses(finished):
    _, found = finished
    oracle, random = found.effect("oracle"), found.effect("random")
    assert oracle.is_significant and oracle.change > 0.1
    assert random.is_significant and random.change < -0.1
    assert found.effect("random", "skip").change > 0
    # A/A: within five standard errors whatever the seed.
    again = found.effect("again")
    assert abs(again.change) < 5 / 1.96 * again.half
    assert found.is_same("again") and not found.is_same("oracle")
    assert 0 < oracle.variance_left < 1  # CUPED


@pytest.mark.stochastic
def test_tables_say_what_was_found(finished):
    out, found = finished
    told = json.loads((out / "experiment.json").read_text())
    curve = told["effects"]["oracle"]["overall_enjoyment"]
    assert len(curve) == 3
    whole = found.effect("oracle")
    assert curve[-1]["change"] == pytest.approx(whole.change, rel=1e-5)
    assert curve[-1]["always_high"] > curve[-1]["high"] > curve[-1]["change"]
    assert told["left_out"] == ["watch_rank"]
    assert sum(arm["users"] for arm in told["arms"].values()) == 320
    assert told["arms"]["again"]["is_control_again"]
    report = (out / "report.md").read_text()
    assert "oracle is better than feed" in report
    assert "| again (A/A) |" in report and "does not differ, as it" in report
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page and "<table>" in page


@pytest.mark.stochastic
def test_the_logs_are_those_of_simulate_and_of_each_arms_own_users(finished):
    out, found = finished
    names = ["feed", "oracle", "random", "again"]
    assert sorted(os.listdir(out / "logs")) == sorted(names)
    lines = 0
    for number, name in enumerate(names):
        files = sorted((out / "logs" / name).glob("log_standard_*.csv"))
        assert len(files) == (6 if name == "feed" else 3)  # the days before are its
        for file in files[-3:]:
            log = pl.read_csv(file)
            assert tuple(log.columns) == LOG_COLUMNS
            assert (found.arm_of[log["user_id"].to_numpy()] == number).all()
        lines += sum(pl.read_csv(file).height for file in files)
        assert (out / "logs" / name / "user_features_pure.csv").exists()
    assert lines == found.impressions
    # Nobody is shown a video twice.
    of_one = pl.concat([pl.read_csv(f) for f in (out / "logs" / "oracle").glob("log*")])
    assert not of_one.select("user_id", "video_id").is_duplicated().any()


def test_a_killed_experiment_ends_with_the_same_tables(tmp_path, spec):
    """Two processes are killed on the way; one goes on. SIGKILL: nobody is told."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = {**_SMALL, "users": 200, "days": 3, "spec": spec}
    experiment(whole, "popular", ["random"], **settings)
    flags = [f"--{name}={value}" for name, value in settings.items()]
    line = [sys.executable, "-m", "trailrank", "experiment", "--out", str(killed)]
    line += ["--control", "popular", "--treatment", "random", "--workers", "2", *flags]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(killed.glob("parts/day-000/shard-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    served = len(list(killed.glob("parts/day-*/shard-*.pkl")))
    assert served < 8  # two shards, four days: it was killed on the way
    seen = []
    found = experiment(killed, "popular", ["random"], report=seen.append, **settings)
    assert _contents(killed) == _contents(whole)
    assert 0 < found.fresh < found.impressions
    assert seen[-1].done == seen[-1].total == 8 and seen[-1].left_s == 0
    again = experiment(killed, "popular", ["random"], **settings)
    assert again.fresh == 0
    with pytest.raises(ExperimentError, match="has another experiment.*arms"):
        experiment(killed, "popular", ["oracle"], **settings)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory, spec):
    """(a run of a tiny ranker on two days, the five-day simulation that it is of)."""
    import trailrank
    from pipeline.training import quantiles_of

    folder = tmp_path_factory.mktemp("run")
    logs, root, examples = folder / "logs", folder / "run", folder / "examples"
    simulate(logs, users=40, days=5, rows_per_user_day=40.0, dirty_share=0.0)
    path = folder / "few.yaml"
    path.write_text(_few_features(load_spec(spec)))
    trailrank.make_examples(
        path, logs / "data", examples, days="20220408:20220410", allow_small_days=True
    )
    graph = trailrank.make_encoding(path, examples, folder / "encoding").graph
    preset = read_preset(_PRESET)
    ranker = trailrank.train(
        path,
        preset,
        examples,
        encoding=graph,
        checkpoints=folder / "checkpoints",
        days=["20220408", "20220409"],
        slice=SliceConfig(
            name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4
        ),
    )
    quantiles = quantiles_of(load_spec(path), [str(examples)])
    trailrank.export(ranker, graph, path, root / "model" / "1", quantiles=quantiles)
    splits = [f"day-202204{day}" for day in ("08", "09", "10")]
    record = RunRecord(
        spec="kuairand",
        spec_text=path.read_text(),
        spec_digest="",
        preset="tiny",
        days="20220408:20220410",
        eval_splits=tuple(splits[-1:]),
        logs=str(logs),
        rows={},
        examples=str(examples),
        model=str(root / "model" / "1"),
        pushed=True,
        metrics=[],
        slices={},
        versions={},
        transform_graph=str(graph),
        checkpoints=str(folder / "checkpoints"),
        example_dirs=dict.fromkeys(splits, str(examples)),
    )
    write_record(str(root), record)
    return root, logs


def _few_features(spec):
    """The spec's text with some of its features."""
    names = ("user_id", "history_video_id", "video_id", "author_plays", "duration_s")
    features = tuple(f for f in spec.features if f.name in names or f.group == "trail")
    return views.written(dataclasses.replace(spec, features=features, facets={}))


_PRESET = """
bottom: [8]
tower: [4]
trail: {units: [4], dim: 4}
switcher: {kind: shared_bottom, units: [4]}
optimizer: {learning_rate: 0.01, table_learning_rate: 0.2, average_steps: 0}
"""


@pytest.mark.slow
def test_a_model_serves_and_learns_from_what_it_showed(small_run, tmp_path):
    root, logs = small_run
    out = tmp_path / "out"
    settings = {"days": 2, "pre_days": 0, "candidates": 20, "rows_per_user_day": 20.0}
    found = experiment(
        out, f"run={root}", ["random"], logs=logs, retrain=True, **settings
    )
    assert found.design.history_days == 3
    # One night, after the first served day: one more day in the weights, of its users.
    assert os.listdir(out / "models" / "run") == ["1"]
    records = read_metrics(out / "nights" / "run" / "checkpoints")
    assert [record["day"] for record in records] == [
        "day-20220408",
        "day-20220409",
        "day-20220411",
    ]
    log = pl.read_csv(out / "logs" / "run" / "log_standard_4_11_to_4_11_pure.csv")
    kept = log.filter(pl.col("duration_ms").is_between(5_000, 10_800_000))
    assert 0.5 * kept.height < records[-1]["rows"] <= kept.height
    assert (
        experiment(
            out, f"run={root}", ["random"], logs=logs, retrain=True, **settings
        ).fresh
        == 0
    )
    for arms, told in (
        (["feed", "random"], "no arm is a model"),
        (["feed", str(root / "model" / "1")], "is an exported model"),
    ):
        with pytest.raises(ExperimentError, match=told):
            experiment(
                tmp_path / "x",
                arms[0],
                arms[1:],
                logs=logs,
                retrain=True,
                spec=root.parent / "few.yaml",
                **settings,
            )
    early = {**settings, "pre_days": 2}
    with pytest.raises(ExperimentError, match="has trained on day-20220409"):
        experiment(
            tmp_path / "x", "feed", [f"run={root}"], logs=logs, retrain=True, **early
        )
    with pytest.raises(ExperimentError, match="its world has 5 days, and 7 . 14"):
        experiment(tmp_path / "x", "feed", [f"run={root}"], logs=logs)


@pytest.mark.slow
def test_weights_of_a_file_go_with_the_request(small_run, tmp_path):
    from pipeline.experiment.served import ModelRanker

    root, logs = small_run
    arms = [str(root), f"again={root}"]
    for weight in (9, 18):
        path = tmp_path / f"{weight}.yaml"
        path.write_text(f"fusion: {{weights: {{skip: {weight}}}}}")
        arms.append(f"of-{weight}={root}@{path}")
    chosen = choose(arms[0], arms[1:], None)
    own, again, other, _ = chosen.arms
    assert again.serves_as(own) and not other.serves_as(own)
    assert other.weights == {"skip": 9}
    assert chosen.spec == read_spec(read_record(root).spec_text)
    names = ("user_features", "video_features_basic")
    data = logs / "data"
    sides = side_rows(
        chosen.spec, {name: pl.read_csv(data / f"{name}_pure.csv") for name in names}
    )
    knowledge = Knowledge(chosen.spec, sides, datetime.date(2022, 4, 13), {})
    users, videos = np.arange(3).repeat(20), np.tile(np.arange(20), 3)
    moment = np.full(60, 1_649_808_000_000)
    asked = candidate_lines(users, videos, moment, moment % 7 + 9_000, users)
    values = knowledge.features(Known(), None, asked)
    scores = [
        ModelRanker(arm, chosen.spec).scores(values, users) for arm in chosen.arms
    ]
    assert (scores[0] == scores[1]).all()
    # The model's own weight of skip is 0: a log score grows by w log p(skip).
    once, twice = scores[2] - scores[0], scores[3] - scores[0]
    assert (once < 0).all() and once.std() > 0
    assert twice == pytest.approx(2 * once, rel=1e-3)
    (tmp_path / "bad.yaml").write_text("weights: {no_task: 1}")
    with pytest.raises(ExperimentError, match="weights of no_task"):
        choose("feed", [f"{root}@{tmp_path / 'bad.yaml'}"], None)
    (tmp_path / "length.yaml").write_text(
        "fusion: {weights: {skip: 1}, length: {weight: 7}}"
    )
    with pytest.raises(ExperimentError, match="was exported with 0.1"):
        choose("feed", [f"{root}@{tmp_path / 'length.yaml'}"], None)


def test_arms_are_told_by_name_run_or_model(tmp_path):
    found = choose("feed", ["feed", "b=feed", Arm(name="c", kind="random")], None)
    assert [arm.name for arm in found.arms] == ["feed", "feed-2", "b", "c"]
    assert found.arms[1].serves_as(found.arms[0])
    assert found.spec.name == "kuairand"
    for arm in ("nothing", str(tmp_path), "a=b=feed"):
        with pytest.raises(ExperimentError, match="must be one of oracle"):
            choose("feed", [arm], None)
    with pytest.raises(ExperimentError, match="random has no fused score"):
        choose("feed", ["random@weights.yaml"], None)
    with pytest.raises(ExperimentError, match="each needs a name of its own"):
        arms = [Arm(name="a", kind="feed"), "a-2=random", Arm(name="a", kind="random")]
        experiment(tmp_path / "out", arms[0], arms[1:], users=9)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"workers": 0}, "--workers: must be 1 to"),
        ({"days": 0}, "--days: must be at least 1"),
        ({"logs": "x", "users": 9}, "leave --users out"),
        ({"out": "gs://b/x"}, "must be a directory of this machine"),
    ],
)
def test_mistakes_are_told(tmp_path, settings, told):
    out = settings.pop("out", tmp_path / "out")
    with pytest.raises(ExperimentError, match=told):
        experiment(out, "feed", ["random"], **settings)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ExperimentError, match="must be empty or hold an experiment"):
        experiment(tmp_path / "other", "feed", ["random"], users=9, **_SMALL)


def test_the_command_shows_the_table(tmp_path, spec, capsys):
    settings = {**_SMALL, "users": 60, "spec": spec}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    out = str(tmp_path / "out")
    arms = ["--control", "random", "--treatment", "feed", "--treatment", "random"]
    assert command(["--out", out, *arms, *flags]) == 0
    shown = capsys.readouterr().out
    assert "Overall enjoyment" in shown and "random-2 (A/A)" in shown
    assert "impressions served a second" in shown
