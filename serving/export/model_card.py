"""What an exported model is, written into it: `trailrank model show DIR` reads it.

`<version>/assets.extra/model_card.json` has everything, `model_card.md` the same for
people. TensorFlow Serving passes both by.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from feature_specs import Spec, views
from feature_specs.errors import TrailrankError
from feature_specs.named import preset_as_text
from feature_specs.places import Place, is_bucket
from feature_specs.release import code_version
from feature_specs.transforms import Transform

CARD_FILE = os.path.join("assets.extra", "model_card.json")
PAGE_FILE = os.path.join("assets.extra", "model_card.md")
_FORMAT = 1
_SAVED_MODEL = "saved_model.pb"
_VERDICT = "verdict.json"  # that the pipeline's Pusher puts beside it
_VIEWS = (views.EXAMPLES, views.ENCODING, views.TRAINING, views.SERVING)


class ModelCardError(TrailrankError, ValueError):
    """A directory that holds no model, or none with a card that can be read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lineage:
    """What only whoever has trained the model knows of it.

    Attributes:
        days: Splits that are in the weights, in order.
        seed: Of the training.
        metrics: The last day's record, as `metrics.jsonl` has it.
    """

    days: tuple[str, ...] = ()
    seed: int | None = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """One limit that the model was held to before it was pushed.

    Attributes:
        name: `auc of like, tab=1 against 1650000000`.
        value: Of the model; None if there was none.
        limit: The least or the most, or the largest loss against another model.
        outcome: `passed`, `refused` or `not judged`.
    """

    name: str
    value: float | None
    limit: float | None
    outcome: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or an output of a signature.

    Attributes:
        dtype: `float32`, `int64`, `string`...
        shape: None where any size will do; None as a whole for any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} (any shape)"
        sizes = ["?" if size is None else str(size) for size in self.shape]
        return f"{self.dtype} [{', '.join(sizes)}]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignatureCard:
    """One signature.

    Attributes:
        inputs: Name -> what it takes.
        outputs: Name -> what it gives.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What an exported model is.

    Attributes:
        name: The spec's.
        code: Version and commit of the code that exported it.
        formula: Of the fused score, for people; a line a factor.
        weights: Task -> exponent.
        factors: Task -> the factor of its prediction, by its transform.
        facets: Facet -> partition -> task -> exponent there.
        length: The part of f(length): its factor, its exponent; empty without one.
        signatures: By name.
        views: View of the spec -> its digest.
        spec: The serving view as YAML, which `read_spec` reads.
        preset: The preset in its JSON form.
        encoding: `digest`, `base`, `learned_through` and `days` of the encoding; empty
            where it is not known.
        lineage: As the training says it.
        tables: How large embedding tables are stored, if not as they were trained:
            their `type`, `bytes` and `float32_bytes`, and what was measured of the
            change; empty if they are.
    """

    name: str
    code: str
    formula: tuple[str, ...]
    weights: Mapping[str, float]
    factors: Mapping[str, str]
    facets: Mapping[str, Mapping[str, Mapping[str, float]]]
    length: Mapping[str, Any]
    signatures: Mapping[str, SignatureCard]
    views: Mapping[str, str]
    spec: str
    preset: str
    encoding: Mapping[str, Any]
    lineage: Lineage
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=1)


def make_card(
    spec: Spec,
    preset: Any,
    signatures: Mapping[str, SignatureCard],
    encoding: Mapping[str, Any],
    lineage: Lineage,
    tables: Mapping[str, Any] | None = None,
) -> ModelCard:
    """The card of a model that is being exported."""
    weights = {t.name: spec.fusion.weights.get(t.name, 0.0) for t in spec.tasks}
    factors = {t.name: spec.fusion.transform_of(t).factor(t.name) for t in spec.tasks}
    length = _length(spec)
    return ModelCard(
        name=spec.name,
        code=code_version(),
        formula=_formula(weights, factors, length),
        weights=weights,
        factors=factors,
        facets=spec.fusion.facets,
        length=length,
        signatures=signatures,
        views={name: views.digest(spec, name) for name in _VIEWS},
        spec=views.text(spec, views.SERVING),
        preset=preset_as_text(preset),
        encoding=encoding,
        lineage=lineage,
        tables=tables or {},
    )


def _length(spec: Spec) -> dict[str, Any]:
    length = spec.fusion.length
    if length is None:
        return {}
    factor = Transform(length.transform, (length.scale,)).factor(length.feature)
    return {"feature": length.feature, "factor": factor, "weight": length.weight}


