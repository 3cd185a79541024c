"""What REST and gRPC share: find a version, run it, count it, refuse what is too much.

Everything here blocks, and is called from threads of `Service.workers`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2

from feature_specs.errors import TrailrankError
from serving.models.servable import Servable, Signature
from serving.options import ServerOptions
from serving.server.batching import Batcher
from serving.server.held_bytes import HeldBytes
from serving.server.metrics import Metrics
from serving.server.trials import Trials
from serving.server.workers import Workers
from serving.store.versions import ModelStore, VersionStatus

_LOG = logging.getLogger("trailrank.serving")
DEFAULT_SIGNATURE = "serving_default"
REQUEST_ID = "x-request-id"  # a header, and gRPC's metadata
LONGEST_ID = 128
# Names that no model has are clients' words, and would be counted without end.
_UNKNOWN_MODEL = "(unknown)"

Arrays = Mapping[str, npt.NDArray[Any]]
P = ParamSpec("P")
T = TypeVar("T")


class ServingError(TrailrankError, RuntimeError):
    """A request that is refused, or fails.

    Attributes:
        code: TensorFlow's error code, which is gRPC's status code too.
        message: What the client is told.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def name(self) -> str:
        """Of the code, like `INVALID_ARGUMENT`."""
        return code_name(self.code)


class Overloaded(ServingError):
    """So many requests wait, or so much of them is held, that one more is refused."""

    def __init__(self, message: str):
        super().__init__(tf.errors.UNAVAILABLE, message)


def always() -> bool:
    """Of a request that nobody can take back."""
    return True


@dataclasses.dataclass(frozen=True)
class Call:
    """What a request asks for.

    Attributes:
        model: Its name.
        version: A number, or None.
        label: A version's label, or None; with neither, the newest loaded version.
        signature: Its name; empty is `serving_default`.
        api: `REST` or `gRPC`, for the metrics.
        is_wanted: Asked before the model runs: False once the client has left, or had
            to wait too long.
        request_id: The client's own (`x-request-id`), cut to 128 characters; or empty.
    """

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = ""
    api: str = "REST"
    is_wanted: Callable[[], bool] = always
    request_id: str = ""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A version that can be run; it stays loaded as long as this lives."""

    version: int
    servable: Servable


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model said, with the version and the signature that said it."""

    version: int
    signature_name: str
    outputs: dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Classified:
    """Of each example its classes.

    Attributes:
        version: That said so.
        signature_name: Of it.
        labels: [examples, classes] bytes; empty if the model has none.
        scores: [examples, classes] float32; 0 if the model has none.
    """

    version: int
    signature_name: str
    labels: npt.NDArray[Any]
    scores: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Regressed:
    """Of each example its value."""

    version: int
    signature_name: str
    values: npt.NDArray[np.float32]  # [examples]


