"""Warmup requests of every kind that TensorFlow Serving replays, and what fails them."""

import shutil

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.models.servable import WARMUP_FILE, LoadError, load
from tests.serving.toy_models import save_kinds


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "1"
    save_kinds(path)
    return path


@pytest.fixture
def warmed(saved, tmp_path):
    """Writes a version with records, and loads it."""

    def warm(*records: bytes):
        path = tmp_path / "1"
        shutil.copytree(saved, path)
        (path / WARMUP_FILE).parent.mkdir()
        with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
            for record in records:
                writer.write(record)
        return load(str(path))

    return warm


def log(kind: str, signature: str) -> bytes:
    """A request of one kind to a signature; examples have one feature."""
    found = prediction_log_pb2.PredictionLog()
    request = getattr(found, kind).request
    if kind == "predict_log":
        request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([b"any"]))
    else:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(1.0)
    if kind == "multi_inference_log":
        for name in ("parsed", signature):
            request.tasks.add().model_spec.signature_name = name
    else:
        request.model_spec.signature_name = signature
    return found.SerializeToString()


KINDS = ("predict_log", "classify_log", "regress_log", "multi_inference_log")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_examples_are_replayed(warmed, kind):
    assert "parsed" in warmed(log(kind, "parsed")).signatures


@pytest.mark.parametrize("kind", KINDS)
def test_any_record_that_fails_fails_the_load(warmed, kind):
    good = log("regress_log", "parsed")
    with pytest.raises(LoadError, match=r"record 1 fails: .*refused"):
        warmed(good, log(kind, "refuses"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_for_no_signature_fails_the_load(warmed, kind):
    with pytest.raises(LoadError, match="record 0: no signature 'none'"):
        warmed(log(kind, "none"))


def test_logs_of_sessions_are_refused(warmed):
    found = prediction_log_pb2.PredictionLog()
    found.session_run_log.request.feed.add(name="x")
    with pytest.raises(LoadError, match="record 0 is a session_run_log; replayed are"):
        warmed(found.SerializeToString())


def test_a_thousand_records_are_enough(warmed):
    record = log("regress_log", "none")
    with pytest.raises(LoadError, match="at most 1000 warmup records are allowed"):
        warmed(*[record] * 1001)
