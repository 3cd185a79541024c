"""Slices: which chips a training runs on, and what suits them.

`load_slice("v5litepod-8")` reads a shipped one, `load_slice("mine.yaml")` your own file
with the same keys. A file says only what differs from the slice that it is `like`:

    {like: v5litepod-8, name: mine, batch_per_core: 2048}

What follows from the topology (chips, cores, memory) is computed, not written.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Annotated, Any, Literal

from feature_specs.build import (
    Problems,
    SpecError,
    build,
    parse_yaml,
    shipped_names,
    shipped_text,
)
from feature_specs.errors import TrailrankError
from feature_specs.fields import between
from tpu_configs.chips import Chip, parse_topology

_FOLDER = pathlib.Path(__file__).parent / "slices"
_LIKE, _BATCH, _SHARE = "like", "batch_size", "batch_per_core"
_Rows = Annotated[int, between(1, 2**24)]
_MOST_CHIPS = 16_384


class SliceError(TrailrankError, ValueError):
    """A slice does not have what is asked of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceConfig:
    """One kind of machine.

    Attributes:
        name: The file's name without `.yaml`.
        accelerator: What the steps run on.
        topology: The TPU compiler's name of the slice (`v5e:2x4`); none elsewhere.
        hosts: Virtual machines that the chips hang on, each a worker of its own.
        batch_size: Rows of one step over all cores. A file may say `batch_per_core`
            instead.
        steps_per_call: Steps between two returns to Python.
        precision: Type of the dense products; tables, losses and statistics stay
            float32.
        embedding: Where the tables are: `dense` keeps them as ordinary variables, a
            copy a core; `tpu_embedding` shards them over the chips' embedding engine,
            which v2 to v4, v5p and v6e have; `partial` does so with the large ones.
        tpu_vm_type: Accelerator type of a TPU VM or queued resource.
        tpu_vm_runtime: TPU software version with TensorFlow 2.16
            (`cloud.google.com/tpu/docs/supported-tpu-versions`).
        vertex_machine: Machine type of a Vertex AI custom job; none where Vertex AI
            offers no such slice.
    """

    name: str
    accelerator: Literal["cpu", "gpu", "tpu"]
    topology: str = ""
    hosts: Annotated[int, between(1, 10_000)] = 1
    batch_size: _Rows = 512
    steps_per_call: Annotated[int, between(1, 1_000_000)] = 50
    precision: Literal["float32", "bfloat16"] = "float32"
    embedding: Literal["dense", "tpu_embedding", "partial"] = "dense"
    tpu_vm_type: str = ""
    tpu_vm_runtime: str = ""
    vertex_machine: str = ""

    @property
    def chip(self) -> Chip | None:
        """The TPU chip; None elsewhere."""
        return parse_topology(self.topology)[0] if self.topology else None

    @property
    def chips(self) -> int:
        """TPU chips; 1 elsewhere."""
        return math.prod(parse_topology(self.topology)[1]) if self.topology else 1

    @property
    def cores(self) -> int:
        """Replicas that take a step together: two a chip on v2 and v3, else one."""
        return self.chips * self.chip.cores if self.chip else 1

    @property
    def batch_per_core(self) -> int:
        """Rows of one step on one core."""
        return self.batch_size // self.cores

    @property
    def hbm_gib(self) -> float:
        """Memory that a program may use on one core, GiB; 0 where there is no TPU."""
        return self.chip.granted_gib if self.chip else 0.0

    @property
    def vertex_machine_spec(self) -> dict[str, Any]:
        """`machine_spec` of a Vertex AI custom job's worker pool.

        Raises:
            SliceError: Vertex AI offers no such machine.
        """
        if not self.vertex_machine:
            raise SliceError(
                f"Slice {self.name!r}: Vertex AI offers no such TPU for custom jobs. "
                f"Take a queued resource of type {self.tpu_vm_type or 'your choice'}, "
                f"another slice, or set vertex_machine in a slice of your own."
            )
        if self.vertex_machine == "cloud-tpu":  # the older API: cores of one device
            kind = f"TPU_{self.topology.partition(':')[0].upper()}"
            return {
                "machine_type": self.vertex_machine,
                "accelerator_type": kind,
                "accelerator_count": self.cores,
            }
        shape = self.topology.partition(":")[2]
        return {"machine_type": self.vertex_machine, "tpu_topology": shape}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _File(SliceConfig):
    """A slice as it is written: the batch may be given a core."""

    batch_per_core: _Rows | None = None  # type: ignore[assignment]


