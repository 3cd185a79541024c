"""The live tables: what their variants differ in, and what is told of experiments."""

import dataclasses
import json
import math
import pathlib
import sys

import pytest
import rich.console

from feature_specs import load_preset, read_spec, views
from feature_specs.preset import check_preset, separate_tasks, weighted
from pipeline.experiment.arms import choose
from pipeline.experiment.effects import Effect
from pipeline.experiment.errors import ExperimentError

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def tables():
    """The helper, and the three tables by number."""
    sys.path.insert(0, _BENCHMARKS)
    try:
        import live
        import live_table1
        import live_table2
        import live_table4

        found = {1: live_table1, 2: live_table2, 4: live_table4}
        yield live, {number: module.table() for number, module in found.items()}
    finally:
        sys.path.remove(_BENCHMARKS)


def test_variants_are_those_of_the_paper(tables):
    live, by_number = tables
    spec, shipped = live.live_spec(), load_preset("mmoe")
    for table in by_number.values():
        assert set(table.quick) < set(table.variants)
        assert table.quick[0] == next(iter(table.variants))  # the control
        for variant in table.variants.values():
            check_preset(variant.preset, spec)
            own = spec if variant.has_trail else live.without_trail(spec)
            check_preset(variant.preset, own)
    one = by_number[1].variants
    # SFV table 1: none, each of six tasks, all. In a preset no task named means all.
    told = [(v.has_trail, v.preset.trail.tasks) for v in one.values()]
    assert told == [
        (False, ()),
        *((True, (task,)) for task in live.TASKS),
        (True, ()),
    ]
    assert len(live.TASKS) == 6
    lambdas = [v.preset.disentangle for v in by_number[2].variants.values()]
    assert lambdas == [0, 0.001, 0.01, 0.05, 0.5, 1, 10]
    four = {
        name: (
            separate_tasks(v.preset, spec),
            {t.loss_weight for t in weighted(spec, v.preset).tasks[-2:]},
            {t.balance for t in weighted(spec, v.preset).tasks[-2:]},
        )
        for name, v in by_number[4].variants.items()
    }
    assert four == {
        "separate": (live.SPARSE, {1}, {0}),
        "none": ((), {1}, {0}),
        "sampling": ((), {1}, {0.5}),
        **{f"upweighting {w}": ((), {w}, {0}) for w in (10, 20, 50, 100, 1000)},
    }
    # Nothing else differs.
    for name, variant in one.items():
        plain = dataclasses.replace(variant.preset, trail=shipped.trail)
        assert plain == shipped, name


def _effect(change, half, control=1.0):
    nan = math.nan
    return Effect(
        change=change,
        half=half,
        half_always=nan,
        control=control,
        treatment=nan,
        variance_left=nan,
    )


def test_effects_are_pooled_over_splits_and_worlds(tables):
    """By hand: the mean of 1 and 3 % is 2 %. By users its half interval is that of a
    mean of two independent ones, sqrt(3^2 + 4^2) / 2 = 2.5 %. Over worlds the standard
    deviation is sqrt(2) %, that of the mean 1 %, and t of one degree of freedom 12.706.
    """
    live, _ = tables
    found = live.pooled([[_effect(0.01, 0.03)], [_effect(0.03, 0.04)]])
    assert found.change == pytest.approx(0.02)
    assert found.half_users == pytest.approx(0.025)
    assert found.over_worlds.half == pytest.approx(0.12706, rel=1e-4)
    assert not found.is_significant and not found.is_significant_over_worlds
    assert live.cell(found) == "+2.00 % ±2.50 (±12.71)"
    alone = live.pooled([[_effect(-0.02, 0.01)]])
    assert live.cell(alone) == "-2.00 % ±1.00*"
    # Of two splits of one world: more users' draws, but no second world.
    both = live.pooled([[_effect(0.01, 0.03), _effect(0.03, 0.04)]])
    assert live.cell(both) == "+2.00 % ±2.50"
    # The splits are added up: controls of 1 and 3, treatments of 1.01 and 3.09.
    uneven = live.pooled([[_effect(0.01, 0.03), _effect(0.03, 0.04, control=3.0)]])
    assert uneven.change == pytest.approx((1.01 + 3.09) / 4 - 1)
    assert uneven.half_users == pytest.approx(math.hypot(0.03, 3 * 0.04) / 4)
    # A split without events enough must not drop out silently.
    partly = live.pooled([[_effect(0.01, 0.03), _effect(math.nan, math.nan)]])
    assert live.cell(partly) == "-"


_FEATURES = ("user_id", "video_id", "duration_s", "trail_position")


def _few(live):
    """The tables' spec with few features and tasks: tracing them takes the time."""
    spec = live.live_spec()
    features = tuple(f for f in spec.features if f.name in _FEATURES)
    tables = {name: spec.tables[name] for name in ("user", "video")}
    tasks = tuple(spec.task(name) for name in ("valid_play", "long_view"))
    weights = dict.fromkeys(("valid_play", "long_view"), 1.0)
    few = dataclasses.replace(
        spec,
        features=features,
        tables=tables,
        tasks=tasks,
        facets={},
        fusion=dataclasses.replace(spec.fusion, weights=weights),
        evaluation=dataclasses.replace(spec.evaluation, min_auc={}),
    )
    return read_spec(views.written(few))


@pytest.mark.slow
def test_a_table_is_made_and_goes_on(tables, tmp_path, any_seed, monkeypatch):
    """Two variants in one tiny world, by the code of the whole table."""
    from serving.export.model_card import read_card

    live, by_number = tables
    table = by_number[1].only(by_number[1].quick)
    spec = _few(live)
    monkeypatch.setattr(live, "live_spec", lambda: spec)
    console = rich.console.Console(quiet=True)
    found = live.run(table, live.QUICK, [any_seed], 1, tmp_path, console)
    ((experiment,),) = found.values()
    control, treatment = experiment.design.arms
    # They differ in what the table says, and serve the same features.
    assert [arm.name for arm in (control, treatment)] == list(table.quick)
    without, whole = (
        read_spec(read_card(arm.model).spec) for arm in (control, treatment)
    )
    assert [f.name for f in whole.trail_features] == ["trail_position"]
    assert not without.trail_features
    # Others are refused: trail features alone may differ.
    choose(control, [treatment], live.without_trail(spec))
    fewer = dataclasses.replace(spec, features=spec.features[1:])
    with pytest.raises(ExperimentError, match="reads other features"):
        choose(control, [treatment], fewer)
    assert experiment.design.history_days == live.QUICK.history_days
    assert not experiment.is_same(treatment.name)
    told = live.summary(table, live.QUICK, found, 1.0)
    (change,) = told["changes"].values()
    assert set(change) == set(table.measures.values())
    one = experiment.effect(treatment.name)
    assert change["overall_enjoyment"]["change"] == pytest.approx(one.change, rel=1e-5)
    assert change["overall_enjoyment"]["half_worlds"] is None  # a single world
    assert sum(counts[0] for counts in told["users"].values()) == live.QUICK.users
    json.dumps(told, allow_nan=False)
    assert live.shown(table, found).row_count == 2
    # Again: nothing is simulated, trained or served.
    monkeypatch.setattr(live.simulated, "fit", None)
    found = live.run(table, live.QUICK, [any_seed], 1, tmp_path, console)
    ((again,),) = found.values()
    assert again.fresh == 0 and again.effect(treatment.name) == one
