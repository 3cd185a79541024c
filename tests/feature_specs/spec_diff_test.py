"""`trailrank spec diff`: one thing changed at a time, and which steps run again."""

import pytest

from feature_specs import read_spec, views
from feature_specs.command import run
from feature_specs.spec_diff import SpecDiff

_ALL_STEPS = [step.name for step in views.STEPS]
_FROM_TRAINER = ["Trainer", "Evaluator", "InfraValidator", "Pusher"]
_FROM_ENCODING = ["EncodingGen", *_FROM_TRAINER]


@pytest.mark.parametrize(
    ("old", "new", "place", "view", "steps"),
    [
        ("name: tiny", "name: tiny  # mine", None, None, []),
        ('label: "liked = 1"', 'label: "liked > 0"', "tasks.like.label", "examples",
         _ALL_STEPS),
        ("{long: \"duration > 5000\"}", "{long: \"duration > 9\"}", "filters.keep.long",
         "examples", _ALL_STEPS),
        ("  - {name: like_rate, group: candidate, kind: number}\n", "",
         "features.like_rate", "examples", _ALL_STEPS),
        ("  random:", "  request: tab\n  random:", "log.request", "examples", _ALL_STEPS),
        ("tables: {v", "histories: {s: {files: s, user: u, time: t, columns: {n: t},"
         " types: {u: int64, t: int64}}}\ntables: {v", "histories", "examples",
         _ALL_STEPS),
        ("timezone: Asia/Shanghai", "timezone: Asia/Shanghai\n  min_day_share: 0.1",
         "log.min_day_share", "limits", [s for s in _ALL_STEPS if s != "SpecSchema"]),
        ("tag: {buckets: 64}", "tag: {buckets: 60}", "tables.tag.buckets", "encoding",
         _FROM_ENCODING),
        ('label: "well"}', 'label: "well", loss_weight: 2}', "tasks.well.loss_weight",
         "training", _FROM_TRAINER),
        ("like: 1.0}", "like: 2.0}", "fusion.weights.like", "serving",
         _FROM_TRAINER),
        ("user_group]}", "user_group], min_auc: {like: 0.6}}", "evaluation.min_auc",
         "evaluation", ["Evaluator", "Pusher"]),
        ('label: "well"}', 'label: "well", sparse: true}', "tasks.well.sparse", "none",
         []),
    ],
)  # fmt: skip
def test_one_change_runs_what_depends_on_it(good, old, new, place, view, steps):
    assert good.count(old) == 1
    found = SpecDiff(read_spec(good), read_spec(good.replace(old, new)))
    told = [(one.path, name) for one, name in found.with_views()]
    assert told == ([(place, view)] if place else [])
    assert [again.step for again in found.steps_again()] == steps


def test_a_fusion_weight_trains_no_day_and_a_loss_weight_does(good):
    def trainer(old, new):
        found = SpecDiff(read_spec(good), read_spec(good.replace(old, new)))
        return next(a.why for a in found.steps_again() if a.step == "Trainer")

    assert "none is trained" in trainer("like: 1.0}", "like: 2.0}")
    why = trainer('label: "well"}', 'label: "well", loss_weight: 2}')
    assert why == "trains anew, on the same examples"


def test_the_command_compares_files_and_shipped_names(good, tmp_path, capsys):
    before, now = tmp_path / "before.yaml", tmp_path / "now.yaml"
    before.write_text(good)
    now.write_text(good.replace("like: 1.0}", "like: 2.0}"))
    assert run(["diff", str(before), str(now)]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ["fusion.weights.like", "1.0", "2.0", "serving"] in lines
    assert "Views that change: serving, evaluation." in printed
    assert run(["diff", "kuairand", "kuairand"]) == 0
    assert "mean the same: nothing runs again" in capsys.readouterr().out
