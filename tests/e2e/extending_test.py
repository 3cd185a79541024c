"""docs/extending.md does what it says: its files train, export and serve as they are."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import (
    ModelConfig,
    Spec,
    SpecError,
    plugins,
    preset_kinds,
    read_preset,
    read_spec,
    task_kinds,
)
from feature_specs import feature_kinds as kinds
from feature_specs.plugins import PLUGINS
from feature_specs.registry import Registry, RoomTable
from tests.encoded_rows import as_examples, write_graph
from tests.encoded_rows import encoded as encoded_rows

pytestmark = pytest.mark.slow  # one graph, one training, one export

_ROOT = pathlib.Path(__file__).parent.parent.parent
_PAGE = (_ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
_MODULES = ("film", "absolute_error", "clock")
_NAN = math.nan

_SPEC = """
name: extended
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, hour: "float64?",
            liked: int64, watched: float64}
  outcomes: [liked, watched]
trail: {scope: [user_id]}
tables: {user: {buckets: 30, dim: 4}, video: {buckets: 30, dim: 4}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  HOUR
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2]}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  WATCHED
fusion: {weights: {like: 1.0, watched: 0.5}}
"""


def _blocks(language: str) -> dict[str, str]:
    """What a code block's first line says -> the code below it."""
    found = re.findall(rf"```{language}\n# (.*?)\n(.*?)```", _PAGE, re.DOTALL)
    return dict(found)


def _spec_lines() -> list[str]:
    """The feature and the task that the page puts into a spec."""
    found = re.findall(r"```yaml\n# in the spec\n(.*?)\n```", _PAGE, re.DOTALL)
    assert len(found) == 2
    return found


def _spec_text() -> str:
    task, feature = _spec_lines()
    return _SPEC.replace("HOUR", feature).replace("WATCHED", task)


