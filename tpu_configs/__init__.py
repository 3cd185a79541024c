"""What differs per machine: one YAML a slice type, read by `load_slice`.

Nothing here imports TensorFlow or any room but the readers of `feature_specs`.
"""

from tpu_configs.slices import (
    SliceConfig,
    load_slice,
    read_slice,
    shipped_slices,
    slice_text,
)

__all__ = ["SliceConfig", "load_slice", "read_slice", "shipped_slices", "slice_text"]
