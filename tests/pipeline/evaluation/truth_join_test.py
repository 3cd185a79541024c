"""The truth's columns find their tasks by what labels say, not by names."""

import json

import polars as pl
import pytest

from feature_specs import load_spec, read_spec
from pipeline.evaluation.truth_join import NoTruthError, read_truth

_SPEC = """
name: mine
log:
  files: "*.csv"
  user: who
  item: what
  time: {column: at, unit: s}
  columns: {who: string, what: int64, at: int64, liked: int64, seen: int64, ms: int64}
  outcomes: [liked, seen, ms]
features:
  - {name: who, group: query, kind: id, table: user}
  - {name: what, group: candidate, kind: id, table: video}
tables: {video: {buckets: 10}, user: {buckets: 10}}
tasks:
  - {name: thumb, kind: binary, label: "liked=1"}
  - {name: watched, kind: binary, label: "ms >= least(3000, 500)"}
  - {name: other, kind: binary, label: "liked = 0"}
  - {name: thumb_of_seen, kind: binary, label: "liked = 1", sample_space: "seen = 1"}
fusion: {weights: {thumb: 1}}
"""
_ORACLES = {"liked = 1": "chance", "ms >= LEAST(3000, 500)": "long"}


@pytest.fixture
def spec():
    return read_spec(_SPEC)


@pytest.fixture
def truth(tmp_path):
    """Columns that differ from a good truth; None leaves one out -> its directory."""

    def make(oracles=_ORACLES, **columns):
        rows = {"who": [7, 8], "what": [1, 2], "at": [10, 20]}
        rows |= {"chance": [0.1, 0.9], "long": [0.2, 0.8], "liked": [0, 1]} | columns
        frame = pl.DataFrame({k: v for k, v in rows.items() if v is not None})
        for part in (0, 1):
            frame[part : part + 1].write_parquet(
                tmp_path / f"impressions-{part}.parquet"
            )
        if oracles is not None:
            (tmp_path / "oracles.json").write_text(json.dumps(oracles))
        return str(tmp_path)

    return make


def test_a_task_gets_the_column_of_its_label(spec, truth):
    found = read_truth(truth(), spec)
    assert found.to_dict(as_series=False) == {
        "key_user": ["7", "8"],  # as the spec declares them
        "key_item": [1, 2],
        "key_time_ms": [10_000, 20_000],
        "oracle_thumb": [0.1, 0.9],
        "oracle_watched": [0.2, 0.8],
    }


def test_a_truth_of_an_older_simulation_says_what_to_do(spec, truth):
    with pytest.raises(NoTruthError, match="no oracles.json, .*run it again"):
        read_truth(truth(oracles=None), spec)


def test_a_truth_of_other_labels_is_refused(spec, truth):
    match = "no task of spec 'mine' .*are: liked = 2. Leave --truth out"
    with pytest.raises(NoTruthError, match=match):
        read_truth(truth(oracles={"liked = 2": "chance"}), spec)


def test_a_truth_of_other_logs_is_refused(spec, truth):
    with pytest.raises(NoTruthError, match="spec 'mine', .* Missing: who, long"):
        read_truth(truth(who=None, long=None), spec)


def test_a_directory_without_truth_is_refused(spec, tmp_path):
    with pytest.raises(NoTruthError, match="no .*parquet here"):
        read_truth(str(tmp_path), spec)


def test_the_simulator_names_the_oracles_of_the_shipped_spec(simulated_logs):
    found = read_truth(str(simulated_logs / "truth"), load_spec("kuairand"))
    assert found.columns[3:] == [
        *("oracle_valid_play", "oracle_long_view", "oracle_finish", "oracle_skip"),
        *("oracle_like", "oracle_follow", "oracle_comment", "oracle_share"),
        *("oracle_hate", "oracle_profile_enter"),
    ]
    truth = pl.read_parquet(simulated_logs / "truth" / "*.parquet")
    assert found["oracle_finish"].equals(truth["u_complete"].alias("oracle_finish"))
