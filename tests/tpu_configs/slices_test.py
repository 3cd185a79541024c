"""Slices are read with every mistake named; the shipped ones are whole."""

import dataclasses
import sys

import pytest

from feature_specs import SpecError
from tpu_configs import load_slice, read_slice, shipped_slices

# Topology, chips, cores, hosts: from the TPU documentation's tables of each version.
SHIPPED = {
    "v2-8": ("v2:2x2", 4, 8, 1),
    "v3-8": ("v3:2x2", 4, 8, 1),
    "v4-8": ("v4:2x2x1", 4, 4, 1),
    "v5litepod-1": ("v5e:1x1", 1, 1, 1),
    "v5litepod-4": ("v5e:2x2", 4, 4, 1),
    "v5litepod-8": ("v5e:2x4", 8, 8, 1),
    "v5litepod-16": ("v5e:4x4", 16, 16, 4),
    "v5litepod-64": ("v5e:8x8", 64, 64, 16),
    "v5p-8": ("v5p:2x2x1", 4, 4, 1),
    "v6e-1": ("v6e:1x1", 1, 1, 1),
    "v6e-4": ("v6e:2x2", 4, 4, 1),
    "v6e-8": ("v6e:2x4", 8, 8, 1),
    "v6e-16": ("v6e:4x4", 16, 16, 4),
}


def test_shipped_slices_load_under_their_own_name():
    assert shipped_slices() == ["cpu", "gpu", *SHIPPED]
    assert [load_slice(name).name for name in shipped_slices()] == shipped_slices()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_slice_is_what_the_documentation_says(name):
    config = load_slice(name)
    found = (config.topology, config.chips, config.cores, config.hosts)
    assert found == SHIPPED[name]
    assert config.tpu_vm_type == name
    assert ("-pod-" in config.tpu_vm_runtime) == (config.hosts > 1)


def test_memory_is_that_of_one_core():
    # v2 and v3: 16 and 32 GiB a chip, for two cores; what the compiler grants is less.
    assert [load_slice(n).hbm_gib for n in ("v2-8", "v3-8")] == [7.48, 15.48]
    assert load_slice("v5litepod-8").hbm_gib == 15.75
    assert load_slice("cpu").hbm_gib == 0


def test_batch_is_given_a_core():
    config = load_slice("v5litepod-16")
    assert (config.batch_per_core, config.batch_size) == (1024, 16 * 1024)
    assert dataclasses.replace(config, batch_size=32).batch_per_core == 2


def test_own_slice_says_what_differs():
    config = read_slice("{like: v5litepod-16, name: mine, batch_per_core: 8}")
    assert (config.name, config.batch_size) == ("mine", 128)
    assert config.tpu_vm_type == "v5litepod-16" and config.hosts == 4
    # A batch of either kind takes the other's place.
    assert read_slice("{like: v5litepod-8, name: x, batch_size: 16}").batch_size == 16


def test_vertex_machine():
    machine = {"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "4x4"}
    assert load_slice("v5litepod-16").vertex_machine_spec == machine
    assert load_slice("v3-8").vertex_machine_spec == {
        "machine_type": "cloud-tpu",
        "accelerator_type": "TPU_V3",
        "accelerator_count": 8,
    }
    with pytest.raises(ValueError, match="'v4-8': Vertex AI offers no such TPU"):
        _ = load_slice("v4-8").vertex_machine_spec


def test_all_mistakes_are_named_at_once():
    text = "{name: x, accelerator: cpu, batch_size: 0, precision: int8, chip: 2}"
    with pytest.raises(SpecError) as caught:
        read_slice(text)
    message = str(caught.value)
    assert "precision: must be one of float32, bfloat16. Got 'int8'." in message
    assert "chip: is no key here." in message


TPU = "name: x, accelerator: tpu, topology: 'v5e:2x2'"


@pytest.mark.parametrize(
    "text, message",
    [
        (f"{{{TPU}, batch_size: 6}}", "batch_size: must be a multiple of the 4 cores"),
        (f"{{{TPU}, batch_per_core: 0}}", "batch_per_core: must be from 1 to"),
        (f"{{{TPU}, batch_size: 8, batch_per_core: 2}}", "says the same as batch_size"),
        (f"{{{TPU}, hosts: 3}}", "hosts: must divide the 4 chips"),
        (f"{{{TPU}, embedding: partial}}", "v5e has no embedding engine"),
        ("{name: x, accelerator: tpu}", "topology: is required for a TPU"),
        ("{name: x, accelerator: tpu, topology: '4x4'}", "must begin with one of v2,"),
        ("{name: x, accelerator: tpu, topology: 'v4:2x2'}", "must be v4:AxBxC"),
        ("{name: x, accelerator: tpu, topology: 'v5e:0x4'}", "must be v5e:AxB,"),
        ("{name: x, accelerator: cpu, topology: 'v5e:2x2'}", "is a TPU's; leave it"),
        ("{name: x, accelerator: cpu, batch_per_core: 2}", "write batch_size"),
        ("{name: x, accelerator: gpu, embedding: partial}", "must be dense without"),
        ("{like: v5, name: x}", "like: must be another shipped slice: cpu, gpu, v2-8"),
        ("{like: cpu, name: cpu}", "like: must be another shipped slice"),
    ],
)
def test_mistake_is_named(text, message):
    with pytest.raises(SpecError, match=message):
        read_slice(text)


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
