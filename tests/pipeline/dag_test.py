"""What TFX keys a step's cached result by: its view of the spec, and nothing else."""

import dataclasses
import json
import pathlib

import pytest
from tfx.utils.dependency_utils import make_beam_dependency_flags

from feature_specs import load_spec, read_spec, views
from feature_specs.preset import preset_text, read_preset, separate_tasks
from pipeline.dag import (
    IN_PROCESS_BEAM_ARGS,
    DagConfig,
    DagDays,
    checkpoints_dir,
    create_pipeline,
)
from pipeline.examples.reading.marks import fingerprint, read_files
from pipeline.run_config import RunConfig, read_texts
from pipeline.run_plan import RunPlan
from tests.tiny_spec import TINY_SPEC
from tpu_configs import slice_text

_SPEC = load_spec("movielens").text
_CONFIG = DagConfig(
    spec=_SPEC,
    preset=preset_text("mmoe"),
    slice=slice_text("cpu"),
    logs="/logs",
    root="/run",
    plan=RunPlan(new="19970920:19980423", new_eval_days=1),
    fingerprint="same files",
)


def _keys(config: DagConfig) -> dict[str, str]:
    """Step -> its execution properties, as TFX compares them."""
    return {
        node.id: json.dumps(node.exec_properties, sort_keys=True, default=str)
        for node in create_pipeline(config).components
    }


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return _keys(_CONFIG)


_ALL = {
    "DayExampleGen",
    "SpecSchema",
    "DataGate",
    "EncodingGen",
    "Trainer",
    "Evaluator",
    "InfraValidator",
}

# One thing changed at a time -> the steps whose own key changes. What reads their
# outputs runs again too, as TFX keys by these.
_CHANGES = {
    "a comment": ("name: movielens", "name: movielens   # mine", set()),
    "a default": (
        "days_per_split: 28",
        "min_day_share: 0.3\n  days_per_split: 28",
        set(),
    ),
    # The gain of the fused score's NDCG follows from its weights.
    "a fusion weight": ("loved: 0.5,", "loved: 0.7,", {"Trainer", "Evaluator"}),
    "a threshold": ("min_auc: {liked: 0.6}", "min_auc: {liked: 0.7}", {"Evaluator"}),
    "a loss weight": (
        'label: "rating = 5"',
        'label: "rating = 5", loss_weight: 2',
        {"Trainer"},
    ),
    "rows of a table": (
        "user: {buckets: 50000,",
        "user: {buckets: 60000,",
        {"EncodingGen", "Trainer"},
    ),
    "a vocabulary": (
        "kind: category, size: 2}",
        "kind: category, size: 3}",
        {"EncodingGen", "Trainer"},
    ),
    "a feature": (
        "  - {name: gender, group: query, kind: category, size: 2}\n",
        "",
        _ALL,
    ),
    "a label": (
        'label: "rating >= 4"',
        'label: "rating >= 3"',
        _ALL,
    ),
    "a filter": (
        "history:\n",
        'filters: {keep: {rated: "rating > 0"}}\nhistory:\n',
        _ALL,
    ),
    "a limit of the log": (
        "days_per_split: 28",
        "max_reject_share: 0.5\n  days_per_split: 28",
        {"DayExampleGen"},
    ),
}


@pytest.mark.parametrize("what", _CHANGES)
def test_a_change_of_the_spec_changes_the_keys_of_what_reads_it(before, what):
    old, new, expected = _CHANGES[what]
    assert _SPEC.count(old) == 1
    now = _keys(dataclasses.replace(_CONFIG, spec=_SPEC.replace(old, new)))
    assert {step for step in before if before[step] != now[step]} == expected


def test_comments_of_preset_and_slice_change_no_key(before):
    preset = "# mine\n" + _CONFIG.preset
    config = dataclasses.replace(_CONFIG, preset=preset, slice=_CONFIG.slice + "#\n")
    assert _keys(config) == before
    wider = dataclasses.replace(_CONFIG, preset=_CONFIG.preset + "dropout: 0.1\n")
    now = _keys(wider)
    assert {step for step in before if before[step] != now[step]} == {"Trainer"}


def test_the_steps_that_spec_diff_tells_of_are_those_of_the_dag(before):
    own = {step.name for step in views.STEPS}
    assert own == set(before)


