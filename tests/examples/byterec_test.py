"""A headerless log of others, by its spec alone, against facts counted in the file."""

import pathlib
import shutil

import pytest
import tensorflow as tf

import trailrank

_ROOT = pathlib.Path(__file__).parents[2]
_SAMPLE = _ROOT.parent / "shared" / "data" / "byterec_sample.tsv"
_SHIFT = 51_500_000_000  # of the spec's log.time.expr

pytestmark = pytest.mark.skipif(not _SAMPLE.exists(), reason="../shared is not there")


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    """The file's lines, read by no code of ours."""
    return [[int(v) for v in line.split("\t")] for line in _SAMPLE.open()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(report, examples by user and time)."""
    folder = tmp_path_factory.mktemp("byterec")
    (folder / "logs").mkdir()
    shutil.copy(_SAMPLE, folder / "logs")
    spec = trailrank.load_spec(str(_ROOT / "examples" / "byterec.yaml"))
    report = trailrank.make_examples(
        spec, folder / "logs", folder / "out", eval_days=30
    )
    files = tf.io.gfile.glob(str(folder / "out" / "Split-*" / "*"))
    found = {}
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        row = tf.train.Example.FromString(record).features.feature
        key = (_value(row["key_user"]), _value(row["key_time_ms"]) // 1000 + _SHIFT)
        found[key] = {name: _value(entry) for name, entry in row.items()}
    return report, found


def _value(feature: tf.train.Feature):
    """The one value of a feature, or its values."""
    values = list(feature.int64_list.value) or list(feature.float_list.value)
    return values[0] if len(values) == 1 else values


def test_every_line_is_an_example(made):
    report, found = made
    assert report.rows_in == len(found) == 200
    assert (report.rejected, sum(report.filtered.values())) == (0, 0)


def test_labels_are_the_files(made, rows):
    """76 of 200 were watched to the end, 7 liked."""
    _, found = made
    assert sum(row["label_finish"] for row in found.values()) == 76
    assert sum(row["label_like"] for row in found.values()) == 7
    for row in rows:
        example = found[row[0], row[10]]
        assert (example["label_finish"], example["label_like"]) == (row[6], row[7])


def test_what_is_written_for_unknown_is_missing(made):
    """37 cities of users are -1, 8 of items -1 and 3 are 0, 124 of the music -1."""
    _, found = made
    missing = {
        name: sum(row[name] == -1 for row in found.values())
        for name in ("user_city", "item_city", "music_id", "channel")
    }
    assert missing == {"user_city": 37, "item_city": 11, "music_id": 124, "channel": 0}


def test_a_pair_is_missing_where_one_of_it_is(made, rows):
    _, found = made
    for row in rows:
        known = row[1] > 0 and row[4] > 0
        wanted = int(row[1] == row[4]) if known else -1
        assert found[row[0], row[10]]["same_city"] == wanted


def test_a_history_is_of_what_was_watched_to_the_end_before(made):
    """Of the two users with two rows, both finished the first; the file says which."""
    _, found = made
    histories = {key: row.get("history_item_id") for key, row in found.items()}
    assert {key: known for key, known in histories.items() if known} == {
        (30928, 53086362499): 635107,
        (21624, 53085832387): 1209396,
    }
