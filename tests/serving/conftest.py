"""A tiny trained-like ranker and its transform, made once for all serving tests."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

SPEC = """
name: tiny
log:
  files: "log_*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, kind: "string?",
            seconds: "float64?", tab: int64, long_view: int64, watched: float64,
            title: "string?", cover: "vector<2>?"}
  outcomes: [long_view, watched]
trail: {gap_minutes: 30, scope: [user_id]}
history: {positive: "long_view = 1", columns: [video_id, cover], length: 3}
tables: {user: {buckets: 50, dim: 4}, video: {buckets: 50, dim: 4}, word: {buckets: 50, dim: 4}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: history_cover, group: query, kind: vector, dim: 3, projection: looks, target: cover}
  - {name: tab, group: context, kind: category, size: auto}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: kind, group: candidate, kind: category, size: 2}
  - {name: seconds, group: candidate, kind: number, transform: log1p}
  - {name: title, group: candidate, kind: text, table: word, length: 3, pooling: concat}
  - {name: cover, group: candidate, kind: vector, dim: 3, projection: looks}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4]}
tasks:
  - {name: long_view, kind: binary, label: "long_view = 1"}
  - {name: watched, kind: regression, label: "watched"}
fusion:
  weights: {long_view: 1.0, watched: -0.5}
  length: {feature: seconds, transform: log1p, weight: 0.25}
"""

NAN = float("nan")
_TITLES = {10: "A cat", 11: "Cats, dogs", 12: "", 13: "cat: the 2nd!", 14: "\u732b a"}
_COVERS = {
    10: [1.0, 0.0],
    11: [0.0, 2.0],
    12: [3.0, 4.0],
    13: [NAN, NAN],
    14: [-1.0, 1.0],
}


def _row(user, history, tab, video, kind, seconds, position, day=1) -> dict[str, Any]:
    """One raw example, as ExampleGen writes it (all columns but the slices)."""
    time_ms = day * 86_400_000 + position * 1000
    labels = {"label_long_view": 1.0, "mask_long_view": 1.0}
    labels |= {"label_watched": 0.5, "mask_watched": 1.0}
    keys = {"key_user": user, "key_item": video, "key_time_ms": time_ms}
    features = {
        "user_id": user,
        "history_video_id": history,
        "tab": tab,
        "video_id": video,
        "kind": kind,
        "seconds": seconds,
        "title": _TITLES[video],
        "cover": _COVERS[video],
        "history_cover": [0.5, 1.0] if history else [NAN, NAN],
        "trail_position": float(position),
    }
    return features | labels | keys


ROWS = [
    _row(1, [], 0, 10, "a", 7.0, 1),
    _row(1, [10], 0, 11, "b", 20.0, 2),
    _row(1, [10, 11], 0, 12, "a", 60.0, 3),
    _row(2, [], 1, 10, "a", 7.0, 1),
    _row(2, [10, 12, 13, 11], 1, 13, "c", NAN, 2, day=2),
    _row(3, [13], 2, 14, "", 15.0, 1, day=2),
]


@pytest.fixture(scope="session", autouse=True)
def quick_collections():
    """As in a server: with each version that goes, garbage is looked for."""
    from serving.models.memory import set_libraries_apart

    set_libraries_apart()


@pytest.fixture(scope="session")
def spec():
    from feature_specs import read_spec

    return read_spec(SPEC)


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    return ROWS


@pytest.fixture(scope="session")
def tft_output(spec, tmp_path_factory):
    """The encoding of `ROWS`, as the pipeline's own functions make it."""
    from tests.encoded_rows import write_graph

    return write_graph(spec, ROWS, str(tmp_path_factory.mktemp("transform") / "out"))


PRESET = """
bottom: [8, 6]
switcher: {kind: mmoe, experts: 2, units: [4]}
tower: [3]
trail: {units: [4], dim: 4}
separate: [watched]
"""


@pytest.fixture(scope="session")
def ranker(spec):
    """The real model with weights by which every input moves every prediction."""
    import numpy as np

    from feature_specs import read_preset
    from trainer.model.ranker import Ranker

    model = Ranker(spec, read_preset(PRESET), {"long_view": 0.3, "watched": 1.2})
    draws = np.random.default_rng(11)
    for variable in model.trainable_variables:
        variable.assign(draws.normal(0, 0.6, variable.shape))
    return model


@pytest.fixture(scope="session")
def models_dir(ranker, tft_output, spec, tmp_path_factory):
    """`<models>/tiny/1/`, as the Pusher leaves it."""
    from serving.export.export import export

    models = tmp_path_factory.mktemp("models")
    export(ranker, tft_output, spec, str(models / "tiny" / "1"))
    return models


@pytest.fixture(scope="session")
def model_server(models_dir):
    """The embedded server, running on `models_dir`, over REST and gRPC."""
    from serving.options import ServerOptions
    from serving.server.server import Server

    with Server(str(models_dir), ServerOptions(rest_port=0, grpc_port=0)) as server:
        yield server


@pytest.fixture(scope="session")
def model_url(model_server):
    """Where it answers over REST."""
    return model_server.url


