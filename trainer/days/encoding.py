"""What a model's inputs mean: which id a value has, and how a number is scaled.

An id is a row of a trained table, and a scaled number a multiple of trained weights:
under another vocabulary, or another scale, the same weights mean something else. So a
training knows the encoding of its examples, and goes on with that one only, or with one
that extends it: a value's id never changes, new values take ids that nobody had.

    encoding = read_encoding("RUN/artifacts/EncodingGen/transform_graph/4")

`pipeline.encoding` makes it, and writes it into the directory of its transform graph:
`encoding.json`, with each vocabulary as an asset of the graph.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import tensorflow as tf
from absl import logging

from feature_specs import Spec
from feature_specs.values import AUTO, MOST_COUNTED
from trainer.days.shards import DamagedExamplesError
from trainer.errors import TrainingError

ENCODING_FILE = "encoding.json"
_FORMAT = 1  # also of what the graph computes: another hash of ids is another encoding
_ASSETS = os.path.join("transform_fn", "assets")
_VOCABULARY = "vocabulary_"
_SHOWN = 3  # values of a vocabulary, in a message
_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a number is scaled: `(value - shift) / width`, `minmax` cut off at 0 and 1.

    Attributes:
        kind: As in the spec.
        transform: Of the value before, as in the spec.
        shift: Mean of the base's days, or their smallest value.
        width: Their standard deviation, or the width of their range. 0 if all values
            were equal, or there were none: then every number is 0.
    """

    kind: Literal["z", "minmax"]
    transform: Literal["none", "log1p"]
    shift: float
    width: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.shift) and 0 <= self.width < math.inf):
            raise ValueError(
                f"Scale: shift and width must be finite, width 0 or more. Got "
                f"{self.shift} and {self.width}."
            )

    def __str__(self) -> str:
        first, second = {
            "z": ("mean", "deviation"),
            "minmax": ("smallest", "range"),
        }[self.kind]
        of = " of log1p" if self.transform == "log1p" else ""
        return f"{first} {self.shift!r}, {second} {self.width!r}{of}"


@dataclasses.dataclass(frozen=True)
class Appended:
    """What a split of examples brought to one vocabulary.

    Attributes:
        split: `day-YYYYMMDD`.
        new: Values that were appended.
        no_room: Values that found no room, and share the row of all others.
        known_rows: Rows, or words, with a value that has an id, the new ones included.
        other_rows: Those with any other value; missing ones are in neither.
    """

    split: str
    new: int = 0
    no_room: int = 0
    known_rows: int = 0
    other_rows: int = 0

    @property
    def other_share(self) -> float:
        """Share of the known values that have no id; 0 without values."""
        total = self.known_rows + self.other_rows
        return self.other_rows / total if total else 0.0


