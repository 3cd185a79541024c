"""Chips: what is the same in every slice of one TPU generation.

Sources, below `cloud.google.com/tpu/docs/`, read in 2026: `v2`, `v3`, `v4`, `v5e`,
`v5p`, `v6e` for cores, memory, bandwidth and peak; `supported-tpu-versions` for the
embedding engine. `granted_gib` is what the TPU compiler (libtpu 0.0.52) names as
available when a program asks for more: some of the memory is its own.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """One TPU chip.

    Attributes:
        name: As in the compiler's topology names.
        cores: Cores that each run a replica of their own. v4 and v5p have two that
            work as one (megacore).
        hbm_gib: Memory of the chip, GiB.
        granted_gib: Memory that a program may use on one core, GiB.
        bandwidth_gb_s: Memory bandwidth of the chip, 1e9 bytes a second.
        peak_tflops: Peak of the chip in bfloat16, 1e12 operations a second.
        dimensions: Numbers in a topology: 2 (`2x4`) or 3 (`2x2x1`).
        embedding_engine: Whether TensorFlow's TPU embedding runs on it.
        chip_config: The compiler's name of how the cores are used, if not its default.
    """

    name: str
    cores: int
    hbm_gib: float
    granted_gib: float
    bandwidth_gb_s: float
    peak_tflops: float
    dimensions: int
    embedding_engine: bool
    chip_config: str = ""

    @property
    def core_bandwidth(self) -> float:
        """Bytes a second of one core."""
        return self.bandwidth_gb_s * 1e9 / self.cores

    @property
    def core_peak(self) -> float:
        """Operations a second of one core, bfloat16."""
        return self.peak_tflops * 1e12 / self.cores


_ALL = (
    Chip(
        name="v2",
        cores=2,
        hbm_gib=16,
        granted_gib=7.48,
        bandwidth_gb_s=700,
        peak_tflops=46,
        dimensions=2,
        embedding_engine=True,
    ),
    Chip(
        name="v3",
        cores=2,
        hbm_gib=32,
        granted_gib=15.48,
        bandwidth_gb_s=900,
        peak_tflops=123,
        dimensions=2,
        embedding_engine=True,
    ),
    Chip(
        name="v4",
        cores=1,
        hbm_gib=32,
        granted_gib=30.75,
        bandwidth_gb_s=1200,
        peak_tflops=275,
        dimensions=3,
        embedding_engine=True,
        chip_config="megacore",
    ),
    Chip(
        name="v5e",
        cores=1,
        hbm_gib=16,
        granted_gib=15.75,
        bandwidth_gb_s=819,
        peak_tflops=197,
        dimensions=2,
        embedding_engine=False,
    ),
    Chip(
        name="v5p",
        cores=1,
        hbm_gib=95,
        granted_gib=95.73,
        bandwidth_gb_s=2765,
        peak_tflops=459,
        dimensions=3,
        embedding_engine=True,
    ),
    Chip(
        name="v6e",
        cores=1,
        hbm_gib=32,
        granted_gib=31.24,
        bandwidth_gb_s=1638,
        peak_tflops=918,
        dimensions=2,
        embedding_engine=True,
    ),
)

CHIPS = {chip.name: chip for chip in _ALL}


def parse_topology(topology: str) -> tuple[Chip, tuple[int, ...]]:
    """The compiler's name of a slice -> chip and chips along each axis.

    `v5e:2x4` gives v5e and (2, 4). A single v5e or v6e chip is `v5e:1x1`.

    Raises:
        ValueError: It is no such name; the message is the rule that it breaks.
    """
    name, _, shape = topology.partition(":")
    chip = CHIPS.get(name)
    if chip is None:
        raise ValueError(f"must begin with one of {', '.join(CHIPS)}, like v5e:2x4.")
    sides = shape.split("x")
    numbers = tuple(int(s) for s in sides if s.isascii() and s.isdigit())
    if len(numbers) != len(sides) or len(sides) != chip.dimensions or 0 in numbers:
        form = "x".join("ABC"[: chip.dimensions])
        raise ValueError(f"must be {name}:{form}, numbers of chips along each axis.")
    return chip, numbers
