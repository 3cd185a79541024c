"""The whole command: logs to figure, CSV and words; and against the known truth."""

import json
import pathlib
import sys

import numpy as np
import polars as pl
import pytest

from pipeline.simulator import simulate
from pipeline.trail_bias import command

_HEADER = ("uid", "video", "ts", "watched", "drawn", "tab", "seen", "liked")


@pytest.fixture
def trail_bias(tmp_path, spec_text, capsys):
    """(rows, flags, the spec's text) -> (printed, CSV, JSON, files) of a run."""

    def run(rows, *flags, text=spec_text):
        logs, out = tmp_path / "logs", tmp_path / "out"
        logs.mkdir(exist_ok=True)
        lines = [",".join(str(row[column]) for column in _HEADER) for row in rows]
        (logs / "log.csv").write_text("\n".join([",".join(_HEADER), *lines]) + "\n")
        (tmp_path / "tiny.yaml").write_text(text)
        return _run(tmp_path / "tiny.yaml", logs, out, *flags, capsys=capsys)

    return run


def _run(spec, logs, out, *flags, capsys):
    paths = ["--spec", str(spec), "--logs", str(logs), "--out", str(out)]
    assert command.run([*paths, *flags]) == 0
    points = pl.read_csv(out / "trail_bias.csv", comment_prefix="#")
    found = json.loads((out / "trail_bias.json").read_text())
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    return " ".join(capsys.readouterr().out.split()), points, found, files


@pytest.fixture
def known_rows(trail):
    """Twelve users with a trail of four: random, feed, random, feed.

    Random rows are liked by 10 users in the first half of the trail and by 5 in the
    second; the feed by 12 and by 9.
    """
    rows = trail(100, 3) + trail(101, 4, minute=11 * 60 + 45)  # short, and cut
    for uid in range(12):
        liked = [uid < 10, True, uid < 5, uid < 9]
        rows += trail(
            1 + uid, 4, drawn=[1, 0, 1, 0], liked=[int(value) for value in liked]
        )
    return rows


_TWO_BINS = ("--bins", "2", "--min_length", "4", "--days", "20220408")


def test_known_rates_give_known_points(trail_bias, known_rows):
    printed, points, found, files = trail_bias(known_rows, *_TWO_BINS)
    like = points.filter(pl.col("task") == "like")
    assert like.columns[:5] == ["slice", "task", "bin", "from", "to"]
    assert like.select(
        "slice", "bin", "from", "to", "impressions", "positives"
    ).rows() == [
        ("random", 1, 0.0, 0.5, 12, 10),
        ("random", 2, 0.5, 1.0, 12, 5),
        ("feed", 1, 0.0, 0.5, 12, 12),
        ("feed", 2, 0.5, 1.0, 12, 9),
    ]
    np.testing.assert_allclose(like["rate"], [10 / 12, 5 / 12, 1, 0.75], atol=1e-6)
    np.testing.assert_allclose(like["relative"], [1, 0.5, 1, 0.75], atol=1e-6)
    # Each user is a group: one of 5, of 5 others and of 2 others is left out at a time.
    spread = sum(
        count * (np.log(kept_last / kept_first) - np.log(0.5)) ** 2
        for count, kept_first, kept_last in [(5, 9, 4), (5, 9, 5), (2, 10, 5)]
    )
    half = 2.201 * np.sqrt(spread * 11 / 12)  # t table: 11 degrees of freedom
    assert like["low"][1] == pytest.approx(0.5 * np.exp(-half), rel=1e-3)
    assert like["high"][1] == pytest.approx(0.5 * np.exp(half), rel=1e-3)
    assert found["trails"]["used"] == 12
    assert (found["trails"]["too_short"], found["trails"]["cut"]) == (1, 1)
    assert found["last_bin"]["like"]["feed_over_random"]["relative"] == 1.5
    assert files.keys() == {"trail_bias.csv", "trail_bias.json", "trail_bias.png"}
    assert files["trail_bias.png"].startswith(b"\x89PNG")
    assert files["trail_bias.csv"].startswith(b"# relative = rate in the bin / rate in")
    assert "like 0.50 (0.24-1.05) 0.75" in printed
    assert "from the first bin to the last: no change to be told from chance" in printed
    assert "Task own is left out: it reads author" in printed


def test_without_a_rule_for_random_rows_only_the_feed_is_shown(
    trail_bias, known_rows, spec_text
):
    text = spec_text.replace('  random: "drawn = 1"\n', "")
    printed, points, found, _ = trail_bias(known_rows, *_TWO_BINS, text=text)
    assert "the spec does not say which rows were drawn at random" in printed
    assert "name them in log.random" in printed
    like = points.filter(pl.col("task") == "like")
    assert like["slice"].to_list() == ["feed", "feed"]
    assert like["positives"].to_list() == [22, 14]
    assert "feed_over_random" not in found["last_bin"]["like"]


def test_without_random_rows_only_the_feed_is_shown(trail_bias, known_rows):
    rows = [dict(row, drawn=0) for row in known_rows]
    printed, points, _, _ = trail_bias(rows, *_TWO_BINS)
    assert "no row of a long enough trail fulfils log.random = 'drawn = 1'" in printed
    assert points["slice"].unique().to_list() == ["feed"]


