"""`trailrank fusion estimate` on the run that all tests share, and what is refused."""

import dataclasses

import numpy as np
import pytest

from feature_specs import read_spec
from pipeline.fusion_search import estimate, random_slice
from pipeline.fusion_search.command import run
from pipeline.fusion_search.errors import FusionSearchError, NoEstimateError
from pipeline.fusion_search.estimate import EstimateOptions, fusion_estimate
from pipeline.fusion_search.partitions import Partitions
from pipeline.run_record import read_record

_OPTIONS = EstimateOptions(candidates=2, min_users=10, utility="watch_time")


@pytest.fixture(scope="module")
def sliced(shared_run):
    """(record, spec, random rows) of the shared run."""
    record = read_record(shared_run.root)
    spec = read_spec(record.spec_text)
    days = [(split, record.examples_of(split)) for split in record.eval_splits]
    return record, spec, random_slice.read_slice(spec, days, 20_000, 0)


@pytest.mark.slow
def test_the_same_order_changes_nothing_and_another_is_told_in_pairs(shared_run):
    weights = read_spec(read_record(shared_run.root).spec_text).fusion.weights
    same = fusion_estimate(shared_run.root, weights=weights, options=_OPTIONS)
    assert same.change["value"].mean == same.change["value"].half == 0
    assert same.verdict == "not shown to differ"
    found = fusion_estimate(shared_run.root, weights={"skip": 3.0}, options=_OPTIONS)
    assert found.against == same.against
    values = found.found.snips["value"].mean, found.against.snips["value"].mean
    assert found.change["value"].mean == pytest.approx(values[0] - values[1])
    # A set of two: at most half of all rows come first, and weights are 0 to 2.
    assert found.found.matched < 0.6 * found.rows
    assert 0.5 * found.rows < found.found.ess < found.rows
    assert found.paired == ("author_plays", "tag_pause_s")


@pytest.mark.slow
def test_random_rows_are_those_that_the_log_says(sliced, simulated_logs):
    import polars as pl

    _, _, rows = sliced
    logs = pl.read_csv(simulated_logs / "data" / "log_random_*.csv")
    days = logs.filter(pl.col("date") == logs["date"].max())
    assert 0.8 * days.height < len(rows) <= days.height  # some damaged or filtered
    key = ["user_id", "video_id", "time_ms"]
    keys = rows.frame.select("key_user", "key_item", "key_time_ms")
    assert keys.rename(dict(zip(keys.columns, key, strict=True))).join(
        days, on=key, how="semi"
    ).height == len(rows)


@pytest.mark.slow
def test_a_candidate_beside_is_scored_as_if_it_had_been_logged(sliced):
    """Rows 40 on have the contexts of the first 40 and the candidates beside these."""
    record, spec, rows = sliced
    own = np.arange(40)
    others = random_slice.draw_others(rows.day[:40], 1, 0)[:, 0]
    both = random_slice.RandomSlice(
        frame=rows.frame[:80],  # which no score hangs on
        day=rows.day[:80],
        contexts=np.tile(rows.contexts[:40], 2),
        candidates=rows.candidates[np.concatenate([own, others])],
    )
    pairs = np.stack([np.tile(others, 2), np.arange(80)], axis=1)
    ask = (spec, record.model, record.transform_graph, both, pairs, [spec.fusion])
    (scores,) = random_slice.score_sets(*ask)
    np.testing.assert_allclose(scores[:40, 1], scores[40:, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[:, 0], scores[:, 2], rtol=1e-6)  # itself
    assert (scores[:40, 1] != scores[:40, 0]).mean() > 0.9


@pytest.mark.slow
def test_the_command_tells_value_size_and_policy(shared_run, tmp_path, capsys):
    section = tmp_path / "fusion.yaml"
    section.write_text(
        "fusion: {weights: {long_view: 1.0, skip: -0.5},\n"
        "  facets: {user_group: {new: {skip: -2.0}}}}\n"
    )
    flags = ["--root", str(shared_run.root), "--fusion", str(section)]
    flags += ["--candidates", "2", "--min_users", "10"]
    assert run(["estimate", *flags]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for part in ("Effective sample size", "By replay", "2 candidates drawn", "value"):
        assert part in told


@pytest.mark.slow
def test_too_few_are_refused_with_the_size(shared_run):
    options = dataclasses.replace(_OPTIONS, min_ess=5_000)
    with pytest.raises(NoEstimateError, match=r"worth \d+ impressions of \d+ users"):
        fusion_estimate(shared_run.root, weights={"skip": 0.0}, options=options)


def test_others_are_of_the_same_day_each_as_likely():
    day = np.repeat([0, 1], [4, 7])
    found = random_slice.draw_others(day, 30_000, 0)
    own = np.arange(11)[:, np.newaxis]
    assert (found != own).all() and (day[found] == day[:, np.newaxis]).all()
    counts = np.bincount(found[0], minlength=11) / 30_000
    np.testing.assert_allclose(counts[1:4], 1 / 3, atol=0.015)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("is_rand = 1", ""), "names no rows that were shown at random"),
        (("[is_rand, user_group, tab]", "[tab]"), "reads is_rand, which examples keep"),
    ],
)
def test_without_random_exposure_it_is_refused_and_says_why(change, told):
    from feature_specs import load_spec

    text = load_spec("kuairand").text.replace(*change)
    with pytest.raises(NoEstimateError, match=told):
        estimate.check_slice(read_spec(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "give one of both"),
        ({"weights": {"liek": 1.0}}, "no task 'liek'"),
        ({"weights": {"skip": float("nan")}}, "must be a number"),
        ({"fusion": "nowhere.yaml"}, "cannot be read"),
        ({"weights": {"skip": 1.0}, "days": ["20200101"]}, "has no day-20200101"),
    ],
)
def test_mistakes_are_told_before_rows_are_scored(shared_run, settings, told):
    with pytest.raises(FusionSearchError, match=told):
        fusion_estimate(shared_run.root, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("weights: {skip: 1}", "must have a section"),
        ("fusion: {weights: {liek: 1}}", "liek"),
        (
            "fusion: {weights: {skip: 1},"
            " length: {feature: duration_s, transform: sigmoid, weight: 1}}",
            "only its weight may be another",
        ),
    ],
)
def test_a_section_that_does_not_fit_is_told(shared_run, tmp_path, text, told):
    file = tmp_path / "fusion.yaml"
    file.write_text(text)
    with pytest.raises(FusionSearchError, match=told):
        fusion_estimate(shared_run.root, fusion=file)


@pytest.mark.slow
def test_a_row_s_partition_is_the_one_that_its_feature_says(sliced):
    """The slice has the names of the shipped facet's partitions. On the second day
    some users are new, others not."""
    import tensorflow as tf

    record, spec, _ = sliced
    split, folder = list(record.example_dirs.items())[1]
    rows = random_slice.read_slice(spec, [(split, folder)], 20_000, 0)
    reader = Partitions(spec, record.transform_graph, ["user_group"])
    places = reader.of(tf.constant(rows.contexts))["user_group"]
    names = np.array(list(spec.facets["user_group"].partitions))[places]
    assert names.tolist() == rows.frame["slice_user_group"].to_list()
    assert len(set(names)) > 1
