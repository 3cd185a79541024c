"""Presets: the ranker's shape in a few lines of YAML, read and checked.

`load_preset("mmoe")` reads a shipped one, `load_preset("mine.yaml")` your own file with
the keys of `model.ModelConfig`. What a preset says about a spec (its tasks, features
and facets) is checked where both meet, by `check_preset`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection

from feature_specs.build import (
    Problems,
    SpecError,
    build,
    closest,
    parse_yaml,
    shipped_names,
    shipped_text,
)
from feature_specs.model import TASK_FACET, ModelConfig, SwitcherConfig
from feature_specs.spec import Spec

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
    problems = Problems()
    config: ModelConfig | None = build(
        ModelConfig, parse_yaml(text, source), "", problems
    )
    if config is not None:
        _check_widths(config, problems)
        _check_shares(config, problems)
        _check_counts(config, problems)
        _check_weights(config, problems)
        for path, switcher in _switchers(config):
            _check_switcher(path, switcher, problems)
    if config is None or problems.found:
        raise SpecError(source, problems.found)
    return config


# --- a preset by itself ---------------------------------------------------------------


def _switchers(config: ModelConfig) -> list[tuple[str, SwitcherConfig]]:
    levels = enumerate(config.structure.levels)
    nested = [(f"structure.levels[{i}]", level) for i, level in levels]
    return [("switcher", config.switcher), *nested]


def _check_switcher(path: str, switcher: SwitcherConfig, problems: Problems) -> None:
    _widths(f"{path}.units", switcher.units, problems)
    for key in ("experts", "task_experts", "levels", "subspaces"):
        _at_least(f"{path}.{key}", getattr(switcher, key), 1, problems)
    _share(f"{path}.stitch", switcher.stitch, problems, whole=True)
    _at_least(f"{path}.penalty", switcher.penalty, 0, problems)
    if switcher.kind == "sluice":
        uneven = [w for w in switcher.units if w % max(switcher.subspaces, 1)]
        if uneven:
            rule = f"must be multiples of subspaces ({switcher.subspaces}) for sluice."
            problems.add(f"{path}.units", rule, uneven[0])
    needs_layers = ("cross_stitch", "sluice", "ml_mmoe", "cgc", "ple", "snr")
    if switcher.kind in needs_layers and not switcher.units:
        problems.add(f"{path}.units", f"must have a width for {switcher.kind}.", [])


def _check_widths(config: ModelConfig, problems: Problems) -> None:
    if not config.bottom:
        rule = (
            "must have one layer at least, where the request's and the candidate's "
            "parts are added. Give it a width, like [128]."
        )
        problems.add("bottom", rule, [])
    for path, units in (
        ("bottom", config.bottom),
        ("tower", config.tower),
        ("trail.units", config.trail.units),
        ("bias.units", config.bias.units),
        ("structure.node", config.structure.node),
        *((f"structure.nodes.{n}", u) for n, u in config.structure.nodes.items()),
        *((f"towers.{n}.units", t.units or ()) for n, t in config.towers.items()),
    ):
        _widths(path, units, problems)


def _check_shares(config: ModelConfig, problems: Problems) -> None:
    _share("trail.dropout", config.trail.dropout, problems)
    _share("dropout", config.dropout, problems)
    for task, gamma in config.weights.decay.items():
        if not 0 < gamma <= 1:
            rule = "must be above 0 and at most 1 (PLE eq. 10)."
            problems.add(f"weights.decay.{task}", rule, gamma)


def _check_counts(config: ModelConfig, problems: Problems) -> None:
    for path, number in (
        ("epochs_per_day", config.epochs_per_day),
        ("trail.dim", config.trail.dim),
        ("bias.dim", config.bias.dim),
        ("weights.decay_steps", config.weights.decay_steps),
        ("unified.tables", config.unified.tables),
        ("unified.dim", config.unified.dim),
    ):
        _at_least(path, number, 1, problems)
    if config.unified.buckets and config.unified.buckets < 2:
        problems.add("unified.buckets", "must be 0 (off) or 2 at least.")
    for index, chain in enumerate(config.chains):
        if len(chain.tasks) < 2:
            rule = "must be two tasks at least, the frequent one first."
            problems.add(f"chains[{index}].tasks", rule, list(chain.tasks))
    if config.structure.kind == "single":
        for key in ("facets", "split", "nodes", "depth"):
            value = getattr(config.structure, key)
            if value:
                rule = "has no use for kind single, where nothing branches; remove it."
                problems.add(f"structure.{key}", rule, value)
    if config.structure.kind != "flat" and not config.structure.levels:
        problems.add("structure.levels", "must have one switcher at least.", [])


def _check_weights(config: ModelConfig, problems: Problems) -> None:
    for path, weight in (
        ("disentangle", config.disentangle),
        ("embedding_l2", config.embedding_l2),
        ("optimizer.learning_rate", config.optimizer.learning_rate),
        ("optimizer.table_learning_rate", config.optimizer.table_learning_rate),
        ("optimizer.clip_norm", config.optimizer.clip_norm),
        ("optimizer.average_steps", config.optimizer.average_steps),
        ("weights.alpha", config.weights.alpha),
        ("weights.learning_rate", config.weights.learning_rate),
        ("structure.depth", config.structure.depth),
        ("cross.layers", config.cross.layers),
        ("cross.rank", config.cross.rank),
        ("unified.buckets", config.unified.buckets),
        *((f"chains[{i}].calibrator", c.calibrator) for i, c in _numbered(config)),
    ):
        _at_least(path, weight, 0, problems)


def _numbered(config: ModelConfig):
    return enumerate(config.chains)


def _widths(path: str, units: tuple[int, ...], problems: Problems) -> None:
    if any(width < 1 for width in units):
        problems.add(path, "must be positive widths.", list(units))


def _share(path: str, share: float, problems: Problems, whole: bool = False) -> None:
    if not (0 <= share <= 1 if whole else 0 <= share < 1):
        limit = "at most 1" if whole else "below 1"
        problems.add(path, f"must be at least 0 and {limit}.", share)


def _at_least(path: str, number: float, least: int, problems: Problems) -> None:
    if number < least:
        rule = f"must be at least {least}." if least else "must be 0 or more."
        problems.add(path, rule, number)


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


def _check_names(
    path: str, names: Collection[str], known: list[str], what: str, problems: Problems
) -> None:
    kind = "a served feature" if what == "served" else what
    for name in names:
        if name not in known:
            rule = f"is not {kind} of the spec.{closest(name, known)}"
            problems.add(path, rule, name)


def _check_chains(config: ModelConfig, spec: Spec, problems: Problems) -> None:
    kinds = {task.name: task.kind for task in spec.tasks}
    seen: set[str] = set()
    for index, chain in enumerate(config.chains):
        path = f"chains[{index}].tasks"
        _check_names(path, chain.tasks, list(kinds), "a task", problems)
        for name in chain.tasks:
            if kinds.get(name) == "regression":
                problems.add(path, "must be binary: probabilities multiply.", name)
            if name in seen:
                problems.add(path, "may be in one place of one chain only.", name)
            seen.add(name)
    if config.chains and config.structure.kind == "single":
        rule = "need tasks that share a network; structure.kind is single."
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
