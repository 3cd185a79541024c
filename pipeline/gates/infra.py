"""Whether an exported model works by itself: in a process with TensorFlow alone.

    report = check_export("models/kuairand/7", spec.evaluation.infra)
    report.check()           # RefusedExportError, exit status 3

The process is a new Python that can import neither this package nor what it trains
with, so that a model which needs code of ours, or an operation that TensorFlow Serving
does not have, fails here and not in production. It loads the model, answers the
requests that the Trainer answered when it exported (`serving.export.answers`), and is
timed.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs.errors import Status, TrailrankError
from feature_specs.places import Place
from feature_specs.spec import InfraSpec
from pipeline.evaluation import buckets
from serving.export.agreement import apart, tolerance_of

TIMEOUT_S = 600
REPORT_FILE = "infra.json"
# What a served model may not need: this package, packages with operations of their own
# that the ones we train with would register by being imported, and Keras, which
# TensorFlow looks for as it starts and does without: what it brings, pandas and more,
# takes as long to import as TensorFlow itself.
BARRED = (
    *("trailrank", "pipeline", "serving", "trainer", "feature_specs", "tpu_configs"),
    *("tensorflow_transform", "tensorflow_recommenders", "tensorflow_text", "tfx"),
    *("tensorflow_addons", "struct2tensor", "tensorflow_serving", "tf_keras"),
    "keras.src",
    # TensorFlow takes these where they are, does without them, and starts sooner.
    *("scipy", "googleapiclient"),
)
_CHILD = pathlib.Path(__file__).with_name("infra_child.py")
_LONGEST_ERROR = 600


class RefusedExportError(TrailrankError, RuntimeError):
    """An exported model that does not work by itself, or not well enough."""

    exit_status = Status.REFUSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfraReport:
    """What came of it.

    Attributes:
        model: The directory.
        problems: What it is refused for, each a sentence; empty if it is blessed.
        size_bytes: Of all its files.
        load_s: Seconds of wall time to load it.
        latency_ms: Signature -> 95th percentile of a request's time, warm.
        apart: Largest difference from the Trainer's predictions, as a share of those
            above 1; NaN if there was none to compare.
    """

    model: str
    problems: tuple[str, ...] = ()
    size_bytes: int = 0
    load_s: float = math.nan
    latency_ms: dict[str, float] = dataclasses.field(default_factory=dict)
    apart: float = math.nan

    @property
    def blessed(self) -> bool:
        """Whether it may serve."""
        return not self.problems

    def check(self) -> None:
        """Raises RefusedExportError, with one message, if it may not."""
        if self.problems:
            told = "\n".join(f"  - {problem}" for problem in self.problems)
            raise RefusedExportError(
                f"Model {self.model}: does not work by itself, and is not pushed:\n"
                f"{told}\nThe model before it keeps serving. Mend what it names, or "
                f"the limit in the spec (evaluation.infra), and run again: only this "
                f"check is done again, if nothing else changed."
            )

    def to_json(self) -> str:
        """As text; NaN is null."""
        found = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in dataclasses.asdict(self).items()
        }
        return json.dumps({**found, "blessed": self.blessed}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> InfraReport:
        """What `to_json` gave."""
        found = json.loads(text)
        found.pop("blessed")
        known: dict[str, Any] = {
            key: math.nan if value is None else value for key, value in found.items()
        }
        return cls(**{**known, "problems": tuple(known["problems"])})


def write_report(directory: Place, report: InfraReport) -> None:
    """Keeps a report as `infra.json` in a directory, which may be a bucket's."""
    path = os.path.join(directory, REPORT_FILE)
    buckets.write_bytes(path, report.to_json().encode())


def read_report(directory: Place) -> InfraReport:
    """What `write_report` kept."""
    text = buckets.read_bytes(os.path.join(directory, REPORT_FILE))
    return InfraReport.from_json(text.decode())


def check_export(
    model_dir: Place, limits: InfraSpec, *, timeout_s: float = TIMEOUT_S
) -> InfraReport:
    """Loads an exported model in a process of its own, asks it and times it.

    Args:
        model_dir: A version directory; may lie in a bucket.
        limits: Of time and size.
        timeout_s: After which the process is ended and the model refused.
    """
    model = os.fspath(model_dir)
    with tempfile.TemporaryDirectory() as folder:
        found = _asked(model, pathlib.Path(folder), timeout_s)
    size = _size_bytes(model)
    problems = [found["error"]] if "error" in found else []
    worst_of_all, tolerance = math.nan, tolerance_of(model)
    for asked in found.get("answers", ()):
        worst, where = _compared(asked, tolerance)
        worst_of_all = np.fmax(worst, worst_of_all)
        problems += [where] if where else []
    latency = {name: float(ms) for name, ms in found.get("latency_ms", {}).items()}
    problems += _over(latency, size, limits)
    return InfraReport(
        model=model,
        problems=tuple(problems),
        size_bytes=size,
        load_s=found.get("load_s", math.nan),
        latency_ms=latency,
        apart=float(worst_of_all),
    )