def shipped_slices() -> list[str]:
    """Names of the slices that come with the package, TPUs by size at the end."""
    return sorted(shipped_names(_FOLDER), key=_by_size)


def load_slice(name_or_path: str) -> SliceConfig:
    """The checked slice of a shipped name or of a file.

    >>> trailrank.load_slice("v5litepod-8").cores
    8

    Raises:
        SpecError: No such slice, or all mistakes in the file at once.
    """
    return read_slice(slice_text(name_or_path), name_or_path)


def slice_text(name_or_path: str) -> str:
    """The YAML text of a shipped slice or of a file; SpecError if there is none."""
    return shipped_text(_FOLDER, name_or_path, "slice")


def read_slice(text: str, source: str = "slice") -> SliceConfig:
    """The checked slice that a YAML text holds; `source` names it in errors."""
    problems = Problems(source)
    values = _with_base(parse_yaml(text, source), source)
    written = build(_File, values, "", problems)
    if _BATCH in values and _SHARE in values:
        problems.add(_SHARE, "says the same as batch_size; leave one out.")
    if written is not None:
        _check(written, problems)
    if written is None or problems.found:
        raise SpecError(source, problems.found)
    names = [f.name for f in dataclasses.fields(SliceConfig)]
    config = SliceConfig(**{name: getattr(written, name) for name in names})
    share = values.get(_SHARE)
    if share is None:
        return config
    return dataclasses.replace(config, batch_size=share * config.cores)


def _by_size(name: str) -> tuple[str, int]:
    family, _, size = name.rpartition("-")
    return (family, int(size)) if family and size.isdigit() else ("", 0)


def _with_base(values: dict[str, Any], source: str) -> dict[str, Any]:
    """`values` over those of the shipped slice that they are `like`."""
    if _LIKE not in values:
        return values
    own = {key: value for key, value in values.items() if key != _LIKE}
    name = values[_LIKE]
    if name not in shipped_names(_FOLDER) or name == own.get("name"):
        known = ", ".join(shipped_slices())
        raise SpecError(
            source, [f"like: must be another shipped slice: {known}. Got {name!r}."]
        )
    base = _with_base(parse_yaml(slice_text(name), name), name)
    dropped = {_BATCH, _SHARE} if {_BATCH, _SHARE} & own.keys() else set()
    return {k: v for k, v in base.items() if k not in dropped} | own


def _check(config: _File, problems: Problems) -> None:
    if config.accelerator == "tpu":
        _check_tpu(config, problems)
    else:
        _check_elsewhere(config, problems)


def _check_elsewhere(config: _File, problems: Problems) -> None:
    """What only a TPU has."""
    for key in ("topology", "tpu_vm_type", "tpu_vm_runtime"):
        if getattr(config, key):
            problems.add(key, "is a TPU's; leave it out.", getattr(config, key))
    if config.embedding != "dense":
        problems.add("embedding", "must be dense without a TPU.", config.embedding)
    if config.batch_per_core is not None:
        problems.add(_SHARE, "is a TPU's; write batch_size.", config.batch_per_core)


def _check_tpu(config: _File, problems: Problems) -> None:
    if not config.topology:
        problems.add("topology", "is required for a TPU, like v5e:2x4; add it.")
        return
    try:
        chip, sides = parse_topology(config.topology)
    except ValueError as error:
        problems.add("topology", str(error), config.topology)
        return
    chips = math.prod(sides)
    if chips > _MOST_CHIPS:
        rule = f"has more than {_MOST_CHIPS:,} chips, which no slice has."
        problems.add("topology", rule, config.topology)
        return
    if config.hosts >= 1 and chips % config.hosts:
        rule = f"must divide the {chips} chips, the same number on each."
        problems.add("hosts", rule, config.hosts)
    cores = chips * chip.cores
    if config.batch_per_core is None and config.batch_size % cores:
        rule = f"must be a multiple of the {cores} cores, one share each."
        problems.add(_BATCH, rule, config.batch_size)
    if config.embedding != "dense" and not chip.embedding_engine:
        rule = f"must be dense: {chip.name} has no embedding engine."
        problems.add("embedding", rule, config.embedding)
