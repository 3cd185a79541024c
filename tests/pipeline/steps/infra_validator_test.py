"""The step that tries an exported model: what it leaves for the Pusher."""

import os

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from pipeline.gates import blessing as marks
from pipeline.gates.infra import RefusedExportError, read_report
from pipeline.steps.infra_validator import InfraValidator
from serving.export.answers import Answer, write_answers
from tests.tiny_spec import TINY_SPEC


@pytest.fixture
def model(tmp_path):
    """A Model artifact with y = x / 2 in it, and no answers yet."""
    module = tf.Module()
    module.half = tf.function(
        lambda x: {"y": x / 2},
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")],
    )
    artifact = standard_artifacts.Model()
    artifact.uri = str(tmp_path / "model")
    folder = os.path.join(artifact.uri, "Format-Serving")
    tf.saved_model.save(module, folder, signatures={"serving_default": module.half})
    return artifact


def _run(model, folder, spec):
    """The step's function, as TFX's executor calls it."""
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(folder)
    executor = InfraValidator.EXECUTOR_SPEC.executor_class()
    executor.Do({"model": [model]}, {"blessing": [blessing]}, {"spec": spec})
    return blessing


def test_what_works_is_blessed_and_what_is_too_large_is_not(model, tmp_path):
    x, half = np.array([2.0], np.float32), np.array([1.0], np.float32)
    answer = Answer("serving_default", {"x": x}, {"y": half})
    write_answers(os.path.join(model.uri, "Format-Serving"), [answer])
    blessed = _run(model, tmp_path / "1", TINY_SPEC)
    assert blessed.get_int_custom_property("blessed") == 1
    assert sorted(os.listdir(blessed.uri)) == ["INFRA_BLESSED", "infra.json"]
    read_report(blessed.uri).check()
    small = TINY_SPEC + "evaluation: {infra: {size_mb: 0.0001}}\n"
    refused = _run(model, tmp_path / "2", small)
    assert refused.get_int_custom_property("blessed") == 0
    assert not marks.is_blessed(refused.uri, marks.INFRA)
    with pytest.raises(RefusedExportError, match="at most 0.0001 MB is allowed"):
        read_report(refused.uri).check()
