"""The figures of an inspection, as PNG."""

from __future__ import annotations

from pipeline.reporting.figures import png
from trainer.inspection.inspection import Inspection


def pngs(inspection: Inspection) -> dict[str, bytes]:
    """Name -> PNG: `utilisation`, `experts`, `conflicts`; those that show anything."""
    from trainer.inspection import draw_gates, draw_matrices

    found = {}
    if inspection.gates:
        found["utilisation"] = png(draw_gates.draw(inspection), is_tight=True)
    if any(len(level.names) > 1 for level in inspection.experts):
        found["experts"] = png(draw_matrices.draw_experts(inspection), is_tight=True)
    if inspection.layers:
        found["conflicts"] = png(
            draw_matrices.draw_conflicts(inspection), is_tight=True
        )
    return found
