"""Slices are read with every mistake named; the shipped ones are whole."""

import sys

import pytest

from feature_specs import SpecError
from tpu_configs import load_slice, read_slice, shipped_slices


def test_shipped_slices_load_under_their_own_name():
    assert shipped_slices() == ["cpu", "gpu", "v5litepod-1", "v5litepod-8"]
    assert [load_slice(name).name for name in shipped_slices()] == shipped_slices()


def test_eight_chips_share_the_batch():
    config = load_slice("v5litepod-8")
    assert (config.accelerator, config.topology, config.chips) == ("tpu", "v5e:2x4", 8)
    assert config.batch_size / config.chips == 1024


def test_all_mistakes_are_named_at_once():
    text = "{name: x, accelerator: cpu, batch_size: 0, precision: int8, chip: 2}"
    with pytest.raises(SpecError) as caught:
        read_slice(text)
    message = str(caught.value)
    assert "precision: must be one of float32, bfloat16. Got 'int8'." in message
    assert "chip: is no key here. Did you mean 'chips'?" in message


def test_batch_must_split_over_the_chips():
    text = "{name: x, accelerator: tpu, topology: 'v5e:2x2', chips: 4, batch_size: 6}"
    with pytest.raises(
        SpecError, match="batch_size: must be a multiple of the 4 chips"
    ):
        read_slice(text)


def test_tpu_needs_a_topology():
    with pytest.raises(SpecError, match="topology: is required for a TPU"):
        read_slice("{name: x, accelerator: tpu}")


def test_unknown_name_lists_the_shipped_ones():
    with pytest.raises(SpecError, match="Did you mean 'v5litepod-8'"):
        load_slice("v5litepod-9")


def test_own_file_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{name: mine, accelerator: cpu, batch_size: 64}")
    assert load_slice(str(path)).batch_size == 64


def test_reading_needs_no_tensorflow():
    module = sys.modules["tpu_configs.slices"]
    assert not hasattr(module, "tf") and not hasattr(module, "tensorflow")