def test_sparse_tasks_are_named_with_their_fewest_positives(trail_bias, known_rows):
    printed, _, found, _ = trail_bias(known_rows, *_TWO_BINS)
    sparse = found["too_sparse_to_plot"]
    assert sparse["random"] == {"like": 5, "like_of_seen": 5}
    assert "Not in the plot of the random slice: like (5), like_of_seen (5)" in printed


def test_logs_without_a_long_trail_are_refused_with_their_lengths(
    trail_bias, known_rows
):
    message = (
        "No watch trail of 5 impressions .--min_length. on the days 20220408:20220408. "
        "Impressions of the 13 whole ones: 10% at most 4.* 100% at most 4. Lower"
    )
    with pytest.raises(ValueError, match=message):
        trail_bias(known_rows, *_TWO_BINS, "--min_length", "5")


def test_logs_with_cut_trails_only_are_refused(trail_bias, trail):
    with pytest.raises(
        ValueError, match="No whole watch trail on the days.*1 may go on"
    ):
        trail_bias(trail(1, 4, minute=11 * 60 + 45), *_TWO_BINS)


def test_rows_that_the_filters_drop_altogether_are_refused(trail_bias, trail):
    with pytest.raises(
        ValueError, match="none of their rows passes filters.keep .watch."
    ):
        trail_bias(trail(1, 4, watched=[-1] * 4), *_TWO_BINS)


def test_too_many_unreadable_lines_are_refused(trail_bias, known_rows):
    rows = [dict(known_rows[0], ts="yesterday"), *known_rows]
    with pytest.raises(ValueError, match="1.79% of the log's rows are unreadable"):
        trail_bias(rows, *_TWO_BINS)


def test_a_missing_matplotlib_is_told_before_the_logs_are_read(
    trail_bias, known_rows, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeError, match="pip install matplotlib"):
        trail_bias(known_rows, *_TWO_BINS)


# Task of kuairand.yaml -> signal of the simulator's truth.
_SIGNALS = {
    "valid_play": "is_click",
    "long_view": "long_view",
    "finish": "complete",
    "skip": "skip",
    "like": "is_like",
    "profile_enter": "is_profile_enter",
}
_DENSE = ("valid_play", "long_view", "finish", "skip")


def _true_rates(logs: pathlib.Path) -> pl.DataFrame:
    """Mean true probabilities by slice and tenth of the trail, with (p) and without (u)
    the trail's effect, of the videos that kuairand.yaml keeps."""
    truth = pl.read_parquet(logs / "truth" / "*.parquet")
    videos = pl.read_csv(next((logs / "data").glob("video_features_basic_*.csv")))
    kept = videos.filter(pl.col("video_duration").is_between(5_000, 10_800_000))
    length = pl.len().over("trail_id")
    middle = (pl.col("trail_position") + 0.5) / length  # positions count from 0
    return (
        truth.with_columns(bin=(10 * middle).floor(), length=length)
        .filter(pl.col("length") >= 10)
        .join(kept, on="video_id", how="semi")
        .group_by("is_rand", "bin")
        .agg(pl.col("^[pu]_.*$").cast(pl.Float64).mean())
        .sort("is_rand", "bin")
    )


@pytest.fixture(scope="module")
def simulated(any_seed, tmp_path_factory):
    """Simulated logs, 30 % of whose rows are random exposures."""
    folder = tmp_path_factory.mktemp("trail_bias")
    simulate(
        str(folder / "sim"),
        users=250,
        days=3,
        seed=1 + any_seed,
        random_share=0.3,
        dirty_share=0,
    )
    return folder / "sim"


@pytest.mark.slow
@pytest.mark.stochastic
def test_the_random_slice_shows_the_trails_own_effect_and_the_feed_does_not(
    simulated, tmp_path, capsys
):
    printed, points, _, _ = _run(
        "kuairand", simulated / "data", tmp_path / "out", capsys=capsys
    )
    covered = {}
    for (is_random,), rates in _true_rates(simulated).group_by(
        "is_rand", maintain_order=True
    ):
        for task, signal in _SIGNALS.items():
            with_trail, without = rates[f"p_{signal}"], rates[f"u_{signal}"]
            effect = (with_trail / without / (with_trail[0] / without[0])).to_numpy()
            name = "random" if is_random else "feed"
            shown = points.filter(pl.col("task") == task, pl.col("slice") == name)
            low, high = shown["low"].to_numpy(), shown["high"].to_numpy()
            covered[name, task] = ((low <= effect) & (effect <= high))[1:]
    # 54 points with bands of 95 %. Were all points of a task one, six in all, the share
    # would have a standard deviation of 0.09; over ten seeds it was 0.87 once, else 0.9
    # and more. Bands of half the width would hold two points of three.
    assert np.mean([covered["random", task] for task in _SIGNALS]) >= 0.8
    assert not any(covered["feed", task].any() for task in _DENSE)
    assert "falls: valid_play, long_view, finish" in printed
    assert "higher: skip" in printed


@pytest.mark.slow
@pytest.mark.stochastic
def test_only_the_feed_shows_other_videos_late_in_a_trail(simulated):
    """Why the feed's curve is not the trail's: without its effect, rates move there."""
    rates = _true_rates(simulated)
    move = {
        is_random: (rows["u_is_click"] / rows["u_is_click"][0]).to_numpy()
        for (is_random,), rows in rates.group_by("is_rand")
    }
    assert np.abs(move[1] - 1).max() < 0.05
    assert move[0][-1] < 0.85