@dataclasses.dataclass(frozen=True)
class Encoding:
    """Vocabularies, which only grow, and scales, which never change.

    Value i of a vocabulary has id i + 1; 0 is a missing one, and `room` + 1 any other
    value: so that no id moves while values are appended.

    Attributes:
        learned_through: `YYYYMMDD`, the last day that the base was learned from.
        vocabularies: Feature -> its values in the order of their ids, numbers as
            decimal text.
        room: Feature -> most values that its vocabulary will have.
        base_sizes: Feature -> how many of the values the base has.
        scales: Feature -> how it is scaled.
        days: Splits that it was learned from or extended by, sorted.
        history: Feature -> what each split brought; the base's days are one entry,
            under the last one's name.
    """

    learned_through: str
    vocabularies: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )
    room: Mapping[str, int] = dataclasses.field(default_factory=dict)
    base_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Scale] = dataclasses.field(default_factory=dict)
    days: tuple[str, ...] = ()
    history: Mapping[str, tuple[Appended, ...]] = dataclasses.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        for name, values in self.vocabularies.items():
            if not self.base_sizes[name] <= len(values) <= self.room[name]:
                raise ValueError(
                    f"Encoding: {name!r} must have its base's values at least and at "
                    f"most {self.room[name]:,}. Got {len(values):,}."
                )
            if len(set(values)) < len(values):
                raise ValueError(f"Encoding: {name!r} must have each value once.")

    @functools.cached_property
    def base(self) -> str:
        """Twelve hex digits that no extension changes: a training belongs to them."""
        values = {
            name: [self.room[name], _values_digest(values[: self.base_sizes[name]])]
            for name, values in self.vocabularies.items()
        }
        return self._digest(values)

    @functools.cached_property
    def digest(self) -> str:
        """Twelve hex digits that change with whatever a row would be encoded as."""
        values = {
            name: [self.room[name], self.base_sizes[name], _values_digest(values)]
            for name, values in self.vocabularies.items()
        }
        return self._digest(values)

    def _digest(self, values: Any) -> str:
        scales = {name: dataclasses.astuple(s) for name, s in self.scales.items()}
        text = json.dumps([_FORMAT, values, scales], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    def extends(self, earlier: Encoding) -> bool:
        """Whether every id and scale of `earlier` means here what it meant there."""
        if (self.room, self.scales) != (earlier.room, earlier.scales):
            return False
        return self.vocabularies.keys() == earlier.vocabularies.keys() and all(
            self.vocabularies[name][: len(values)] == values
            for name, values in earlier.vocabularies.items()
        )

    def extended_by(
        self, split: str, counts: Mapping[str, Mapping[str, int]]
    ) -> Encoding:
        """With the new values of a split appended while there is room.

        The most frequent ones first, equally frequent ones by their text. Scales stay.
        A split that was there before brings what is new in it.

        Args:
            split: `day-YYYYMMDD`.
            counts: Feature -> value -> its rows in the split.
        """
        vocabularies, history = dict(self.vocabularies), dict(self.history)
        for name, known in self.vocabularies.items():
            found, has_id = counts.get(name, {}), set(known)
            left = by_frequency({v: n for v, n in found.items() if v not in has_id})
            new = left[: self.room[name] - len(known)]
            told = told_of(split, found, (*known, *new), len(new))
            vocabularies[name] = (*known, *new)
            history[name] = (*self.history.get(name, ()), told)
        return dataclasses.replace(
            self,
            vocabularies=vocabularies,
            history=history,
            days=tuple(sorted({*self.days, split})),
        )

    @property
    def told(self) -> dict[str, str]:
        """What is in it, for people: name -> its first values, or its numbers."""
        return {
            **{f"vocabulary {n}": _shown(v) for n, v in self.vocabularies.items()},
            **{f"room of {name}": f"{room:,}" for name, room in self.room.items()},
            **{f"scale of {name}": str(scale) for name, scale in self.scales.items()},
        }

    def differences(self, other: Encoding) -> dict[str, str]:
        """What `other` has otherwise: its name -> what it was and is there."""
        was, now = self.told, other.told
        return {
            name: f"{name} was {was.get(name, 'not there')} and is "
            f"{now.get(name, 'not there')}"
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        }

    def to_values(self) -> dict[str, Any]:
        """As JSON has it, whole: for the state of a checkpoint."""
        packed = {name: _packed(values) for name, values in self.vocabularies.items()}
        return {**self._head(), "vocabularies": packed}

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Encoding:
        """What `to_values` gave.

        Raises:
            KeyError, TypeError, ValueError: They are none of this release.
        """
        packed = values["vocabularies"].items()
        return cls._of(values, {name: _unpacked(text) for name, text in packed})

    def write(self, directory: str) -> None:
        """Writes `encoding.json` beside the vocabularies of a transform graph.

        Args:
            directory: Of the graph, which has each vocabulary as an asset.
        """
        digests = {name: _values_digest(v) for name, v in self.vocabularies.items()}
        text = json.dumps({**self._head(), "vocabularies": digests}, indent=1)
        path = os.path.join(directory, ENCODING_FILE)
        with tf.io.gfile.GFile(path, "w") as file:
            file.write(f"{text}\n")

    def _head(self) -> dict[str, Any]:
        history = {
            name: [dataclasses.asdict(told) for told in entries]
            for name, entries in self.history.items()
        }
        scales = {name: dataclasses.asdict(s) for name, s in self.scales.items()}
        return {
            "format": _FORMAT,
            "base": self.base,
            "digest": self.digest,
            "learned_through": self.learned_through,
            "days": list(self.days),
            "room": dict(self.room),
            "base_sizes": dict(self.base_sizes),
            "scales": scales,
            "history": history,
        }

    @classmethod
    def _of(
        cls, head: Mapping[str, Any], vocabularies: dict[str, tuple[str, ...]]
    ) -> Encoding:
        if head["format"] != _FORMAT:
            raise ValueError(f"format {head['format']!r} is not {_FORMAT}")
        found = cls(
            learned_through=head["learned_through"],
            vocabularies=vocabularies,
            room=head["room"],
            base_sizes=head["base_sizes"],
            scales={name: Scale(**scale) for name, scale in head["scales"].items()},
            days=tuple(head["days"]),
            history={
                name: tuple(Appended(**told) for told in entries)
                for name, entries in head["history"].items()
            },
        )
        if found.digest != head["digest"]:
            raise ValueError(f"digest is {found.digest}, not {head['digest']}")
        return found


def read_encoding(graph: str) -> Encoding:
    """The encoding that a transform graph does; the same wherever it lies.

    Args:
        graph: Directory with `encoding.json` and `transform_fn`; a bucket's too.

    Raises:
        DamagedExamplesError: It has none, or it cannot be read.
    """
    path = os.path.join(graph, ENCODING_FILE)
    if not tf.io.gfile.exists(path):
        raise DamagedExamplesError(
            f"{graph}: must hold {ENCODING_FILE}, as EncodingGen leaves it. Got none. "
            f"Name its output, or make the encoding again."
        )
    try:
        with tf.io.gfile.GFile(path) as file:
            head = json.loads(file.read())
        names = list(head["vocabularies"])
        return Encoding._of(head, {name: _read(graph, name) for name in names})
    except (ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as e:
        raise DamagedExamplesError(
            f"{path}: is no encoding of examples ({type(e).__name__}: {e}). Bring it "
            f"back from a copy, or make the encoding again."
        ) from None


def vocabulary_file(feature: str) -> str:
    """Name of the asset that holds a feature's values, one a line, in id order."""
    return f"{_VOCABULARY}{feature}"


def is_writable(value: str) -> bool:
    """Whether a value can be a line of a vocabulary; others share the others' row."""
    return bool(value) and "\n" not in value and "\r" not in value


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Values that can be in a vocabulary, the most frequent first, then by text.

    By the code points of the text: the same on every machine.
    """
    known = (value for value in counts if is_writable(value))
    return sorted(known, key=lambda value: (-counts[value], value))


def told_of(
    split: str, counts: Mapping[str, int], known: Sequence[str], new: int
) -> Appended:
    """What counted values came to under a vocabulary of the values `known`."""
    has_id = set(known)
    rows = sum(count for value, count in counts.items() if value in has_id)
    others = [value for value in counts if value and value not in has_id]
    return Appended(
        split, new, len(others), rows, sum(counts[value] for value in others)
    )


def counted(spec: Spec, encoding: Encoding | None) -> Spec:
    """The spec with numbers for `size: auto`: the room that the encoding keeps.

    Args:
        spec: What the examples hold.
        encoding: Of the examples; None if it is not known.

    Raises:
        TrainingError: It is not known, and a table's rows follow from it.
    """
    names = [f.name for f in spec.features if f.size == AUTO]
    if not names:
        return spec
    room = encoding.room if encoding else {}
    lacking = [name for name in names if name not in room]
    if lacking:
        raise TrainingError(
            f"Feature {lacking[0]!r}: size: auto needs the vocabulary that EncodingGen "
            f"has counted, and nothing tells it here. Name that step's output, or "
            f"write a number into the spec."
        )
    for name in names:
        logging.info("size: auto: %s has room for %s values.", name, f"{room[name]:,}")
        if room[name] >= MOST_COUNTED:
            logging.warning(
                "%s: has room for %s values, the most that size: auto counts; the "
                "rarest share one row. Make it an id in a table, or write its size.",
                *(name, f"{MOST_COUNTED:,}"),
            )
    return spec.with_counted(room)


def _read(graph: str, name: str) -> tuple[str, ...]:
    """A vocabulary's values; one without values has no file."""
    path = os.path.join(graph, _ASSETS, vocabulary_file(name))
    if not tf.io.gfile.exists(path):
        return ()
    with tf.io.gfile.GFile(path, "rb") as file:
        text: str = file.read().decode()
    return tuple(text.removesuffix("\n").split("\n"))


def _values_digest(values: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()[:_DIGITS]


def _shown(values: Sequence[str]) -> str:
    first = ", ".join(values[:_SHOWN]) + ", ..." * (len(values) > _SHOWN)
    return f"{len(values)} values ({first}; {_values_digest(values)})"


def _packed(values: Sequence[str]) -> str:
    """Text of a checkpoint's state, which is written every few minutes: small."""
    return base64.b64encode(zlib.compress("\n".join(values).encode())).decode()


def _unpacked(text: str) -> tuple[str, ...]:
    joined = zlib.decompress(base64.b64decode(text)).decode()
    return tuple(joined.split("\n")) if joined else ()
