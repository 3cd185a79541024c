"""A SavedModel in a session of its own, as TensorFlow Serving runs it.

`tf.saved_model.load` never gives its graphs back: each load would keep some ninety
megabytes for good. A session frees all when the last one lets it go, feeds arrays
without a tensor object each, and runs the very graph that TensorFlow Serving runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from feature_specs.errors import TrailrankError
from serving.models.part_of_graph import load_part

SERVE = "serve"  # the tag of the graph that is served
# Not a function of a client: it runs when the model is loaded.
_INIT = "__saved_model_init_op"
# A graph for ranking has many ops of some microseconds: handing each to another thread
# costs more than it. Requests run side by side, each in its own thread; large products
# still use all cores.
_OPS_IN_CALLERS_THREAD = -1

Arrays = dict[str, npt.NDArray[Any]]


class LoadError(TrailrankError, RuntimeError):
    """A version directory that cannot be served."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of a model, for any thread.

    Attributes:
        inputs: Input name -> `DType.name`, in order.
        outputs: Output names, in order.
        method_name: Like `tensorflow/serving/predict`.
        defaults: Input name -> what it is if a client leaves it out.
    """

    inputs: dict[str, str]
    outputs: tuple[str, ...]
    method_name: str
    defaults: Arrays
    _fetched: tuple[int, ...] = dataclasses.field(repr=False)
    _run: Callable[..., Sequence[Any]] = dataclasses.field(repr=False)

    def __call__(
        self, arrays: Mapping[str, npt.NDArray[Any]], wanted: Sequence[str] = ()
    ) -> Arrays:
        """Runs the model.

        Args:
            arrays: Input -> values. Declared shapes bind nobody, as in TensorFlow
                Serving: an op refuses what it cannot take.
            wanted: Outputs that are returned; all if none is named.

        Raises:
            tf.errors.OpError: An input is absent or of another type, or an op refuses
                its input.
        """
        results = self._run(*(self._fed(name, arrays) for name in self.inputs))
        return {
            name: _as_array(results[place])
            for name, place in zip(self.outputs, self._fetched, strict=True)
            if not wanted or name in wanted
        }

    def _fed(
        self, name: str, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        values = arrays.get(name, self.defaults.get(name))
        if values is None:
            raise _refused(f"input {name!r} is missing")
        values = np.asarray(values)
        kind = "string" if values.dtype.kind in "OSU" else values.dtype.name
        if kind != self.inputs[name]:
            raise _refused(
                f"input {name!r} must be {self.inputs[name]}. Got {values.dtype.name}"
            )
        return values


def _as_array(value: Any) -> npt.NDArray[Any]:
    """What a session gives for a scalar is none; strings of any length are objects."""
    return np.asarray(value, object if isinstance(value, bytes) else None)


def load_signatures(
    path: str, names: Sequence[str] = (), threads: int = 0
) -> dict[str, Signature]:
    """The signatures of a SavedModel, whose variables and tables are ready.

    Args:
        path: Its directory.
        names: Those that are made ready, in half the time or less, of a model of ours
            that is asked a few times; all of any model, for good, if empty.
        threads: Of one op; 0 for all cores. What the process's first session has
            holds for all of it.

    Raises:
        LoadError: No SavedModel that can be read, or none with a graph to serve.
        Exception: Whatever a broken graph raises: KeyError, TypeError, ...
    """
    meta_graph = read_meta_graph(path)
    definitions = {
        name: signature
        for name, signature in sorted(meta_graph.signature_def.items())
        if name != _INIT
    }
    for name in names:
        if name not in definitions:
            known = ", ".join(definitions) or "none"
            raise LoadError(f"{path}: has no signature {name!r}. It has {known}.")
    graph = tf.Graph()
    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=_OPS_IN_CALLERS_THREAD,
        intra_op_parallelism_threads=threads,
    )
    if names:
        rewrites = config.graph_options.rewrite_options
        rewrites.meta_optimizer_iterations = rewrites.ONE
    session = tf.compat.v1.Session(graph=graph, config=config)
    with graph.as_default(), _without_advice():
        if names:
            load_part(session, path, meta_graph, names)
        else:
            tf.compat.v1.saved_model.load(session, [SERVE], path)
    return {
        name: _signature(session, definitions[name]) for name in names or definitions
    }


def read_meta_graph(path: str) -> meta_graph_pb2.MetaGraphDef:
    """The graph that is served, of the SavedModel in a directory.

    Raises:
        LoadError: There is none.
    """
    file = os.path.join(path, "saved_model.pb")
    saved_model = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(file, "rb") as stream:
            saved_model.ParseFromString(stream.read())
    except tf.errors.OpError as error:
        raise LoadError(f"{file}: cannot be read: {error.message}") from None
    except Exception as error:  # protobuf's DecodeError has no common base class
        raise LoadError(f"{file}: is no SavedModel: {error}") from None
    for meta_graph in saved_model.meta_graphs:
        if SERVE in meta_graph.meta_info_def.tags:
            return meta_graph
    raise LoadError(f"{file}: has no graph tagged '{SERVE}'.")


def _signature(
    session: tf.compat.v1.Session, definition: meta_graph_pb2.SignatureDef
) -> Signature:
    inputs = sorted(definition.inputs)
    outputs = tuple(sorted(definition.outputs))
    # Two outputs may be one tensor, which is fetched once.
    tensors = sorted({definition.outputs[name].name for name in outputs})
    return Signature(
        inputs={
            name: tf.as_dtype(definition.inputs[name].dtype).name for name in inputs
        },
        outputs=outputs,
        method_name=definition.method_name,
        defaults={
            name: tf.make_ndarray(value)
            for name, value in defaults_of(definition).items()
        },
        _fetched=tuple(tensors.index(definition.outputs[n].name) for n in outputs),
        _run=_callable(session, [definition.inputs[n].name for n in inputs], tensors),
    )


def _callable(
    session: tf.compat.v1.Session, feeds: Sequence[str], fetches: Sequence[str]
) -> Callable[..., Sequence[Any]]:
    """Values of `feeds` -> those of `fetches`.

    The public `make_callable` looks at the shape of every value, which binds nobody
    here, and takes three times as long.
    """
    options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
    run: Callable[..., Sequence[Any]] = session._make_callable_from_options(options)
    return run


def defaults_of(definition: meta_graph_pb2.SignatureDef) -> Mapping[str, Any]:
    """Newer TensorFlow's `SignatureDef.defaults`; older ones have no such field."""
    return getattr(definition, "defaults", {})


def _refused(message: str) -> tf.errors.InvalidArgumentError:
    return tf.errors.InvalidArgumentError(None, None, message)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """TensorFlow advises against what its own server does; it is no news to a user."""
    log = tf.get_logger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