def _write_modules(folder: pathlib.Path) -> None:
    for name, text in _blocks("python").items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Iterator[None]:
    """The page's modules as plugins; afterwards nobody knows them."""
    from pipeline.encoding.encoders import ENCODERS
    from trainer.model.switchers import SWITCHERS
    from trainer.objective.losses import LOSSES

    folder = tmp_path_factory.mktemp("plugins")
    _write_modules(folder)
    tables: list[Registry[Any] | RoomTable[Any]] = [
        *(kinds.FEATURE_KINDS, task_kinds.LOSS_KINDS, preset_kinds.SWITCHER_KINDS),
        *(ENCODERS, SWITCHERS, LOSSES),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for table in tables:
            patch.setattr(table, "_entries", dict(table._entries))
        patch.setattr(plugins, "_loaded", set())
        patch.setenv(PLUGINS, ",".join(_MODULES))
        patch.syspath_prepend(str(folder))
        yield
    for name in _MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def spec(registered) -> Spec:
    return read_spec(_spec_text())


@pytest.fixture(scope="module")
def config(registered) -> ModelConfig:
    return read_preset(_blocks("yaml")["film.yaml"])


def _rows(count: int) -> list[dict[str, Any]]:
    """Raw examples: who watches at night watches longer."""
    draws = np.random.default_rng(5)
    hours = draws.integers(0, 24, count).astype(float)
    hours[:5] = [0, 6, 12, 18, _NAN]
    return [
        {
            "user_id": int(draws.integers(1, 20)),
            "hour": float(hour),
            "video_id": int(draws.integers(1, 20)),
            "trail_position": 1.0,
            "label_like": float(draws.random() < 0.3),
            "mask_like": 1.0,
            "label_watched": 3.0 if hour < 6 else 1.0,
            "mask_watched": 1.0,
            "key_user": index,
            "key_item": 7,
            "key_time_ms": 5,
        }
        for index, hour in enumerate(hours)
    ]


@dataclasses.dataclass
class _Encoded:
    tft_output: Any
    files: list[str]


@pytest.fixture(scope="module")
def encoded(spec, tmp_path_factory) -> _Encoded:
    """The encoding's graph, and 400 rows through it."""
    folder = tmp_path_factory.mktemp("encoded")
    graph = str(folder / "graph")
    output = write_graph(spec, _rows(400), graph)
    columns = encoded_rows(graph, spec, _rows(400))
    path = str(folder / "day.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in range(400):
            values = {name: column[row].tolist() for name, column in columns.items()}
            (record,) = as_examples([values])
            writer.write(record)
    return _Encoded(output, [path])


@pytest.fixture(scope="module")
def trained(spec, config, encoded, tmp_path_factory):
    """A ranker of the page's switcher, loss and feature kind, and its records."""
    from tpu_configs import SliceConfig
    from trainer.days import loop

    slice_ = SliceConfig(
        name="tiny", accelerator="cpu", batch_size=50, steps_per_call=4
    )
    folder = tmp_path_factory.mktemp("checkpoints")
    days = [("day-20220408", encoded.files), ("day-20220409", encoded.files)]
    config = dataclasses.replace(
        config,
        epochs_per_day=5,
        optimizer=dataclasses.replace(config.optimizer, learning_rate=0.01),
    )
    ranker = loop.train(spec, config, days, checkpoint_dir=str(folder), slice=slice_)
    records = (folder / loop.METRICS_FILE).read_text().splitlines()
    return ranker, [json.loads(record) for record in records]


def test_the_page_has_a_switcher_a_loss_and_a_feature_kind():
    assert [name.removesuffix(".py") for name in _blocks("python")] == [*_MODULES]


def test_the_spec_is_read_and_shown(spec):
    hour = spec.feature("hour")
    assert (hour.dtype, hour.shape, hour.is_number) == ("float32", (2,), True)
    assert hour.of_kind.describe(hour, spec.tables) == "sin and cos, 24 to a turn"
    assert spec.task("watched").loss == "absolute_error"


def test_what_the_classes_refuse_is_told(registered):
    text = _spec_text()
    wrong = text.replace("size: 24", "boundaries: [1]")
    with pytest.raises(SpecError, match=r"boundaries: has no use for kind clock"):
        read_spec(wrong)
    wrong = text.replace("kind: binary,", "kind: binary, loss: absolute_error,")
    with pytest.raises(SpecError, match=r"belongs to regressions; a binary task may"):
        read_spec(wrong)
    with pytest.raises(SpecError, match=r"units: must have a width for film"):
        read_preset("switcher: {kind: film, units: []}")


def test_the_options_are_checked(config):
    from trainer.model import switchers

    switcher = dataclasses.replace(config.switcher, options={"sprad": 0.2})
    with pytest.raises(SpecError, match=r"options\.sprad: is no key.*'spread'"):
        switchers.create(switcher, ("a", "b"))
    shipped = dataclasses.replace(switcher, kind="mmoe")
    with pytest.raises(SpecError, match=r"switcher 'mmoe'.*\n.*has no use for this"):
        switchers.create(shipped, ("a", "b"))


def test_the_clock_is_encoded_as_a_point(spec, encoded):
    from trainer.days.layout import Layout

    layout = Layout(spec)
    records = tf.data.TFRecordDataset(encoded.files, "GZIP").take(5).batch(5)
    batch = layout.unpack(layout.reader()(next(iter(records))), 6)
    points = [[0, 1], [1, 0], [0, -1], [-1, 0], [0, 0], [0, 0]]  # missing, then padding
    np.testing.assert_allclose(batch.features["hour"], points, atol=1e-6)
    assert layout.width == 3 + 2 + 4  # 3 ids and buckets, sin and cos, labels and masks


def test_it_trains(trained):
    ranker, records = trained
    assert records[-1]["task_losses"]["watched"] < 0.7 * _constant_error()
    switcher = ranker.networks[0].structure.switcher
    assert type(switcher).__name__ == "Film" and switcher.options.spread == 0.2
    assert float(tf.reduce_max(tf.abs(switcher.shift))) > 0  # it started at 0


def _constant_error() -> float:
    """Mean absolute error of the best constant, which is the median: 1."""
    labels = np.array([row["label_watched"] for row in _rows(400)])
    assert np.median(labels) == 1
    return float(np.mean(np.abs(labels - 1)))


def test_it_is_exported_and_served_without_the_plugins(
    spec, trained, encoded, tmp_path
):
    from serving.export.export import export
    from serving.export.requests import rank_inputs

    ranker, _ = trained
    path = str(tmp_path / "1")
    export(ranker, encoded.tft_output, spec, path)
    candidates = [{"video_id": 3}, {"video_id": 4}]
    inputs = rank_inputs(spec, {"user_id": 2, "hour": 3.0}, candidates)
    np.savez(tmp_path / "inputs.npz", **inputs)
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "rank = tf.saved_model.load(sys.argv[1]).signatures['rank']\n"
        "specs = rank.structured_input_signature[1]\n"
        "given = np.load(sys.argv[2])\n"
        "found = rank(**{k: tf.constant(given[k], specs[k].dtype) for k in specs})\n"
        "print(*found['watched'].numpy().tolist())\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", PLUGINS)}
    done = subprocess.run(
        [sys.executable, "-c", code, path, str(tmp_path / "inputs.npz")],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    served = [float(value) for value in done.stdout.split()]
    np.testing.assert_allclose(served, _by_hand(ranker, encoded, candidates), rtol=1e-5)


def _by_hand(ranker, encoded: _Encoded, candidates: list[dict[str, int]]) -> np.ndarray:
    """The ranker's predictions on transformed rows, without signatures."""
    count = len(candidates)
    raw = {
        "user_id": tf.constant([2] * count, tf.int64),
        "hour": tf.constant([3.0] * count),
        "video_id": tf.constant([c["video_id"] for c in candidates], tf.int64),
        "trail_position": tf.constant([_NAN] * count),
    }
    features = encoded.tft_output.transform_features_layer()(raw)
    features = {
        name: value if value.dtype == tf.float32 else tf.cast(value, tf.int32)
        for name, value in features.items()
    }
    return ranker(features)["watched"].numpy()


@pytest.mark.parametrize("missing", ["pipeline", "trainer"])
def test_a_kind_that_a_room_does_not_know_is_told(registered, missing):
    from pipeline.encoding.encoders import ENCODERS
    from trainer.model.embeddings import EMBEDS

    class Odd(kinds.FeatureKind):
        name = "odd"

        def describe(self, feature, tables):
            return "odd"

    table: RoomTable[Any] = {"pipeline": ENCODERS, "trainer": EMBEDS}[missing]
    with pytest.raises(ValueError, match=rf"{missing}\..* kind 'odd'\. Register it w"):
        table[Odd()]