class Service:
    """Models as both APIs see them.

    Args:
        store: The models.
        options: Limits; `ServerOptions()` has the defaults.

    Attributes:
        store, options: As given.
        metrics: Of both APIs.
        workers: The threads that run requests.
        large_workers: Those that run large ones.
        held: The bytes of requests of both APIs.
    """

    def __init__(self, store: ModelStore, options: ServerOptions | None = None):
        self.store = store
        self.options = options or ServerOptions()
        self.metrics = Metrics()
        self.held = HeldBytes(self.options.max_buffered_bytes)
        most = self.options.max_waiting
        self.workers = Workers(self.options.worker_count, most)
        self.large_workers = Workers(self.options.large_workers, most)
        batching = self.options.batching
        self._batcher = (
            None if batching is None else Batcher(batching, self.metrics.batching())
        )
        trial = self.options.trial
        self._trials = None if trial is None else Trials(trial, self)

    def submit(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Runs a function in a worker; cancelling the future frees its place.

        Raises:
            Overloaded: Too many wait.
        """
        future = self.workers.submit(function, *args, **kwargs)
        if future is None:
            raise self._overloaded(self.options.worker_count)
        return future

    def submit_large(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """`submit` for a request of many bytes: it holds up its like only.

        Raises:
            Overloaded: Too many wait.
        """
        future = self.large_workers.submit(function, *args, **kwargs)
        if future is None:
            raise self._overloaded(self.options.large_workers)
        return future

    def _overloaded(self, workers: int) -> Overloaded:
        return Overloaded(
            f"The server is busy: {self.options.max_waiting} requests wait for "
            f"{workers} workers. Try again later."
        )

    def close(self) -> None:
        """Ends the workers, after what they run."""
        self.workers.close()
        self.large_workers.close()
        if self._batcher is not None:
            self._batcher.close()
        if self._trials is not None:
            self._trials.close()

    def find(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Loaded:
        """The version that a request asks for; the newest without number and label.

        Raises:
            ServingError: No such model, version or label.
        """
        model = self.store.get(name)
        if label is not None:
            version = model.labels().get(label) if model else None
            if version is None:
                raise _invalid(f"Unrecognized servable version label: {label}")
        found = model.servable(version) if model else None
        if found is None:
            wanted = f"Latest({name})"
            if version is not None:
                wanted = f"Specific({name}, {version})"
            raise ServingError(
                tf.errors.NOT_FOUND, f"Servable not found for request: {wanted}"
            )
        return Loaded(*found)

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """The states of a model's versions, or of the one that is named.

        Raises:
            ServingError: Nobody knows of one.
        """
        model = self.store.get(name)
        found = model.statuses() if model else []
        if version is not None:
            found = [status for status in found if status.version == version]
        if not found:
            which = "any versions" if version is None else f"version {version}"
            raise ServingError(
                tf.errors.NOT_FOUND, f"Could not find {which} of model {name}"
            )
        return found

    def signature(self, loaded: Loaded, name: str) -> Signature:
        """A version's signature; an empty name is `serving_default`.

        Raises:
            ServingError: It has none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        found = loaded.servable.signatures.get(name)
        if found is None:
            raise ServingError(
                tf.errors.FAILED_PRECONDITION,
                f'Serving signature name: "{name}" not found in signature def',
            )
        return found

    def predict(self, call: Call, arrays: Arrays, wanted: Sequence[str] = ()) -> Answer:
        """Finds the version and runs it, counted and timed.

        Args:
            call: Which model, version and signature.
            arrays: Input -> values; one with a default may be left out.
            wanted: The outputs to compute; all if empty.

        Raises:
            ServingError: Whatever fails.
        """
        with self.measured(call, "Predict"):
            return self.run_predict(self.find_of(call), call, arrays, wanted)

    def find_of(self, call: Call) -> Loaded:
        """`find` for what a call names."""
        return self.find(call.model, call.version, call.label)

    def run_predict(
        self, loaded: Loaded, call: Call, arrays: Arrays, wanted: Sequence[str] = ()
    ) -> Answer:
        """Runs a version that was found, uncounted; otherwise as `predict`.

        A canary may answer in its place, and a shadow score the same request later.
        """
        if self._trials is None:
            return self.run(loaded, call, arrays, wanted)
        return self._trials.run(loaded, call, arrays, wanted)

    def run(
        self, loaded: Loaded, call: Call, arrays: Arrays, wanted: Sequence[str] = ()
    ) -> Answer:
        """Runs this version and no other, uncounted."""
        name = call.signature or DEFAULT_SIGNATURE
        signature = self.fitting(loaded, call, arrays, wanted)
        if not call.is_wanted():
            raise ServingError(tf.errors.CANCELLED, "The client has left.")
        begin = time.perf_counter()
        if self._batcher is None:
            outputs = signature(arrays, wanted)
        else:
            outputs = self._batcher.run(name, signature, arrays, tuple(wanted))
        self.metrics.model_took(call.model, call.api, time.perf_counter() - begin)
        return Answer(loaded.version, name, outputs)

    def fitting(
        self, loaded: Loaded, call: Call, arrays: Arrays, wanted: Sequence[str] = ()
    ) -> Signature:
        """The signature that a call asks for.

        Raises:
            ServingError: It has other inputs than `arrays`, or not the wanted outputs.
        """
        signature = self.signature(loaded, call.signature)
        _check_inputs(signature, arrays)
        _check_wanted(signature, wanted)
        return signature

    def classify(self, call: Call, examples: Sequence[bytes]) -> Classified:
        """The classes of serialized `tf.train.Example`s.

        Raises:
            ServingError: Whatever fails, a signature that does not classify included.
        """
        with self.measured(call, "Classify"):
            return self.run_classify(call, examples)

    def run_classify(self, call: Call, examples: Sequence[bytes]) -> Classified:
        """`classify`, uncounted."""
        answer = self._run_examples(call, examples, "classification", _CLASSIFIES)
        labels, scores = _classes(answer.outputs, len(examples))
        return Classified(answer.version, answer.signature_name, labels, scores)

    def regress(self, call: Call, examples: Sequence[bytes]) -> Regressed:
        """The value of each serialized `tf.train.Example`.

        Raises:
            ServingError: Whatever fails, a signature that does not regress included.
        """
        with self.measured(call, "Regress"):
            return self.run_regress(call, examples)

    def run_regress(self, call: Call, examples: Sequence[bytes]) -> Regressed:
        """`regress`, uncounted."""
        answer = self._run_examples(call, examples, "regression", _REGRESSES)
        values = _float_column(answer.outputs["outputs"], len(examples))
        return Regressed(answer.version, answer.signature_name, values)

    def _run_examples(
        self,
        call: Call,
        examples: Sequence[bytes],
        kind: str,
        fits: tuple[set[str], ...],
    ) -> Answer:
        loaded = self.find_of(call)
        signature = self.signature(loaded, call.signature)
        if set(signature.inputs) != {"inputs"}:
            raise _invalid(
                f"Expected one input Tensor called 'inputs' for {kind}. Got "
                f"{sorted(signature.inputs)}."
            )
        if set(signature.outputs) not in fits:
            wanted = " or ".join(str(sorted(names)) for names in fits)
            raise _invalid(
                f"Expected the output Tensors {wanted} for {kind}. Got "
                f"{sorted(signature.outputs)}."
            )
        serialized = np.empty(len(examples), object)
        serialized[:] = list(examples)
        return self.run(loaded, call, {"inputs": serialized})

    def count(self, model: str, status: str) -> None:
        """One request more; `status` is a code's name.

        Requests that never come to a worker are counted by who refuses them.
        """
        known = self.store.get(model) is not None
        self.metrics.count(model if known else _UNKNOWN_MODEL, status)

    @contextlib.contextmanager
    def measured(self, call: Call, entrypoint: str) -> Iterator[None]:
        """Counts and times what the block does; its errors leave as `ServingError`.

        What nobody waits for any more was counted by whoever gave it up.
        """
        begin, status = time.perf_counter(), "OK"
        try:
            with _serving_errors(call, entrypoint):
                yield
        except ServingError as error:
            status = error.name
            raise
        finally:
            if call.is_wanted():
                self.count(call.model, status)
            if status == "OK":
                took_s = time.perf_counter() - begin
                self.metrics.request_took(call.model, call.api, entrypoint, took_s)


@contextlib.contextmanager
def _serving_errors(call: Call, entrypoint: str) -> Iterator[None]:
    try:
        yield
    except ServingError:
        raise
    except tf.errors.OpError as error:
        raise ServingError(error.error_code, error.message) from error
    except Exception as error:  # one request's surprise must not end the server
        _LOG.exception("%s of model %r failed", entrypoint, call.model)
        raise ServingError(
            tf.errors.INTERNAL, f"Internal error: {type(error).__name__}: {error}"
        ) from error


def code_name(code: int) -> str:
    """`INVALID_ARGUMENT` for 3."""
    found: str = error_codes_pb2.Code.Name(code)  # type: ignore[arg-type]
    return found


def _invalid(message: str) -> ServingError:
    return ServingError(tf.errors.INVALID_ARGUMENT, message)


def _check_inputs(signature: Signature, arrays: Arrays) -> None:
    """All inputs without a default, and no others."""
    missing = signature.inputs.keys() - arrays.keys() - signature.defaults.keys()
    unknown = arrays.keys() - signature.inputs.keys()
    if missing or unknown:
        raise _invalid(
            f"input size does not match signature: {len(arrays)}!="
            f"{len(signature.inputs)}. Missing: {sorted(missing)}. Not in the "
            f"signature: {sorted(unknown)}."
        )


def _check_wanted(signature: Signature, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in signature.outputs:
            raise _invalid(f"output tensor alias not found in signature: {name}")
    repeated = [name for name, times in Counter(wanted).items() if times > 1]
    if repeated:
        raise _invalid(f"duplicate output tensor alias: {repeated[0]}")


# --- classify and regress -------------------------------------------------------------

_CLASSIFIES: tuple[set[str], ...] = ({"scores"}, {"classes"}, {"classes", "scores"})
_REGRESSES: tuple[set[str], ...] = ({"outputs"},)


def _classes(
    outputs: Arrays, examples: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Labels and scores, each [examples, classes], of a model that has one or both."""
    for name, dtype in (("scores", "float32"), ("classes", "object")):
        if name in outputs:
            _check_table(name, outputs[name], dtype, examples)
    shapes = {array.shape for array in outputs.values()}
    if len(shapes) > 1:
        raise _invalid(
            "Tensors classes and scores must have one shape. Got "
            f"{' and '.join(str(list(shape)) for shape in sorted(shapes))}."
        )
    (shape,) = shapes
    labels = outputs.get("classes", np.full(shape, b"", object))
    return labels, outputs.get("scores", np.zeros(shape, np.float32))


def _check_table(name: str, array: npt.NDArray[Any], dtype: str, examples: int) -> None:
    if np.asarray(array).dtype != dtype:
        kind = "DT_FLOAT" if dtype == "float32" else "DT_STRING"
        raise _invalid(f"Expected {name} Tensor of {kind}. Got: {array.dtype}.")
    if np.ndim(array) != 2 or len(array) != examples:
        raise _invalid(
            f"Expected Tensor shape: [{examples} num_classes] of {name} but got "
            f"{list(np.shape(array))}."
        )


def _float_column(array: npt.NDArray[Any], examples: int) -> npt.NDArray[np.float32]:
    """[examples] or [examples, 1] -> [examples]."""
    if array.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT. Got: {array.dtype}.")
    if array.shape not in ((examples,), (examples, 1)):
        raise _invalid(
            f"Expected Tensor shape: [{examples}] or [{examples}, 1] but got "
            f"{list(array.shape)}."
        )
    return array.reshape(examples)
