"""Which presets are trained: each existing sparse task as if it were the new one."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from feature_specs import ModelConfig, Spec, SpecError
from feature_specs.build import closest
from feature_specs.preset import (
    check_preset,
    separate_tasks,
    weighted,
    with_loss_weights,
)
from feature_specs.preset_kinds import WEIGHTS_KINDS
from pipeline.compare.variants import vary
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.options import GRID, LEAST, RIVALS, WeightOptions

_LEAST_EXISTING = 2  # of one task G could not learn what differs between tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Who plays the new task, and the presets of all trainings.

    Attributes:
        new_task: The task whose weight is selected.
        roles: The existing sparse tasks that play it.
        config: The preset as given.
        trained: Task that plays the new one -> weight -> name and preset. The new task
            itself has one, with weight 1.
        grid: Weight of the new task -> name and preset, of the candidates.
        rivals: `uniform`, `uncertainty` or `gradnorm` -> name and preset, those asked
            for.
    """

    new_task: str
    roles: tuple[str, ...]
    config: ModelConfig
    trained: dict[str, dict[float, tuple[str, ModelConfig]]]
    grid: dict[float, tuple[str, ModelConfig]]
    rivals: dict[str, tuple[str, ModelConfig]]

    def others(self, role: str, spec: Spec) -> tuple[str, ...]:
        """T_exist beside a task that plays the new one: what is trained with it."""
        weights = {t.name: t.loss_weight for t in weighted(spec, self.config).tasks}
        apart = {role, self.new_task}
        return tuple(n for n, w in weights.items() if n not in apart and w > 0)

    @property
    def asked(self) -> dict[str, ModelConfig]:
        """Name -> preset, of every training."""
        own = [
            pair for by_weight in self.trained.values() for pair in by_weight.values()
        ]
        return dict([*own, *self.grid.values(), *self.rivals.values()])


def make_plan(
    spec: Spec, name: str, config: ModelConfig, new_task: str, options: WeightOptions
) -> Plan:
    """The plan of a selection, checked before anything is trained.

    A sparse task is what `separate: [sparse]` takes for one: a task with `sparse: true`
    in the spec. Here it must be binary too.

    Args:
        spec: Of the examples.
        name: Of the preset.
        config: The preset.
        new_task: The task whose weight is selected.
        options: See `WeightOptions`.

    Raises:
        WeightSelectionError: Tasks or a preset for which nothing can be selected.
    """
    _check_names(spec, new_task, options)
    _check_config(spec, name, config, new_task)
    roles = _roles(spec, config, new_task, options.existing)
    without = with_loss_weights(config, {new_task: 0.0})
    weights = options.trained_weights
    trained = {role: _varied(name, without, role, weights) for role in roles}
    trained[new_task] = _varied(name, config, new_task, (LEAST,))
    return Plan(
        new_task=new_task,
        roles=roles,
        config=config,
        trained=trained,
        grid=_varied(name, config, new_task, options.ordered_candidates),
        rivals={
            kind: (f"{name} {kind}", _learned(config, new_task, kind))
            for kind in RIVALS
            if kind in options.rivals and kind != GRID
        },
    )


def _varied(
    name: str, config: ModelConfig, task: str, weights: Sequence[float]
) -> dict[float, tuple[str, ModelConfig]]:
    key = f"loss_weights.{task}"
    configs, _ = vary({name: config}, {key: list(weights)}, None)
    return dict(zip(weights, configs.items(), strict=True))


def _learned(config: ModelConfig, task: str, kind: str) -> ModelConfig:
    """Weights of another kind; the new task's own factor is 1."""
    weights = dataclasses.replace(config.weights, kind=kind)
    return dataclasses.replace(
        with_loss_weights(config, {task: LEAST}), weights=weights
    )


def _roles(
    spec: Spec, config: ModelConfig, new_task: str, wanted: Collection[str]
) -> tuple[str, ...]:
    """The existing sparse tasks that are trained with the others."""
    trained = {t.name for t in weighted(spec, config).tasks if t.loss_weight > 0}
    able = trained - set(separate_tasks(config, spec)) - {new_task}
    found = tuple(name for name in _sparse(spec) if name in able)
    for name in wanted:
        if name not in found:
            raise WeightSelectionError(
                f"--existing {name!r}: must be of {', '.join(found) or 'no task'}: "
                "binary tasks that the spec calls sparse and that the preset trains "
                "with the others, and not the new one."
            )
    roles = tuple(name for name in found if name in wanted) if wanted else found
    if len(roles) < _LEAST_EXISTING:
        raise WeightSelectionError(
            f"Spec {spec.name!r}: must have {_LEAST_EXISTING} sparse tasks at least "
            f"beside {new_task!r}, from which to learn what a weight does. Got "
            f"{', '.join(roles) or 'none'}. Say `sparse: true` of binary tasks with a "
            "label mean below about 0.01, or choose by `trailrank compare --vary "
            f'"loss_weights.{new_task}=[1, 10, 100]"`.'
        )
    return roles


def _sparse(spec: Spec) -> list[str]:
    return [t.name for t in spec.tasks if t.sparse and t.of_kind.is_probability]


def _check_names(spec: Spec, new_task: str, options: WeightOptions) -> None:
    names = [task.name for task in spec.tasks]
    flags = [("new_task", [new_task]), ("existing", options.existing)]
    for flag, given in [*flags, ("importance", options.importance)]:
        for name in given:
            if name not in names:
                raise WeightSelectionError(
                    f"--{flag} {name!r}: must be a task of spec {spec.name!r}."
                    f"{closest(name, names)}"
                )
    if new_task not in _sparse(spec):
        raise WeightSelectionError(
            f"--new_task {new_task!r}: must be a sparse binary task. Spec "
            f"{spec.name!r} calls sparse: {', '.join(_sparse(spec)) or 'none'}. Say "
            "`sparse: true` of it where it is one."
        )


def _check_config(spec: Spec, name: str, config: ModelConfig, new_task: str) -> None:
    try:
        check_preset(config, spec)
    except SpecError as error:
        raise WeightSelectionError(f"--preset {name}: {error}") from None
    apart = config.structure.of_kind.apart
    if apart or new_task in separate_tasks(config, spec):
        raise WeightSelectionError(
            f"--preset {name}: must train {new_task!r} with the other tasks, or its "
            "weight changes nothing for them. It has a network of its own; take it out "
            "of `separate`, or take a structure that shares."
        )
    weights = WEIGHTS_KINDS[config.weights.kind]
    if weights.learns or weights.bends or not weights.reads:
        raise WeightSelectionError(
            f"--preset {name}: must have fixed weights. Got weights.kind "
            f"{weights.name}, under which a loss weight means something else. Leave it "
            f"out; of such kinds --rivals {' '.join(RIVALS[:-1])} compare."
        )
