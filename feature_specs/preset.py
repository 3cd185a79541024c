"""Presets: the ranker's shape in a few lines of YAML, read and checked.

`load_preset("mmoe")` reads a shipped one, `load_preset("mine.yaml")` your own file with
the keys of `model.ModelConfig`. What a preset says about a spec (its tasks, features
and facets) is checked where both meet, by `check_preset`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping

from feature_specs.build import (
    Problems,
    SpecError,
    build,
    closest,
    parse_yaml,
    shipped_names,
    shipped_text,
)
from feature_specs.ceilings import check_weights
from feature_specs.imbalance import ImbalanceConfig, check_imbalance, check_pairs
from feature_specs.model import (
    TASK_FACET,
    ModelConfig,
    SwitcherConfig,
    WeightsConfig,
)
from feature_specs.plugins import load_plugins
from feature_specs.preset_kinds import WEIGHTS_KINDS
from feature_specs.spec import Spec

SPARSE = "sparse"  # in `separate`: all tasks that the spec calls so
_LEAST_LAMBDA = 0.0005  # of the disentangle loss; SFV table 2 begins at 0.001
_PRESETS = pathlib.Path(__file__).parent / "presets"


def shipped_presets() -> list[str]:
    """Names of the presets that come with the package."""
    return shipped_names(_PRESETS)


def load_preset(name_or_path: str) -> ModelConfig:
    """The checked preset of a shipped name or of a file.

    >>> preset = trailrank.load_preset("mmoe")
    >>> preset.switcher.kind
    'mmoe'

    Raises:
        SpecError: No such preset, or all mistakes in the file at once.
    """
    return read_preset(preset_text(name_or_path), name_or_path)


def preset_text(name_or_path: str) -> str:
    """The YAML text of a shipped preset or of a file; SpecError if there is none."""
    return shipped_text(_PRESETS, name_or_path, "preset")


def read_preset(text: str, source: str = "preset") -> ModelConfig:
    """The checked preset that a YAML text holds; `source` names it in errors."""
    load_plugins()
    problems = Problems(source)
    config = build(ModelConfig, parse_yaml(text, source), "", problems)
    if config is not None:
        if config.unified.buckets == 1:
            problems.add("unified.buckets", "must be 0 (off) or 2 at least.", 1)
        _check_lambda(config.disentangle, problems)
        _check_structure(config, problems)
        check_weights(config, problems)
        _check_surgery(config.weights, problems)
        for path, switcher in _switchers(config):
            _check_switcher(path, switcher, problems)
    if config is None or problems.found:
        raise SpecError(source, problems.found)
    return config


# --- a preset by itself: what its keys say together -----------------------------------


def _switchers(config: ModelConfig) -> list[tuple[str, SwitcherConfig]]:
    levels = enumerate(config.structure.levels)
    nested = [(f"structure.levels[{i}]", level) for i, level in levels]
    return [("switcher", config.switcher), *nested]


def _check_switcher(path: str, switcher: SwitcherConfig, problems: Problems) -> None:
    kind = switcher.kind
    if switcher.of_kind.in_subspaces:
        uneven = [w for w in switcher.units if w % max(switcher.subspaces, 1)]
        if uneven:
            rule = f"must be multiples of subspaces ({switcher.subspaces}) for {kind}."
            problems.add(f"{path}.units", rule, uneven[0])
    if switcher.of_kind.needs_units and not switcher.units:
        problems.add(f"{path}.units", f"must have a width for {kind}.", [])


def _check_lambda(weight: float, problems: Problems) -> None:
    """One of the scale that the loss had before would be next to none, silently."""
    if 0 < weight < _LEAST_LAMBDA:
        rule = (
            f"must be 0, or at least {_LEAST_LAMBDA}. The loss is a mean now: multiply "
            "a weight of its former sum by the pairs of experts and the outputs of one "
            "(0.0001 of 8 experts with 32 becomes 0.09)."
        )
        problems.add("disentangle", rule, weight)


def _check_surgery(weights: WeightsConfig, problems: Problems) -> None:
    if weights.surgery and WEIGHTS_KINDS[weights.kind].bends:
        rule = (
            f"has no use for kind {weights.kind}, which bends the tasks' gradients "
            "itself; remove it, or change kind."
        )
        problems.add("weights.surgery", rule, True)


def _check_structure(config: ModelConfig, problems: Problems) -> None:
    structure = config.structure
    if structure.of_kind.apart:
        for key in ("facets", "split", "nodes", "depth"):
            value = getattr(structure, key)
            if value:
                rule = (
                    f"has no use for kind {structure.kind}, where nothing branches; "
                    "remove it."
                )
                problems.add(f"structure.{key}", rule, value)
    if structure.of_kind.nested and not structure.levels:
        problems.add("structure.levels", "must have one switcher at least.", [])


# --- a preset and a spec --------------------------------------------------------------


def check_preset(config: ModelConfig, spec: Spec) -> None:
    """Raises SpecError if the preset names what the spec does not have, all at once."""
    problems = Problems()
    tasks = [task.name for task in spec.tasks]
    served = [f.name for f in spec.served_features]
    _check_names("trail.tasks", config.trail.tasks, tasks, "a task", problems)
    _check_names("structure.split", config.structure.split, tasks, "a task", problems)
    _check_names("towers", config.towers, tasks, "a task", problems)
    _check_names("weights.decay", config.weights.decay, tasks, "a task", problems)
    _check_names("loss_weights", config.loss_weights, tasks, "a task", problems)
    _check_names("imbalance", config.imbalance, tasks, "a task", problems)
    _check_separate(config, spec, problems)
    for name, own in config.imbalance.items():
        if name in tasks:
            told = own.applied_to(spec.task(name))
            check_imbalance(problems, f"imbalance.{name}", told, own.said)
            check_pairs(problems, f"imbalance.{name}", told, spec.log)
    if not any(task.loss_weight for task in weighted(spec, config).tasks):
        rule = "leave every task at 0: nothing would be learned."
        problems.add("loss_weights", rule, config.loss_weights)
    _check_names("bias.features", config.bias.features, served, "served", problems)
    for task, tower in config.towers.items():
        _check_names(f"towers.{task}.inputs", tower.inputs, served, "served", problems)
    facets = [*spec.facets, TASK_FACET]
    _check_names(
        "structure.facets", config.structure.facets, facets, "a facet", problems
    )
    _check_chains(config, spec, problems)
    _check_inputs_left(config, spec, problems)
    if problems.found:
        raise SpecError(f"preset for spec {spec.name!r}", problems.found)


def weighted(spec: Spec, config: ModelConfig) -> Spec:
    """The spec with the preset's `loss_weights` and `imbalance` instead of its own."""
    untold = ImbalanceConfig()
    tasks = [
        dataclasses.replace(
            config.imbalance.get(task.name, untold).applied_to(task),
            loss_weight=config.loss_weights.get(task.name, task.loss_weight),
        )
        for task in spec.tasks
    ]
    return dataclasses.replace(spec, tasks=tuple(tasks))


