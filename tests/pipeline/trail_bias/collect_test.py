"""The Beam graph gives what its plain function gives on all rows."""

import numpy as np
import pytest

from pipeline.trail_bias.collect import collect
from pipeline.trail_bias.sums import COUNT, sum_rows


@pytest.mark.parametrize("shards", [1, 5])
def test_sums_are_those_of_all_rows_at_once(
    study_of, trail, frame_of, tmp_path, shards
):
    study = study_of()
    rows = [
        row
        for uid in range(30)
        for row in trail(
            uid,
            5,
            drawn=[uid % 2, 1, 0, 1, 0],
            liked=[1, int(uid % 3 == 0), 0, int(uid % 4 == 0), 1],
        )
    ]
    for name, part in (("log_1.csv", rows[:71]), ("log_2.csv", rows[71:])):
        frame_of(part).drop("_time_ms").write_csv(tmp_path / name)
    found = collect(study, str(tmp_path), str(tmp_path / "out"), shards=shards)
    whole = sum_rows(frame_of(rows), study)
    np.testing.assert_array_equal(found.cells, whole.cells)
    assert (found.lengths, found.cut) == ({5: 30}, 0)
    assert found.cells[0, ..., COUNT].sum() == 150
    assert not (tmp_path / "out" / "_unfinished").exists()
