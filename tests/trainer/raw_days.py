"""Raw rows of the trainer's small data set, and an encoding of them, for tests."""

import numpy as np
import tensorflow as tf

from feature_specs import label_key, mask_key
from tests.encoded_rows import as_examples
from tests.trainer.conftest import SPEC
from trainer.days.encoding import Encoding, Scale

RAW_SPEC = SPEC.replace("kind: code, size: 4", "kind: category, size: 4").replace(
    'kind: number, expr: "time_ms / 1000.0"',
    'kind: number, transform: log1p, expr: "time_ms / 1000.0"',
)
ENCODING = Encoding(
    learned_through="20220407",
    vocabularies={"tab": ("7", "5")},
    room={"tab": 4},
    base_sizes={"tab": 2},
    scales={"age": Scale("z", "log1p", 2.0, 0.5)},
)


def raw_rows(rows, seed):
    """Raw rows as `pipeline.examples` writes them, drawn at random."""
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        row = {
            "user_id": int(draws.integers(50)),
            "history_video_id": draws.integers(99, size=draws.integers(7)).tolist(),
            "tab": int(draws.choice([7, 5, 3, -1])),
            "video_id": int(draws.integers(99)),
            "tag": int(draws.integers(-1, 7)),
            "age": float(draws.choice([draws.random() * 1e4, np.nan], p=[0.9, 0.1])),
            "trail_position": float(draws.integers(1, 9)),
            "trail_seconds": float(draws.random() * 90),
        }
        click = float(draws.integers(2))
        labels = {"click": click, "watch": draws.random(), "like": 0.0, "seconds": 1.5}
        row |= {label_key(task): float(value) for task, value in labels.items()}
        row |= {mask_key(task): 1.0 for task in labels} | {mask_key("like"): click}
        keys = {"key_user": row["user_id"], "key_item": row["video_id"]}
        found.append(row | keys | {"key_time_ms": int(draws.integers(99))})
    return found


def write_rows(path, rows):
    """A gzipped TFRecord file of raw rows, as `pipeline.examples` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in as_examples(rows):
            writer.write(record)