@pytest.fixture(scope="session")
def save_half_plus_two():
    """Writes upstream's example model, y = x / 2 + bias, to a version directory."""
    import tensorflow as tf

    def save(path, bias: float = 2.0) -> None:
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half_plus(x):
            return {"y": x * 0.5 + bias}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int64, name="count"),
                tf.TensorSpec([None], tf.string, name="text"),
            ]
        )
        def mixed(count, text):
            return {"twice": count * 2, "raw_bytes": text, "text": text}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.bool, name="flag")])
        def inverted(flag):
            return {"no": tf.logical_not(flag)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="x")])
        def half(x):
            return {"y": x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def total(n):
            return {"sum": tf.reduce_sum(n)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
        def joined(s):
            return {"text": tf.strings.reduce_join(s)}

        module.functions = [half_plus, mixed, inverted, half, total, joined]
        tf.saved_model.save(
            module,
            str(path),
            signatures={
                "serving_default": half_plus,
                "mixed": mixed,
                "inverted": inverted,
                "half": half,
                "total": total,
                "joined": joined,
            },
        )

    return save


@pytest.fixture
def models(tmp_path):
    """A directory that looks like one of models; nothing is loaded here."""
    version = tmp_path / "models" / "m" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    return str(tmp_path / "models")


@pytest.fixture(scope="session")
def put_version(tmp_path_factory):
    """Puts a whole version at a path at once; it answers y = x + its number."""
    import functools
    import os
    import shutil

    import tensorflow as tf

    made = tmp_path_factory.mktemp("versions")

    @functools.cache
    def save(number: int) -> str:
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def add(x):
            return {"y": x + float(number)}

        module.add = add
        path = str(made / str(number))
        tf.saved_model.save(module, path, signatures={"serving_default": add})
        return path

    def put(path, number: int | None = None) -> None:
        saved = save(int(path.name) if number is None else number)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(saved, path.parent / f"{path.name}.tmp")
        os.rename(path.parent / f"{path.name}.tmp", path)

    return put


@pytest.fixture(scope="session")
def half_store(tmp_path_factory, save_half_plus_two):
    """A store of upstream's example model, called `half`."""
    from serving.store.versions import ModelStore

    models = tmp_path_factory.mktemp("half")
    save_half_plus_two(models / "half" / "1")
    found = ModelStore(str(models))
    found.refresh()
    return found


@pytest.fixture(scope="session")
def contract_store(tmp_path_factory, save_half_plus_two):
    """Upstream's `half` as 123; 1, 2 and a broken 3 of `x`; `kinds`; labels."""
    from serving.store.store_options import ALL, StoreOptions
    from serving.store.versions import ModelStore
    from tests.serving.toy_models import Examples, save_kinds

    models = tmp_path_factory.mktemp("contract")
    save_half_plus_two(models / "half" / "00000123")
    (models / "half" / "124.tmp").mkdir()  # no version: not a number
    (models / "half" / "notes").mkdir()
    (models / "empty").mkdir()  # no model: no version
    save_kinds(models / "kinds" / "1")
    Examples(bias=10.0).save(models / "x" / "1")
    Examples(bias=20.0).save(models / "x" / "2")
    (models / "x" / "3").mkdir()
    (models / "x" / "3" / "saved_model.pb").write_bytes(b"no model")
    options = StoreOptions(
        models_dir=str(models),
        policy=ALL,
        labels={"stable": 1, "canary": 2, "gone": 9},
        allow_early_labels=True,
    )
    found = ModelStore(options)
    found.refresh()
    return found


@pytest.fixture
def serve_half(half_store):
    """Serves `half` with some options changed, until the end of the test."""
    from serving.options import ServerOptions
    from serving.server.service import Service
    from tests.serving.http_service import running

    with contextlib.ExitStack() as stack:

        def serve(grpc_port=None, **options):
            options = ServerOptions(grpc_port=grpc_port, **options)
            service = Service(half_store, options)
            stack.callback(service.close)
            return stack.enter_context(running(service))

        yield serve


_DAYS = {"Split-day-20240101": slice(0, 4), "Split-day-20240102": slice(4, 6)}


@pytest.fixture(scope="session")
def write_run(spec, models_dir, tft_output):
    """Writes a finished run's directory, its record and its examples; returns it.

    Its model and its encoding are the session's.
    """
    import json
    import os

    import tensorflow as tf

    def write(folder):
        for split, part in _DAYS.items():
            (folder / "examples" / split).mkdir(parents=True)
            path = str(folder / "examples" / split / "data_tfrecord-00000-of-00001.gz")
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for row in ROWS[part]:
                    writer.write(_serialized(row))
        examples = str(folder / "examples")
        record = {
            "spec_text": spec.text,
            "examples": examples,
            "example_dirs": {name.removeprefix("Split-"): examples for name in _DAYS},
            "eval_splits": ["day-20240102"],
            "transform_graph": os.path.dirname(tft_output.transform_savedmodel_dir),
            "model": str(models_dir / "tiny" / "1"),
            "version": "1",
        }
        (folder / "run.json").write_text(json.dumps(record))
        return folder

    return write


def _serialized(row: dict[str, Any]) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in row.items():
        values = value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif any(isinstance(v, float) for v in values):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return example.SerializeToString()
