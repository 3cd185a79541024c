"""The figures of an inspection, as PNG."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING

from trainer.inspection.inspection import Inspection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def pngs(inspection: Inspection) -> dict[str, bytes]:
    """Name -> PNG: `utilisation`, `experts`, `conflicts`; those that show anything."""
    from trainer.inspection import draw_gates, draw_matrices

    found = {}
    if inspection.gates:
        found["utilisation"] = _png(draw_gates.draw(inspection))
    if any(len(level.names) > 1 for level in inspection.experts):
        found["experts"] = _png(draw_matrices.draw_experts(inspection))
    if inspection.layers:
        found["conflicts"] = _png(draw_matrices.draw_conflicts(inspection))
    return found


def _png(figure: Figure) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")
        return file.getvalue()