def separate_tasks(config: ModelConfig, spec: Spec) -> tuple[str, ...]:
    """The tasks that the preset trains separately, in the spec's order."""
    sparse = SPARSE in config.separate
    return tuple(
        task.name
        for task in spec.tasks
        if task.name in config.separate or (sparse and task.sparse)
    )


def with_loss_weights(config: ModelConfig, weights: Mapping[str, float]) -> ModelConfig:
    """The preset with some `loss_weights` more, or other ones."""
    return dataclasses.replace(config, loss_weights=config.loss_weights | dict(weights))


def _check_names(
    path: str, names: Collection[str], known: list[str], what: str, problems: Problems
) -> None:
    kind = "a served feature" if what == "served" else what
    for name in names:
        if name not in known:
            rule = f"is not {kind} of the spec.{closest(name, known)}"
            problems.add(path, rule, name)


def _check_separate(config: ModelConfig, spec: Spec, problems: Problems) -> None:
    """Each is a task, some others are left, and nothing else binds it to them."""
    names = [task.name for task in spec.tasks]
    named = [name for name in config.separate if name != SPARSE]
    _check_names("separate", named, names, "a task", problems)
    apart = separate_tasks(config, spec)
    if config.separate and not apart and not problems.found:
        rule = "stands for no task: the spec calls none sparse. Name them."
        problems.add("separate", rule, list(config.separate))
    if len(apart) == len(names):
        rule = "leaves no task to share a network; use `structure: {kind: single}`."
        problems.add("separate", rule, list(config.separate))
    if apart and config.structure.of_kind.apart:
        rule = f"has no use for structure.kind {config.structure.kind}; remove it."
        problems.add("separate", rule, list(config.separate))
    chained = {name for chain in config.chains for name in chain.tasks}
    for name in apart:
        if name in chained:
            rule = "is in a chain, which binds it to the others; leave one out."
            problems.add("separate", rule, name)
        if name in config.structure.split:
            rule = "is in structure.split; leave one out."
            problems.add("separate", rule, name)


def _check_chains(config: ModelConfig, spec: Spec, problems: Problems) -> None:
    names = [task.name for task in spec.tasks]
    chances = {task.name for task in spec.tasks if task.of_kind.is_probability}
    seen: set[str] = set()
    for index, chain in enumerate(config.chains):
        path = f"chains[{index}].tasks"
        _check_names(path, chain.tasks, names, "a task", problems)
        for name in chain.tasks:
            if name in names and name not in chances:
                problems.add(path, "must be binary: probabilities multiply.", name)
            if name in seen:
                problems.add(path, "may be in one place of one chain only.", name)
            seen.add(name)
    if config.chains and config.structure.of_kind.apart:
        kind = config.structure.kind
        rule = f"need tasks that share a network; structure.kind is {kind}."
        problems.add("chains", rule)


def _check_inputs_left(config: ModelConfig, spec: Spec, problems: Problems) -> None:
    """Towers' own inputs leave something of both sides for the shared bottom."""
    own = {name for tower in config.towers.values() for name in tower.inputs}
    left = [
        f
        for f in spec.served_features
        if f.name not in own and f.pooling != "attention"
    ]
    for side, groups in (
        ("request", ("query", "context")),
        ("candidate", ("candidate",)),
    ):
        if not any(f.group in groups for f in left):
            rule = (
                f"leave the shared bottom no {side} feature (attention over a history "
                "is none). Leave one out of towers.<task>.inputs."
            )
            problems.add("towers", rule)
    for f in spec.served_features:
        if f.pooling == "attention" and (f.target in own or f.name in own):
            rule = "is read by attention, and by the shared bottom; take it out here."
            problems.add("towers", rule, f.target if f.target in own else f.name)
