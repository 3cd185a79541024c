"""Looking inside a trained ranker: experts, gates, and tasks that pull apart."""

from trainer.inspection.inspection import (
    ExpertUse,
    GateUse,
    Inspection,
    LayerGradients,
)
from trainer.inspection.look import DAILY, FINAL, Inspector, SampleSize

__all__ = [
    "DAILY",
    "FINAL",
    "ExpertUse",
    "GateUse",
    "Inspection",
    "Inspector",
    "LayerGradients",
    "SampleSize",
]
