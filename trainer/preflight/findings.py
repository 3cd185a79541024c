"""What a preflight finds: plain values, for tables and JSON."""

from __future__ import annotations

import dataclasses

from tpu_configs import SliceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a program does not run on the slice.

    Attributes:
        reason: What is wrong, in one line.
        where: Ops, layers and lines, or tables.
        remedy: What to do instead.
    """

    reason: str
    where: tuple[str, ...]
    remedy: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """Something large in a core's memory.

    Attributes:
        name: Of the variable, or of the op that made it.
        shape: Its axes.
        dtype: Its type.
        bytes: Without the padding of the chip's layout.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """One program in one precision; numbers are those of one core.

    Attributes:
        program: `train` or `rank`.
        precision: Type of the dense products.
        cores: Cores that run it together.
        rows: Rows of one call, on all of them.
        refusal: Why it does not compile or fit; None if it does.
        hbm_used: Bytes at the peak; None if unknown.
        hbm_available: Bytes that a program may use.
        flops: Operations of one call.
        bytes_accessed: Of memory, on-chip memory included.
        step_s: The compiler's estimate of one call's seconds.
        bound: `compute` or `memory`.
        examples_s: Rows a second on all cores, from `step_s`.
        collectives: Kind -> number of exchanges between cores.
        temporaries: Largest results beside the variables.
        dynamic: Ops with a result whose size is known at run time only.
        compile_s: Seconds that the TPU compiler took.
    """

    program: str
    precision: str
    cores: int
    rows: int
    refusal: Refusal | None = None
    hbm_used: float | None = None
    hbm_available: float
    flops: float | None = None
    bytes_accessed: float | None = None
    step_s: float | None = None
    bound: str = ""
    examples_s: float | None = None
    collectives: dict[str, int] = dataclasses.field(default_factory=dict)
    temporaries: tuple[Tensor, ...] = ()
    dynamic: tuple[str, ...] = ()
    compile_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it compiles and fits."""
        return self.refusal is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What `trailrank preflight` found.

    Attributes:
        slice: The machine.
        spec: Name of the spec.
        preset: Name of the preset.
        programs: Those of the slice's own precision first.
        variables: The largest of a training core.
        variable_bytes: Of all variables of a training core.
        stand_ins: Rows lowered -> rows compiled, where tables were too large here.
        versions: Of TensorFlow, JAX and its compiler.
    """

    slice: SliceConfig
    spec: str
    preset: str
    programs: tuple[Checked, ...]
    variables: tuple[Tensor, ...]
    variable_bytes: int
    stand_ins: dict[int, int]
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether all of the slice's own precision compiles and fits."""
        own = (p for p in self.programs if p.precision == self.slice.precision)
        return all(program.ok for program in own)
