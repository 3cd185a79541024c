"""Scored rows of the tiny spec, drawn: ties, users of one row, a sample space."""

import numpy as np
import polars as pl


def drawn_rows(rows: int = 600, seed: int = 0, **others) -> pl.DataFrame:
    """Rows of some 40 users on two days; `others` are more columns."""
    draw = np.random.default_rng(seed)
    users = draw.integers(0, 40, rows)
    taste = draw.random(40)[users]
    chance = (taste + draw.random(rows)) / 2
    frame = pl.DataFrame(
        {
            "key_user": users,
            "key_item": draw.integers(0, 9, rows),
            "key_time_ms": np.arange(rows),
            "key_split": draw.integers(0, 2, rows, dtype=np.int32),
            "label_like": (draw.random(rows) < chance).astype(np.float32),
            "mask_like": (draw.random(rows) < 0.9).astype(np.float32),
            "prediction_like": (np.round(chance * 20) / 20).astype(np.float32),
            "label_stay": np.round(chance * 9).astype(np.float32),
            "mask_stay": np.ones(rows, np.float32),
            "prediction_stay": draw.normal(chance * 9, 2).astype(np.float32),
            "score": chance.astype(np.float32),
        }
    )
    return frame.with_columns(**others)
