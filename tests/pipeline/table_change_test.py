"""The change of two models' metrics on the same rows, by hand."""

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.evaluation.rows import Rows, prediction_key
from pipeline.table_change import _of_task
from tests.tiny_spec import TINY_SPEC


def test_a_pair_of_each_metric_and_the_largest_change():
    frame = pl.DataFrame(
        {
            "key_user": [1, 1, 1, 2, 2],
            "key_item": [1, 2, 3, 4, 5],
            "key_time_ms": [1, 2, 3, 4, 5],
            "label_good": pl.Series([1.0, 0.0, 0.0, 1.0, 0.0], dtype=pl.Float32),
            "mask_good": pl.Series([1.0] * 5, dtype=pl.Float32),
            prediction_key("good"): pl.Series(
                [0.9, 0.1, 0.2, 0.8, 0.3], dtype=pl.Float32
            ),
            prediction_key("good", 1): pl.Series(
                [0.15, 0.1, 0.2, 0.8, 0.3], dtype=pl.Float32
            ),
        }
    )
    found = _of_task(Rows.of(frame), read_spec(TINY_SPEC).tasks[0])
    # Of 2 x 3 pairs the second has (0.15, 0.2) and (0.15, 0.3) in the wrong order.
    assert found["auc"] == pytest.approx([1.0, 4 / 6])
    # User 1 has 1 and 1/2, user 2 has 1 twice; weighted by 3 and 2 rows.
    assert found["gauc"] == pytest.approx([1.0, (3 * 0.5 + 2 * 1) / 5])
    assert found["largest_change"] == pytest.approx(0.75, rel=1e-6)
