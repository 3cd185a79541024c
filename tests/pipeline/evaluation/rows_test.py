"""Rows on disk are the rows in memory, whatever the order in which they came."""

import numpy as np
import polars as pl
import pytest

from pipeline.evaluation.rows import Rows, collect
from tests.pipeline.evaluation.drawn import drawn_rows


def _batches(frame: pl.DataFrame, rows: int):
    for start in range(0, frame.height, rows):
        yield frame[start : start + rows]


@pytest.fixture(params=["int64", "string"])
def frame(request):
    users = pl.col("key_user")
    texts = pl.format("u{}", users) if request.param == "string" else users
    return drawn_rows(key_user=texts)


def _all(rows: Rows) -> pl.DataFrame:
    return pl.concat(rows.read(sorted(rows.columns))).sort("key_time_ms")


def test_parts_have_all_rows_of_their_users_in_one_order(frame, tmp_path):
    rows = collect(_batches(frame, 70), 600, tmp_path, part_rows=100)
    parts = list(rows.read(["key_user", "key_split", "key_time_ms"]))
    assert 2 <= len(parts) <= 6
    users = [set(part["key_user"]) for part in parts]
    assert sum(map(len, users)) == len(set.union(*users)) == 40
    for part in parts:
        assert part.equals(part.sort("key_user", "key_split", "key_time_ms"))
    assert _all(rows).equals(frame.select(sorted(frame.columns)).sort("key_time_ms"))
    assert rows.count == 600


def test_the_order_in_which_rows_come_does_not_matter(frame, tmp_path):
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    one, other = (
        list(collect(batches, 600, tmp_path, part_rows=100).read(frame.columns))
        for batches in (_batches(frame, 70), _batches(shuffled, 33))
    )
    assert len(one) == len(other)
    assert all(a.equals(b) for a, b in zip(one, other, strict=True))


def test_few_rows_stay_in_memory(frame, tmp_path):
    rows = collect(_batches(frame, 70), 600, tmp_path)
    assert not list(tmp_path.iterdir())
    assert _all(rows).equals(frame.select(sorted(frame.columns)).sort("key_time_ms"))


def test_each_part_is_finished_as_a_whole(frame, tmp_path):
    def finish(part):
        return part.with_columns(oracle_like=pl.col("key_time_ms") * 2.0)

    for part_rows in (100, 1000):
        batches = _batches(frame, 70)
        rows = collect(batches, 600, tmp_path, finish, part_rows=part_rows)
        found = pl.concat(rows.read(["key_time_ms", "oracle_like", "no such"]))
        assert found.columns == ["key_time_ms", "oracle_like"]
        assert (found["oracle_like"] == found["key_time_ms"] * 2).all()


def test_a_task_has_the_rows_of_its_sample_space(frame, tmp_path):
    rows = collect(_batches(frame, 70), 600, tmp_path, part_rows=100)
    found = pl.concat(rows.read_task("like", "key_time_ms"))
    inside = frame.filter(pl.col("mask_like") > 0)
    assert found.columns == ["label_like", "key_time_ms"]
    np.testing.assert_array_equal(
        found.sort("key_time_ms")["label_like"], inside["label_like"]
    )
