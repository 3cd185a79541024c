"""An `Inspection` -> JSON, TensorBoard summaries and figures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from pipeline.reporting.figures import is_possible
from pipeline.reporting.files import plain, to_json
from trainer.inspection import plot
from trainer.inspection.inspection import ExpertUse, GateUse, Inspection
from trainer.inspection.sums import OUTPUTS

JSON_FILE = "inspection.json"
_FIGURES = 6  # significant ones in the JSON


def write(inspection: Inspection, directory: str) -> dict[str, bytes]:
    """Writes `inspection.json` and, with matplotlib, the figures.

    Args:
        inspection: What was seen.
        directory: Made if it is not there; may lie in a bucket.

    Returns:
        Name -> PNG of each figure; none without matplotlib.
    """
    tf.io.gfile.makedirs(directory)
    text = to_json(summary(inspection), indent=None)
    _write(os.path.join(directory, JSON_FILE), text)
    if not is_possible():
        logging.info("No figures: matplotlib is not installed (the extra `report`).")
        return {}
    figures = plot.pngs(inspection)
    for name, png in figures.items():
        _write(os.path.join(directory, f"{name}.png"), png)
    return figures


def summary(inspection: Inspection) -> dict[str, Any]:
    """Everything, as plain JSON values; what is not known is null."""
    found: dict[str, Any] = plain(
        {
            "method": method(inspection),
            "step": inspection.step,
            "rows": inspection.rows,
            "gradient_rows": inspection.gradient_rows,
            "tasks": inspection.tasks,
            "notes": inspection.notes,
            "gates": [_gate(use) for use in inspection.gates],
            "experts": [_experts(use) for use in inspection.experts],
            "layers": [
                {
                    "name": layer.name,
                    "norms": layer.norms,
                    "cosines": layer.cosines,
                    "conflict_share": layer.conflict_share,
                }
                for layer in inspection.layers
            ],
        },
        _FIGURES,
    )
    return found


def method(inspection: Inspection) -> str:
    """How the figures were made, in one paragraph."""
    return (
        f"After {inspection.step} steps. Gates and experts: over {inspection.rows} "
        "rows, without dropout; those of a node for some partitions over their rows. "
        "entropy: mean over rows, in nats; entropy_share: over the log of the number "
        "of experts. correlation: root mean square of Pearson's over all pairs of "
        f"outputs of two experts (the first {OUTPUTS} of each) that are not constant; "
        "chance alone gives about 1 / sqrt(rows). "
        "largest_weight: of all gates, in even shares. Gradients: of each task's loss "
        f"times its weight, means over batches with {inspection.gradient_rows} rows in "
        "all, at weights that two tasks or more move, embedding tables and towers left "
        "out. conflict_share: pairs of tasks with a cosine below 0."
    )


def scalars(inspection: Inspection) -> dict[str, float]:
    """Tag -> value for TensorBoard."""
    found: dict[str, float] = {}
    for use in inspection.gates:
        found.update(_gate_scalars(use))
    for level in inspection.experts:
        place = _place(level)
        found[f"expert_correlation/{place}"] = level.overlap
        found[f"constant_experts/{place}"] = len(level.constant)
        found[f"hardly_used_experts/{place}"] = len(level.unused)
    for layer in inspection.layers:
        name = _tag(layer.name)
        found[f"gradient_conflicts/{name}"] = layer.conflict_share
        for task, norm in zip(inspection.tasks, layer.norms, strict=True):
            found[f"gradient_norm/{name}/{task}"] = float(norm)
    return {tag: value for tag, value in found.items() if math.isfinite(value)}


def summarise(writer: tf.summary.SummaryWriter, inspection: Inspection) -> None:
    """Writes the scalars at the inspection's step."""
    with writer.as_default(inspection.step):
        for tag, value in scalars(inspection).items():
            tf.summary.scalar(tag, value)
    writer.flush()


def summarise_figures(
    writer: tf.summary.SummaryWriter, figures: dict[str, bytes], step: int
) -> None:
    """Writes figures as images."""
    with writer.as_default(step):
        for name, png in figures.items():
            tf.summary.image(f"inspection/{name}", tf.io.decode_png(png, 3)[tf.newaxis])
    writer.flush()


def _gate(use: GateUse) -> dict[str, Any]:
    return {
        "node": use.node,
        "level": use.level,
        "readers": use.readers,
        "experts": use.experts,
        "rows": use.rows,
        "mean": use.mean,
        "sd": use.sd,
        "entropy": use.entropy,
        "entropy_share": use.entropy_share,
    }


def _experts(use: ExpertUse) -> dict[str, Any]:
    return {
        "node": use.node,
        "level": use.level,
        "names": use.names,
        "mean_correlation": use.overlap,
        "correlation": use.correlation,
        "moving": use.moving,
        "largest_weight": use.largest_weight,
        "constant": use.constant,
        "hardly_used": use.unused,
    }


def _gate_scalars(use: GateUse) -> Iterator[tuple[str, float]]:
    place = _place(use)
    rows = zip(use.readers, use.experts, use.mean, use.entropy_share, strict=True)
    for reader, experts, mean, entropy in rows:
        name = f"{place}/{_tag(reader)}"
        yield f"gate_entropy_share/{name}", float(entropy)
        for expert, weight in zip(experts, mean, strict=True):
            yield f"gate_weight/{name}/{_tag(expert)}", float(weight)


def _place(use: GateUse | ExpertUse) -> str:
    return "/".join(part for part in (use.node, f"level_{use.level}") if part)


def _tag(name: str) -> str:
    return name.replace(" ", "_")


def _write(path: str, content: bytes) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)
