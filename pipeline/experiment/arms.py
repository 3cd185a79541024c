"""What an arm is, as typed: a reference ranker, a run, or an exported model.

feed                          a reference ranker
RUN                           the model that a run has trained
DIR                           a SavedModel
little_like=RUN               with a name
searched=RUN@fusion.yaml      with the fusion weights of a file
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from feature_specs import Spec, read_spec, views
from feature_specs.named import SpecLike, as_spec
from feature_specs.yaml_text import YamlMistake, read_yaml
from pipeline.experiment.design import Arm
from pipeline.experiment.errors import ExperimentError
from pipeline.experiment.rankers import REFERENCES
from pipeline.run_record import RECORD, read_record
from serving.export.model_card import read_card

ArmLike = str | Arm

DEFAULT_SPEC = "kuairand"
_MODEL_FILE = "saved_model.pb"
_NAMED = re.compile(r"(?P<name>[\w.+-]+)=(?P<what>.+)", re.DOTALL)
_NO_NAME = re.compile(r"[^\w.+-]+")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The arms of an experiment, looked at.

    Attributes:
        arms: The control first; names differ.
        spec: What models read and whose tasks are measured.
    """

    arms: tuple[Arm, ...]
    spec: Spec


def choose(
    control: ArmLike, treatments: Iterable[ArmLike], spec: SpecLike | None
) -> Chosen:
    """The arms, and the spec that all their models are of.

    Args:
        control: As typed, or an arm.
        treatments: The same.
        spec: By default that of the first run; `kuairand` where none is named.

    Raises:
        ExperimentError: An arm is none, or models read other features than others.
        NoRunError, ModelCardError: A run or a model cannot be read.
    """
    given = [control, *treatments]
    arms = tuple(_arm(one) for one in given)
    found = as_spec(spec) if spec is not None else _spec_of(given)
    for arm in arms:
        if arm.is_model:
            _check_reads(arm, found)
    return Chosen(_with_own_names(arms), found)


def _arm(given: ArmLike) -> Arm:
    if isinstance(given, Arm):
        if given.kind not in (*REFERENCES, "model"):
            raise ExperimentError(_unknown(given.kind))
        return given
    name, what, weights = _parts(given)
    if what in REFERENCES:
        if weights:
            raise ExperimentError(
                f"arm {given!r}: {what} has no fused score, so no weights. Leave "
                f"@{weights} out."
            )
        return Arm(name=name or what, kind=what)
    model, root = _model_of(what)
    known = _weights(weights, model) if weights else {}
    stem = pathlib.Path(os.path.abspath(what)).name
    plain = _NO_NAME.sub("-", stem) or "model"
    return Arm(name=name or plain, kind="model", model=model, run=root, weights=known)


def _parts(text: str) -> tuple[str, str, str]:
    """(name, ranker or place, file of weights); "" for what is not said."""
    named = _NAMED.fullmatch(text)
    name, what = (named["name"], named["what"]) if named else ("", text)
    if not os.path.exists(what) and "@" in what:
        what, weights = what.rsplit("@", 1)
        return name, what, weights
    return name, what, ""


def _model_of(what: str) -> tuple[str, str]:
    """(directory of the SavedModel, that of its run if one is named)."""
    if os.path.exists(os.path.join(what, _MODEL_FILE)):
        return os.path.abspath(what), ""
    if os.path.exists(os.path.join(what, RECORD)):
        return read_record(what).model, os.path.abspath(what)
    raise ExperimentError(_unknown(what))


def _unknown(what: str) -> str:
    return (
        f"arm {what!r}: must be one of {', '.join(REFERENCES)}, a run (with {RECORD}), "
        f"or an exported model (with {_MODEL_FILE}); NAME=... names it."
    )


def _weights(path: str, model: str) -> dict[str, float]:
    """Task -> exponent, of a file that `fusion search` wrote, or a plain mapping.

    Raises:
        ExperimentError: It cannot be read, or says what only an export can do.
    """
    try:
        found = read_yaml(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YamlMistake) as error:
        raise ExperimentError(f"weights {path}: cannot be read: {error}") from None
    fusion = found.get("fusion", found) if isinstance(found, Mapping) else {}
    weights = fusion.get("weights", fusion) if isinstance(fusion, Mapping) else {}
    if not weights or not all(isinstance(w, int | float) for w in weights.values()):
        raise ExperimentError(
            f"weights {path}: must map tasks to numbers, under fusion.weights or alone."
        )
    _check_length(path, fusion, read_spec(read_card(model).spec))
    return {str(task): float(weight) for task, weight in weights.items()}


def _check_length(path: str, fusion: Mapping[str, Any], spec: Spec) -> None:
    """A request sets weights of tasks; the length's exponent is the export's."""
    length = fusion.get("length")
    own = spec.fusion.length
    if not isinstance(length, Mapping) or "weight" not in length:
        return
    if own is None or float(length["weight"]) != own.weight:
        raise ExperimentError(
            f"weights {path}: fusion.length.weight is {length['weight']}, and the "
            f"model was exported with {own.weight if own else 'none'}. Export the "
            "model with this section, and name the export."
        )


def _spec_of(given: Iterable[ArmLike]) -> Spec:
    """Of the first run that is named."""
    for one in given:
        if isinstance(one, str):
            _, what, _ = _parts(one)
            if os.path.exists(os.path.join(what, RECORD)):
                return read_spec(read_record(what).spec_text)
    return as_spec(DEFAULT_SPEC)


def _check_reads(arm: Arm, spec: Spec) -> None:
    """Refuses a model whose examples were made otherwise, and unknown weights."""
    own = read_spec(read_card(arm.model).spec)
    if _read_when_served(own) != _read_when_served(spec):
        raise ExperimentError(
            f"arm {arm.name}: its model reads other features than spec {spec.name} "
            f"makes ({arm.model}). Name its own with --spec; all models of an "
            "experiment share one."
        )
    unknown = sorted({*arm.weights} - {task.name for task in spec.tasks})
    if unknown:
        raise ExperimentError(
            f"arm {arm.name}: weights of {', '.join(unknown)}, which the spec's tasks "
            "do not have."
        )


def _read_when_served(spec: Spec) -> str:
    """What tells the served features' values; trail features are trained on alone."""
    served = dataclasses.replace(spec, features=spec.served_features)
    return views.digest(served, views.EXAMPLES)


def _with_own_names(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """The same ranker twice is an A/A comparison: the second gets a number."""
    counts: collections.Counter[str] = collections.Counter()
    found = []
    for arm in arms:
        counts[arm.name] += 1
        number = counts[arm.name]
        name = arm.name if number == 1 else f"{arm.name}-{number}"
        found.append(dataclasses.replace(arm, name=name))
    return tuple(found)