def _asked(model: str, folder: pathlib.Path, timeout_s: float) -> dict[str, Any]:
    """What the process said; `error` if it said nothing of use."""
    from serving.export.answers import read_answers

    answers = read_answers(model)
    if not answers:
        return {
            "error": "there is no assets.extra/trailrank_answers in it: it was not "
            "exported by this release, so that nothing can be compared. Export it again"
        }
    requests, replies = folder / "requests.json", folder / "replies.json"
    asked = [{"signature": a.signature, "inputs": _as_text(a.inputs)} for a in answers]
    requests.write_text(json.dumps({"barred": BARRED, "requests": asked}))
    # Isolated: no PYTHONPATH, no folder of the user's, not the working directory. On
    # the processor: the accelerator may still be this process's.
    command = [sys.executable, "-I", str(_CHILD), model, str(requests), str(replies)]
    here = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    here.pop("TF_USE_LEGACY_KERAS", None)  # with it TensorFlow asks for tf_keras
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=here, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it was not loaded and asked within {timeout_s:.0f} s"}
    if not replies.exists():
        told = done.stderr.strip()[-_LONGEST_ERROR:]
        return {"error": f"its process ended with status {done.returncode}: {told}"}
    found: dict[str, Any] = json.loads(replies.read_text())
    for reply, answer in zip(found.get("answers", ()), answers, strict=False):
        reply["expected"], reply["signature"] = answer.outputs, answer.signature
    return found


def _compared(asked: dict[str, Any], tolerance: float) -> tuple[float, str]:
    """The largest difference of a request's outputs; a sentence if it is too large."""
    expected = asked["expected"]
    found = {name: _array(entry) for name, entry in asked["outputs"].items()}
    where = f"signature {asked['signature']!r}"
    if not found.keys() >= expected.keys():
        return math.nan, (
            f"{where}: must have the outputs {', '.join(sorted(expected))}. Got "
            f"{', '.join(sorted(found))}"
        )
    worst = 0.0
    for name, values in expected.items():
        off = _largest(found[name], values)
        if not off <= tolerance:
            return off, (
                f"{where}: {name} is {off:.3g} off the Trainer's predictions; at "
                f"most {tolerance:g} is right. Export it again"
            )
        worst = max(worst, off)
    return worst, ""


def _largest(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The largest difference of two arrays, as `apart` has it."""
    if found.shape != expected.shape:
        return math.inf
    return float(apart(found, expected).max(initial=0))


def _over(latency: dict[str, float], size: int, limits: InfraSpec) -> list[str]:
    """The limits that are not kept."""
    found = [
        f"signature {name!r}: a warm request took {ms:.1f} ms (95th percentile), at "
        f"most {limits.latency_ms:g} ms is allowed (evaluation.infra.latency_ms), "
        f"{ms - limits.latency_ms:.1f} ms less"
        for name, ms in latency.items()
        if limits.latency_ms and ms > limits.latency_ms
    ]
    size_mb = size / 1e6
    if limits.size_mb and size_mb > limits.size_mb:
        found.append(
            f"it has {size_mb:,.1f} MB, at most {limits.size_mb:g} MB is allowed "
            f"(evaluation.infra.size_mb), {size_mb - limits.size_mb:,.1f} MB less"
        )
    return found


def _size_bytes(directory: str) -> int:
    """Of all files below a directory."""
    import tensorflow as tf

    return sum(
        tf.io.gfile.stat(os.path.join(folder, name)).length
        for folder, _, names in tf.io.gfile.walk(directory)
        for name in names
    )


def _as_text(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Tensors as protocol buffers in base64, which keep bytes as they are."""
    import tensorflow as tf

    return {
        name: base64.b64encode(tf.make_tensor_proto(value).SerializeToString()).decode()
        for name, value in arrays.items()
    }


def _array(text: str) -> npt.NDArray[Any]:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
    found: npt.NDArray[Any] = tf.make_ndarray(proto)
    return found
