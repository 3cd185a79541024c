"""A small data set for the trainer's tests: spec, batches and files, from one known
model of what users like; and two devices."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import ModelConfig, Spec, label_key, mask_key, read_preset, read_spec
from trainer.model.ranker import Batch


def _split_the_processor() -> None:
    """Makes it two devices of TensorFlow's, so that two replicas need no process of
    their own. Now, as devices are set before TensorFlow starts; what names none runs
    on the first, as ever."""
    (processor,) = tf.config.list_physical_devices("CPU")
    if not tf.config.get_logical_device_configuration(processor):
        tf.config.set_logical_device_configuration(
            processor, [tf.config.LogicalDeviceConfiguration()] * 2
        )


def _compile_plainly() -> None:
    """XLA's front end is what tests are about: that it takes a step, and what the step
    gives. How fast the processor's code is costs a third more, and is nobody's."""
    known = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{known} --xla_backend_optimization_level=0".strip()


_split_the_processor()
_compile_plainly()

SPEC = """
name: small
log:
  files: "log_*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, is_click: int64,
            is_like: int64, watched: float64, tab: int64, tag: int64}
  outcomes: [is_click, is_like, watched]
trail: {scope: [user_id]}
history: {positive: "is_click = 1", columns: [video_id], length: 4}
tables: {user: {buckets: 50, dim: 8}, video: {buckets: 5000, dim: 8}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: tab, group: context, kind: code, size: 4}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: tag, group: candidate, kind: code, size: 6}
  - {name: age, group: candidate, paired: true, kind: number, expr: "time_ms / 1000.0"}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4, 8]}
  - {name: trail_seconds, group: trail, kind: bucket, boundaries: [30, 60]}
tasks:
  - {name: click, kind: binary, label: "is_click = 1"}
  - {name: watch, kind: regression, label: watched}
  - {name: like, kind: binary, label: "is_like = 1", sample_space: "is_click = 1",
     loss_weight: 2}
  - {name: seconds, kind: regression, label: watched, loss: huber}
fusion: {weights: {click: 1.0}}
"""

PRESET = """
bottom: [16]
switcher: {kind: mmoe, experts: 3, units: [8]}
tower: [8]
trail: {units: [4], dim: 4, dropout: 0.1}
disentangle: 0.1
optimizer: {learning_rate: 0.01, table_learning_rate: 0.2}
"""


@pytest.fixture(autouse=True)
def seeded(any_seed):
    """Every test starts with the same random numbers, alone or among others."""
    tf.keras.utils.set_random_seed(1 + any_seed)


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """A strategy of two devices, as a machine with two GPUs has it."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    return strategy


@pytest.fixture(scope="session")
def spec() -> Spec:
    return read_spec(SPEC)


@pytest.fixture
def spec_file(tmp_path) -> str:
    (tmp_path / "small.yaml").write_text(SPEC)
    return str(tmp_path / "small.yaml")


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return read_preset(PRESET)


@pytest.fixture(scope="session")
def label_means() -> dict[str, float]:
    return {"click": 0.4, "watch": 1.5, "like": 0.02, "seconds": -0.5}


@dataclasses.dataclass
class Rows:
    """Columns of transformed examples, as numpy arrays."""

    features: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]

    def batch(self) -> Batch:
        def stack(columns):
            return tf.constant(np.stack(list(columns.values()), axis=1), tf.float32)

        rows = len(self.labels["click"])
        return Batch(
            features={k: tf.constant(v) for k, v in self.features.items()},
            labels=stack(self.labels),
            masks=stack(self.masks),
            weight=tf.ones([rows]),
        )

    def write(self, path) -> None:
        """A gzipped TFRecord file with the examples."""
        columns = dict(self.features)
        columns |= {label_key(k): np.float32(v) for k, v in self.labels.items()}
        columns |= {mask_key(k): np.float32(v) for k, v in self.masks.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for index in range(len(self.labels["click"])):
                row = {k: _feature(v[index]) for k, v in columns.items()}
                example = tf.train.Example(features=tf.train.Features(feature=row))
                writer.write(example.SerializeToString())


def _feature(value) -> tf.train.Feature:
    values = np.atleast_1d(value)
    if values.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@pytest.fixture(scope="session")
def make_rows(any_seed):
    """`make_rows(rows, seed)`: users like tags, and tire along a trail."""
    shift = 1000 * any_seed
    taste = np.random.default_rng(7 + shift).normal(size=(50, 8)) * 1.5

    def make(rows: int, seed: int) -> Rows:
        rng = np.random.default_rng(seed + shift)
        user, tag = rng.integers(1, 50, rows), rng.integers(1, 7, rows)
        position = rng.integers(1, 5, rows)
        logit = taste[user, tag] + 1.5 - position
        click = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
        watch = (1 + 0.3 * logit + 0.1 * rng.normal(size=rows)).astype(np.float32)
        like = click * (rng.random(rows) < 0.3)
        history = rng.integers(1, 5000, (rows, 4))
        history[np.arange(rows) % 3 == 0] = 0
        features = {
            "user_id": user,
            "history_video_id": history,
            "tab": rng.integers(0, 6, rows),
            "video_id": rng.integers(1, 5000, rows),
            "tag": tag,
            "age": rng.normal(size=rows).astype(np.float32),
            "trail_position": position,
            "trail_seconds": rng.integers(1, 4, rows),
        }
        features = {
            k: v if v.dtype == np.float32 else v.astype(np.int32)
            for k, v in features.items()
        }
        ones = np.ones(rows)
        return Rows(
            features,
            {"click": click, "watch": watch, "like": like, "seconds": watch},
            {"click": ones, "watch": ones, "like": click, "seconds": ones},
        )

    return make