def test_the_trainer_reads_weights_that_a_step_selects_where_a_run_asks(before):
    plan = dataclasses.replace(
        _CONFIG.plan, sparse_weights=("loved", "liked"), loss_weights={"loved": 5.0}
    )
    config = dataclasses.replace(_CONFIG, plan=plan)
    now = _keys(config)
    assert set(now) - set(before) == {"SparseWeights"}
    assert {step: now[step] for step in before} == before
    steps = {node.id: node for node in create_pipeline(config).components}
    step, trainer = steps["SparseWeights"], steps["Trainer"]
    assert trainer.inputs["loss_weights"] is step.outputs["loss_weights"]
    assert step.exec_properties["days"] == trainer.exec_properties["days"]
    known = dataclasses.replace(plan, loss_weights={"loved": 5.0, "liked": 2.0})
    later = _keys(dataclasses.replace(_CONFIG, plan=known))
    assert json.loads(json.loads(later["SparseWeights"])["days"]) == []


# --- days -----------------------------------------------------------------------------


def test_a_later_run_trains_what_was_judged_and_judges_what_is_new():
    earlier = (("day-20220408", "e/1"), ("day-20220409", "e/1"))
    plan = RunPlan(new="20220410:20220410", new_eval_days=1, earlier=earlier)
    days = DagDays.of(plan, eval_days=1, days_per_split=1)
    assert days.new == ("day-20220410",)
    assert days.train == ("day-20220408", "day-20220409")
    assert days.judged == ("day-20220410",)
    # A directory of this run is not known yet: a step puts its input in the place.
    assert json.loads(days.pairs((*days.train, *days.judged))) == [
        ["day-20220408", "e/1"],
        ["day-20220409", "e/1"],
        ["day-20220410", ""],
    ]


def test_a_first_run_keeps_its_last_days_for_evaluation():
    plan = RunPlan(new="20220408:20220411", new_eval_days=2)
    days = DagDays.of(plan, eval_days=2, days_per_split=1)
    assert days.train == ("day-20220408", "day-20220409")
    assert days.judged == ("day-20220410", "day-20220411")


# --- the directory of the checkpoints -------------------------------------------------


def _name(**changes) -> str:
    return pathlib.Path(checkpoints_dir(dataclasses.replace(_CONFIG, **changes))).name


def _changed(what: str) -> str:
    old, new, _ = _CHANGES[what]
    return _SPEC.replace(old, new)


def test_checkpoints_stay_where_more_days_are_trained():
    later = RunPlan(new="19970920:19980520", new_eval_days=1)
    assert _name(plan=later, fingerprint="more files") == _name()
    assert checkpoints_dir(_CONFIG).startswith("/run/checkpoints/")


@pytest.mark.parametrize(
    "what", ["a comment", "a fusion weight", "a threshold", "a limit of the log"]
)
def test_checkpoints_stay_where_the_weights_would_be_the_same(what):
    assert _name(spec=_changed(what)) == _name()


@pytest.mark.parametrize("what", ["a loss weight", "rows of a table", "a label"])
def test_another_training_has_its_own_checkpoints(what):
    assert _name(spec=_changed(what)) != _name()
    assert _name(seed=1) != _name()
    assert _name(preset=preset_text("ple")) != _name()


def test_a_new_file_of_any_log_makes_new_examples(tmp_path):
    """A log of another kind counts as the log itself does."""
    text = TINY_SPEC + (
        'histories: {searches: {files: "searches_*.csv", user: u, time: t,'
        " types: {u: int64, t: int64}, columns: {moments: t}}}\n"
    )
    for name in ("log_1.csv", "searches_1.csv", "other.csv"):
        (tmp_path / name).write_text("one line\n")
    spec = read_spec(text)
    found = [fingerprint(read_files(spec, str(tmp_path)))]
    for name in ("other.csv", "searches_1.csv", "log_1.csv"):
        (tmp_path / name).write_text("more than one line\n")
        found.append(fingerprint(read_files(spec, str(tmp_path))))
    first, other, searches, log = found
    assert other == first
    assert len({first, searches, log}) == 3


def test_in_this_process_tfx_packs_nothing_for_workers():
    """44 MB of its source a run, else, in the temporary directory."""
    given = list(IN_PROCESS_BEAM_ARGS)
    assert make_beam_dependency_flags(given) == given


def test_sparse_tasks_are_trained_separately_in_a_run_too(tmp_path):
    """The Trainer's spec does not say which they are, so its preset has their names."""
    preset = tmp_path / "apart.yaml"
    preset.write_text("separate: [sparse, skip]\n")
    run = RunConfig(spec="kuairand", logs="logs", root="run", preset=str(preset))
    texts = read_texts(run)
    found = read_preset(texts.preset)
    expected = ["skip", "like", "follow", "comment", "share", "hate", "profile_enter"]
    expected += ["read_comment", "interact", "like_after_view"]
    assert list(found.separate) == expected
    view = read_spec(views.step_text(texts.spec, "Trainer"))
    assert list(separate_tasks(found, view)) == expected
    mmoe = read_texts(dataclasses.replace(run, preset="mmoe"))
    assert mmoe.preset == preset_text("mmoe")  # as it was written