def _formula(
    weights: Mapping[str, float], factors: Mapping[str, str], length: Mapping[str, Any]
) -> tuple[str, ...]:
    """`log_score = ...`, a line a term; tasks that weigh nothing are left out."""
    terms = [(weights[name], factors[name]) for name in weights if weights[name]]
    if length:
        terms.append((length["weight"], length["factor"]))
    lines = [f"  {weight:+g} * log({factor})" for weight, factor in terms]
    return ("log_score =", *lines, "score = exp(log_score)")


def read_signatures(model_dir: str) -> dict[str, SignatureCard]:
    """The signatures of a SavedModel, as whoever serves it sees them."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    with tf.io.gfile.GFile(os.path.join(model_dir, _SAVED_MODEL), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    return {
        name: SignatureCard(
            inputs=_infos(signature.inputs), outputs=_infos(signature.outputs)
        )
        for graph in saved.meta_graphs
        for name, signature in sorted(graph.signature_def.items())
        if not name.startswith("__")  # what loading runs, for nobody to ask
    }


def _infos(infos: Mapping[str, Any]) -> dict[str, Tensor]:
    import tensorflow as tf

    found = {}
    for name in sorted(infos):
        proto = infos[name].tensor_shape
        sizes = tuple(None if d.size < 0 else int(d.size) for d in proto.dim)
        dtype = tf.as_dtype(infos[name].dtype).name
        found[name] = Tensor(dtype=dtype, shape=None if proto.unknown_rank else sizes)
    return found


# --- files ----------------------------------------------------------------------------


def write_card(model_dir: str, card: ModelCard) -> None:
    """Writes both files into an exported model."""
    for name, text in ((CARD_FILE, card.to_json()), (PAGE_FILE, as_markdown(card))):
        _write(os.path.join(model_dir, name), f"{text}\n")


def read_card(model: Place) -> ModelCard:
    """The card of an exported model.

    Args:
        model: Its directory, or the one that has its versions: the newest is read.

    Raises:
        ModelCardError: There is no model, or none with a card that can be read.
    """
    path = os.path.join(model_dir_of(model), CARD_FILE)
    text = _read(path)
    if text is None:
        raise ModelCardError(
            f"{path}: is missing: another program or an earlier release exported this "
            "model. Export it again to have its card."
        )
    try:
        return _card(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelCardError(
            f"{path}: is no model card ({error!r}). Export the model again."
        ) from None


def read_gates(model_dir: str) -> list[Gate]:
    """The gates that a pushed version has passed; none where nothing was noted.

    Raises:
        ModelCardError: What was noted cannot be read.
    """
    path = os.path.join(model_dir, _VERDICT)
    text = _read(path)
    if text is None:
        return []
    try:
        return [_gate(entry) for entry in json.loads(text)["gates"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelCardError(
            f"{path}: is no verdict of gates ({error!r}). Remove it, or push again."
        ) from None


def _gate(found: Mapping[str, Any]) -> Gate:
    inside = f", {found['slice']}" if found["slice"] else ""
    against = f" against {found['against']}" if found["against"] else ""
    return Gate(
        name=f"{found['measure']} of {found['of']}{inside}{against}",
        value=found["value"],
        limit=found["limit"],
        outcome=found["outcome"],
    )


def model_dir_of(model: Place) -> str:
    """A model's directory: that one, or its newest version's.

    Raises:
        ModelCardError: There is no SavedModel in either.
    """
    place = os.fspath(model)
    if _exists(os.path.join(place, _SAVED_MODEL)):
        return place
    numbers = [n for n in _listed(place) if n.isascii() and n.isdecimal()]
    for number in sorted(numbers, key=int, reverse=True):
        if _exists(os.path.join(place, number, _SAVED_MODEL)):
            return os.path.join(place, number)
    raise ModelCardError(
        f"{place}: must hold a SavedModel ({_SAVED_MODEL}), or versions of one. Got "
        "none. Name a directory like RUN/models/SPEC or RUN/models/SPEC/VERSION."
    )


def _card(found: dict[str, Any]) -> ModelCard:
    """TypeError for one of another format, which has other fields."""
    if found["format"] == _FORMAT:
        del found["format"]
    signatures = {
        name: SignatureCard(**{side: _tensors(one[side]) for side in one})
        for name, one in found.pop("signatures").items()
    }
    lineage = found.pop("lineage")
    days = tuple(lineage.pop("days"))
    return ModelCard(
        **{**found, "formula": tuple(found["formula"])},
        signatures=signatures,
        lineage=Lineage(**lineage, days=days),
    )


def _tensors(found: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            dtype=one["dtype"],
            shape=None if one["shape"] is None else tuple(one["shape"]),
        )
        for name, one in found.items()
    }


# --- for people -----------------------------------------------------------------------


def as_markdown(card: ModelCard, gates: Sequence[Gate] = ()) -> str:
    """The card as a page; with the gates, where the model has been judged."""
    judged = ["## Gates", "", *_gates(gates)] if gates else []
    parts = [
        [f"# Model {card.name}", "", f"Exported by trailrank {card.code}."],
        ["## Fused score", "", "```", *card.formula, "```", "", *_tasks(card)],
        ["## Signatures", *_signatures(card)],
        ["## Lineage", "", *_lineage(card)],
        *([judged] if judged else []),
        *([["## Tables", "", *_stored(card)]] if card.tables else []),
        ["## Spec views", "", *_rows(("view", "digest"), card.views.items())],
        ["## Spec", "", "```yaml", card.spec.rstrip(), "```"],
        ["## Preset", "", "```json", card.preset, "```"],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _tasks(card: ModelCard) -> list[str]:
    rows = [
        (task, card.factors[task], f"{weight:g}")
        for task, weight in card.weights.items()
    ]
    if card.length:
        length = (card.length["feature"], card.length["factor"])
        rows.append((*length, f"{card.length['weight']:g}"))
    by_facet = [
        (task, f"where {facet} is {partition}", f"{weight:g}")
        for facet, partitions in card.facets.items()
        for partition, own in partitions.items()
        for task, weight in own.items()
    ]
    return _rows(("prediction", "factor", "weight"), [*rows, *by_facet])


def _signatures(card: ModelCard) -> list[str]:
    lines = []
    for name, signature in card.signatures.items():
        sides = (("input", signature.inputs), ("output", signature.outputs))
        rows = [
            (side, tensor, str(what))
            for side, tensors in sides
            for tensor, what in tensors.items()
        ]
        lines += ["", f"### {name}", "", *_rows(("", "name", "takes or gives"), rows)]
    return lines


def _lineage(card: ModelCard) -> list[str]:
    days = card.lineage.days
    told = {
        "days": f"{len(days)}: {days[0]} to {days[-1]}" if days else "not known",
        "seed": "not known" if card.lineage.seed is None else str(card.lineage.seed),
        "encoding": card.encoding.get("digest", "not known"),
        "learned through": card.encoding.get("learned_through", "not known"),
    }
    metrics = [
        (f"metrics: {key}", json.dumps(value))
        for key, value in card.lineage.metrics.items()
    ]
    return _rows(("what", "value"), [*told.items(), *metrics])


def _stored(card: ModelCard) -> list[str]:
    """How the tables are stored, and what that changed."""
    told = {k: v for k, v in card.tables.items() if not isinstance(v, Mapping)}
    rows = _rows(("what", "value"), told.items())
    changes = card.tables.get("tasks", {})
    if not changes:
        return rows
    heads = ("auc", "gauc", "largest_change")
    return [
        *rows,
        "",
        *_rows(
            ("task", "AUC, float32", "AUC", "GAUC, float32", "GAUC", "largest change"),
            [
                (task, *(_figure(v) for h in heads for v in _listed_value(own[h])))
                for task, own in changes.items()
            ],
        ),
    ]


def _listed_value(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _gates(gates: Sequence[Gate]) -> list[str]:
    rows = [(g.name, _short(g.value), _short(g.limit), g.outcome) for g in gates]
    return _rows(("gate", "value", "limit", "outcome"), rows)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _rows(heads: tuple[str, ...], rows: Any) -> list[str]:
    """A table of markdown."""
    cells = [heads, tuple("---" for _ in heads), *rows]
    return [f"| {' | '.join(str(cell) for cell in row)} |" for row in cells]


# --- a disk, or a bucket through TensorFlow -------------------------------------------


def _read(path: str) -> str | None:
    """The text; None if there is none."""
    if not _exists(path):
        return None
    if is_bucket(path):
        with _gfile().GFile(path) as file:
            return str(file.read())
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    _gfile().makedirs(os.path.dirname(path))
    with _gfile().GFile(path, "w") as file:
        file.write(text)


def _exists(path: str) -> bool:
    return bool(_gfile().exists(path)) if is_bucket(path) else os.path.isfile(path)


def _listed(directory: str) -> list[str]:
    if is_bucket(directory):
        found = _gfile().listdir(directory) if _gfile().isdir(directory) else []
        return [name.rstrip("/") for name in found]
    return os.listdir(directory) if os.path.isdir(directory) else []


def _gfile() -> Any:
    """TensorFlow is imported for buckets, and by who exports."""
    import tensorflow as tf

    return tf.io.gfile
