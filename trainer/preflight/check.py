"""Lowers and compiles a ranker for a slice, and says what came of it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from feature_specs import ModelConfig, Spec
from tpu_configs import SliceConfig
from trainer.errors import TrainingError
from trainer.preflight import compiler, programs
from trainer.preflight.findings import Checked, Report, Tensor
from trainer.preflight.judge import judge, tensors, unlowered
from trainer.preflight.lowering import Lowered, Refused, lower, untraceable
from trainer.preflight.stand_ins import StandIns, stand_in

_LARGEST = 10  # variables that are named


def check(
    spec: Spec,
    config: ModelConfig,
    slice: SliceConfig,
    *,
    python: pathlib.Path,
    preset: str = "",
    candidates: int = 500,
    both_precisions: bool = True,
    told: Callable[[str], None] = lambda text: None,
) -> Report:
    """Compiles the training step and `rank` for the slice.

    Args:
        spec: Features, tables and tasks.
        config: The ranker.
        slice: A TPU; its precision comes first.
        python: Of the compiler's environment (`environment.find_or_make`).
        preset: The ranker's name.
        candidates: Of `rank`, which runs on one core.
        both_precisions: Whether the step is compiled in the other precision too.
        told: Called with what is being done.

    Raises:
        ValueError: The slice is no TPU.
        PreflightError: The compiler's process failed.
    """
    if slice.chip is None:
        raise TrainingError(
            f"Slice {slice.name!r}: must be a TPU's. Got accelerator "
            f"{slice.accelerator}. Take one like v5litepod-8."
        )
    asked = _Asked(slice, stand_in(spec, config), candidates)
    lowered = asked.lower_all(both_precisions, told)
    found = asked.compile_all(lowered, python, told)
    variables = asked.variables(lowered)
    return Report(
        slice=slice,
        spec=spec.name,
        preset=preset,
        programs=tuple(
            asked.judge(key, program, found["programs"].get(key, {}))
            for key, program in lowered.items()
        ),
        variables=tuple(variables[:_LARGEST]),
        variable_bytes=sum(v.bytes for v in variables),
        stand_ins=asked.small.resize,
        versions={"tensorflow": tf.__version__, **found["versions"]},
    )


class _Asked:
    """The programs of one ranker on one slice; their keys are `train bfloat16` etc."""

    def __init__(self, slice: SliceConfig, small: StandIns, candidates: int):
        self.small = small
        self._slice, self._candidates = slice, candidates

    def lower_all(
        self, both: bool, told: Callable[[str], None]
    ) -> dict[str, Lowered | Refused]:
        """Key -> the lowered program, or why there is none."""
        own = self._slice.precision
        found = {}
        for precision in [own, *({"float32", "bfloat16"} - {own} if both else [])]:
            told(f"building and lowering in {precision}")
            names = ["train", "rank"] if precision == own else ["train"]
            for name, program in self._lower(precision, names).items():
                found[f"{name} {precision}"] = program
        return found

    def _lower(self, precision: str, names: list[str]) -> dict[str, Lowered | Refused]:
        small, found = self.small, {}
        try:
            model = programs.build(small.spec, small.config, self._slice, precision)
        except Exception as error:
            return {name: untraceable(name, error) for name in names}
        makers = {
            "train": lambda: programs.training_step(model, self._slice.batch_size),
            "rank": lambda: programs.rank(model, self._candidates),
        }
        for name in names:
            found[name] = _lower_or_refused(makers[name]())
        return found

    def compile_all(
        self,
        lowered: dict[str, Lowered | Refused],
        python: pathlib.Path,
        told: Callable[[str], None],
    ) -> dict[str, Any]:
        """The compiler's results of those that could be lowered."""
        tasks = [
            compiler.Task(key, program, self._cores(key), self.small.resize)
            for key, program in lowered.items()
            if isinstance(program, Lowered)
        ]
        if not tasks:
            return {"programs": {}, "versions": {}}
        told(f"compiling for {self._slice.topology}")
        return compiler.compile_all(
            python, self._slice, tasks, lambda key: told(f"compiled {key}")
        )

    def _cores(self, key: str) -> int:
        """`rank` answers one request, on one core."""
        return self._slice.cores if key.startswith("train") else 1

    def variables(self, lowered: dict[str, Lowered | Refused]) -> list[Tensor]:
        """A training core's, largest first."""
        train = next(iter(lowered.values()))
        return self._variables(train) if isinstance(train, Lowered) else []

    def _variables(self, lowered: Lowered) -> list[Tensor]:
        return tensors(lowered.arguments, self.small.resize)

    def judge(
        self, key: str, lowered: Lowered | Refused, result: dict[str, Any]
    ) -> Checked:
        """What is to be said of one program."""
        name, precision = key.split()
        chip = self._slice.chip
        assert chip is not None
        base = Checked(
            program=name,
            precision=precision,
            cores=self._cores(key),
            rows=self._slice.batch_size if name == "train" else self._candidates,
            hbm_available=chip.granted_gib * 2**30,
        )
        if isinstance(lowered, Refused):
            return unlowered(base, lowered)
        return judge(base, lowered, result, chip, self._variables(lowered))


def _lower_or_refused(program: programs.Program) -> Lowered | Refused:
    try:
        return lower(program)
    except Refused as refused:
        return refused
