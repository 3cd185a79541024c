"""Exported models that work by themselves, and those that do not."""

import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import InfraSpec
from pipeline.gates import infra, infra_child
from pipeline.gates.infra import InfraReport, RefusedExportError, check_export
from serving.export.answers import Answer, write_answers

_X = np.array([1.0, 3.0], np.float32)
_NAMES = np.array([b"a\0", b"\xff"], object)  # bytes that are no text


class _Model(tf.Module):
    """y = x / 2; `names` gives back bytes; `host` needs Python at its side."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2, "gone": x / 0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="names")])
    def lengths(self, names):
        return {"length": tf.cast(tf.strings.length(names), tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def host(self, x):
        return {"y": tf.numpy_function(lambda v: v, [x], tf.float32)}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("exported") / "1")
    model = _Model()
    signatures = {"half": model.half, "lengths": model.lengths, "host": model.host}
    tf.saved_model.save(model, folder, signatures=signatures)
    return folder


def _half(y=(0.5, 1.5)):
    gone = np.full(2, np.inf, np.float32)  # equal to itself
    return Answer("half", {"x": _X}, {"y": np.array(y, np.float32), "gone": gone})


def _lengths(lengths=(2.0, 1.0)):
    outputs = {"length": np.array(lengths, np.float32)}
    return Answer("lengths", {"names": _NAMES}, outputs)


def test_all_that_is_wrong_is_told(model_dir):
    """One signature answers as it did, bytes and infinities too; another does not, and
    the model is too slow and too large for what is asked."""
    write_answers(model_dir, [_lengths(), _half(y=(0.5, 1.5003))])
    limits = InfraSpec(latency_ms=1e-6, size_mb=1e-6)
    report = check_export(model_dir, limits)
    off, *others = report.problems
    assert off.startswith("signature 'half': y is 0.0002 off the Trainer's predictions")
    assert [p.split(":")[0] for p in others[:2]] == [
        "signature 'lengths'",
        "signature 'half'",
    ]
    assert "at most 1e-06 MB is allowed (evaluation.infra.size_mb)" in others[2]
    assert report.apart == pytest.approx(0.0003 / 1.5003, rel=1e-2)
    assert set(report.latency_ms) == {"half", "lengths"} and report.load_s > 0
    with pytest.raises(RefusedExportError, match="does not work by itself") as told:
        report.check()
    assert told.value.exit_status == 3
    assert InfraReport.from_json(report.to_json()) == report


def test_a_model_that_needs_python_is_refused(model_dir):
    """Here it would run: its function is in this process's table."""
    write_answers(model_dir, [Answer("host", {"x": _X}, {"y": _X})])
    (problem,) = check_export(model_dir, InfraSpec()).problems
    assert problem.startswith("it cannot be used: ") and "pyfunc" in problem


def test_its_process_has_neither_our_code_nor_keras():
    finder = infra_child._Barred(infra.BARRED)
    for name in ("trainer", "tf_keras", "tfx.types", "keras.src.optimizers"):
        with pytest.raises(ModuleNotFoundError, match=f"may not import {name}"):
            finder.find_spec(name)
    for name in ("tensorflow", "trainers", "keras"):  # TensorFlow asks where Keras is
        assert finder.find_spec(name) is None


def test_a_model_that_takes_too_long_is_refused(model_dir):
    write_answers(model_dir, [_half()])
    report = check_export(model_dir, InfraSpec(), timeout_s=0.05)
    assert report.problems == ("it was not loaded and asked within 0 s",)
    assert math.isnan(report.apart)


def test_a_model_without_answers_is_refused(model_dir, tmp_path):
    (problem,) = check_export(tmp_path, InfraSpec()).problems
    assert "Export it again" in problem
