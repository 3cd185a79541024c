"""What a transform has learned of its training days: vocabularies and scales.

An id is a row of a trained table, and a scaled number a multiple of trained weights:
under another vocabulary, or another scale, the same weights mean something else. So a
training knows the encoding of its examples, and goes on with that one only.

    encoding = find_encoding("encoded/transformed_examples")

It is read from `encoding.json` beside the examples, which `transform_examples` writes,
or from the transform graph that the Transform step leaves beside them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from feature_specs import Spec
from feature_specs.values import AUTO, MOST_COUNTED
from trainer.days.shards import DamagedExamplesError
from trainer.errors import TrainingError

ENCODING_FILE = "encoding.json"
_EXAMPLES, _GRAPH = "transformed_examples", "transform_graph"
_TRANSFORM = "transform_fn"
_VOCABULARY = "vocabulary_"
_OF_VOCABULARY = "vocabulary "  # begins what is learned of one
_VALUES = re.compile(r"(\d+) values ")
_SHOWN = 3  # values of a vocabulary, in a message
# Ends of the names of what `pipeline.transform` learns, and what people call it.
_CALLED = (
    (re.compile(r"_scale_to_z_score(_\d+)?_sub_y$"), " mean"),
    (re.compile(r"_scale_to_z_score(_\d+)?_sqrt_x$"), " variance"),
    (re.compile(r"_mul_x$"), " smallest (negated) and largest"),
)
# Sizes, which the file tells; and the smallest value, which `tft.max` learns unasked.
_NOT_TOLD = re.compile(r"compute_and_apply_vocabulary|_min_and_max_sub_1_y$")
_OF_A_TABLE = "_lookuptablefindv2_default_value"  # of a facet's values: nothing learned


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What one run of the transform has learned.

    Attributes:
        learned: Name -> value, for people: `vocabulary city` -> its first values and a
            digest of all, `age mean` -> a number.
    """

    learned: dict[str, str]

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with what was learned."""
        text = json.dumps(self.learned, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def sizes(self) -> dict[str, int]:
        """Feature -> values of its vocabulary."""
        found = {}
        for name, value in self.learned.items():
            told = _VALUES.match(value)
            if name.startswith(_OF_VOCABULARY) and told:
                found[name.removeprefix(_OF_VOCABULARY)] = int(told[1])
        return found

    def differences(self, other: Encoding) -> dict[str, str]:
        """What `other` has learned otherwise: its name -> what it was and is there."""
        names = sorted(self.learned.keys() | other.learned.keys())
        return {
            name: f"{name} was {self.learned.get(name, 'not there')} and is "
            f"{other.learned.get(name, 'not there')}"
            for name in names
            if self.learned.get(name) != other.learned.get(name)
        }

    def write(self, directory: str) -> None:
        """Writes `encoding.json` beside encoded examples."""
        with tf.io.gfile.GFile(os.path.join(directory, ENCODING_FILE), "w") as file:
            file.write(json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def counted(spec: Spec, learned: dict[str, str] | None) -> Spec:
    """The spec with numbers for `size: auto`, as the encoding has counted; it is told.

    Args:
        spec: What the examples hold.
        learned: Of their `Encoding`; None if it is not known.

    Raises:
        TrainingError: It is not known, and a table's rows follow from it.
    """
    names = [f.name for f in spec.features if f.size == AUTO]
    if not names:
        return spec
    sizes = Encoding(learned or {}).sizes
    lacking = [name for name in names if name not in sizes]
    if lacking:
        raise TrainingError(
            f"Feature {lacking[0]!r}: size: auto needs the vocabulary that the "
            f"Transform step has counted, and nothing tells it here. Name that step's "
            f"output (--transform_graph), or write a number into the spec."
        )
    for name in names:
        logging.info("size: auto: %s has %s values.", name, f"{sizes[name]:,}")
        if sizes[name] >= MOST_COUNTED:
            logging.warning(
                "%s: has %s values or more, the most that size: auto counts; the "
                "rarest share one row. Make it an id in a table, or write its size.",
                *(name, f"{MOST_COUNTED:,}"),
            )
    return spec.with_counted(sizes)


def find_encoding(transformed: str, graph: str | None = None) -> Encoding | None:
    """The encoding of the examples in a directory; None if nothing there tells.

    Args:
        transformed: Holds a folder `Split-day-YYYYMMDD` a day.
        graph: Directory of the transform graph; by default `encoding.json` tells, or
            the graph that the Transform step left beside the examples.

    Raises:
        DamagedExamplesError: `encoding.json` cannot be read.
    """
    if graph is not None:
        return read_encoding(graph)
    path = os.path.join(transformed, ENCODING_FILE)
    if tf.io.gfile.exists(path):
        return _read(path)
    beside = graph_beside(transformed)
    known = beside and tf.io.gfile.isdir(os.path.join(beside, _TRANSFORM))
    return read_encoding(beside) if known else None


def _read(path: str) -> Encoding:
    """`encoding.json`; DamagedExamplesError if it is none."""
    try:
        with tf.io.gfile.GFile(path) as file:
            learned = json.loads(file.read())["learned"]
        return Encoding({str(name): str(value) for name, value in learned.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedExamplesError(
            f"{path}: is no encoding of examples ({type(error).__name__}: {error}). "
            f"Bring it back from a copy, or encode the examples again."
        ) from None


def graph_beside(transformed: str) -> str:
    """Where TFX and `transform_examples` put the graph; empty for another place."""
    parts = f"{transformed.rstrip('/')}/".rsplit(f"/{_EXAMPLES}/", 1)
    return f"/{_GRAPH}/".join(parts).rstrip("/") if len(parts) == 2 else ""


def read_encoding(graph: str) -> Encoding:
    """The encoding that a transform graph does; the same for the same wherever it lies.

    Args:
        graph: Directory with `transform_fn`, of the Transform step or of
            `transform_examples`.
    """
    directory = os.path.join(graph, _TRANSFORM)
    return Encoding(dict(_vocabularies(directory)) | dict(_scales(directory)))


def _vocabularies(directory: str) -> Iterator[tuple[str, str]]:
    assets = os.path.join(directory, "assets")
    names = tf.io.gfile.listdir(assets) if tf.io.gfile.isdir(assets) else []
    for name in sorted(names):
        with tf.io.gfile.GFile(os.path.join(assets, name), "rb") as file:
            content = file.read()
        lines = content.decode(errors="replace").splitlines()
        first = ", ".join(lines[:_SHOWN]) + ", ..." * (len(lines) > _SHOWN)
        digest = hashlib.sha256(content).hexdigest()[:12]
        known = f"{_OF_VOCABULARY}{name.removeprefix(_VOCABULARY)}"
        yield known, f"{len(lines)} values ({first}; {digest})"


def _scales(directory: str) -> Iterator[tuple[str, str]]:
    """Numbers that analyzers have learned; the graph takes them in by name."""
    path = os.path.join(directory, "saved_model.pb")
    if not tf.io.gfile.exists(path):
        return
    from tensorflow.core.protobuf import saved_model_pb2

    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    graph = model.meta_graphs[0].graph_def
    constants = {node.name: node for node in graph.node if node.op == "Const"}
    for name, source in _taken_in(graph):
        if source not in constants or _NOT_TOLD.search(name):
            continue
        if name.endswith(_OF_A_TABLE):
            continue
        value = tf.make_ndarray(constants[source].attr["value"].tensor).tolist()
        for pattern, called in _CALLED:
            name = pattern.sub(called, name)
        yield name, repr(value)


def _taken_in(graph: Any) -> Iterator[tuple[str, str]]:
    """(name inside the transform, node outside) of what it takes in beside its rows.

    A signature of a SavedModel is a function that does nothing but call the one which
    was saved; what that one captured comes last among its arguments, in one order.
    """
    functions = {f.signature.name: f for f in graph.library.function}
    for call in _calls(graph.node):
        if not any(name.startswith("serving_default") for name in call.input):
            continue
        wrapper = functions[call.attr["f"].func.name]
        saved = functions[next(_calls(wrapper.node_def)).attr["f"].func.name]
        names = [arg.name for arg in saved.signature.input_arg]
        sources = [name.partition(":")[0] for name in call.input]
        yield from zip(names[::-1], sources[::-1], strict=True)


def _calls(nodes: Any) -> Iterator[Any]:
    return (node for node in nodes if node.op.endswith("PartitionedCall"))
