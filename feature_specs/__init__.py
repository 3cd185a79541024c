"""What a data set looks like: the only list of columns, features and tasks.

`load_spec("kuairand")` or `load_spec("path/to/mine.yaml")` reads and checks a spec;
`load_preset("mmoe")` does the same for a ranker's shape. Nothing here imports
TensorFlow, Beam or any other room.
"""

from feature_specs.build import SpecError
from feature_specs.errors import TrailrankError
from feature_specs.model import ModelConfig
from feature_specs.preset import load_preset, read_preset
from feature_specs.reader import load_spec, read_spec, shipped_specs
from feature_specs.spec import (
    FeatureSpec,
    Spec,
    TableSpec,
    TaskSpec,
    label_key,
    mask_key,
)

__all__ = [
    "FeatureSpec",
    "ModelConfig",
    "Spec",
    "SpecError",
    "TableSpec",
    "TaskSpec",
    "TrailrankError",
    "label_key",
    "load_preset",
    "load_spec",
    "mask_key",
    "read_preset",
    "read_spec",
    "shipped_specs",
]
