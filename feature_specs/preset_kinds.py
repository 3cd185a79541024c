"""What kinds of switchers, structures, weights, chains and optimizers there are.

Here stands only what a preset and its checks have to know of each, without TensorFlow.
The classes behind the names are registered in `trainer`, which declares here the names
that are not shipped.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from feature_specs.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresetKind:
    """A kind that a preset may name.

    Attributes:
        name: What `kind` says.
    """

    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwitcherKind(PresetKind):
    """A kind of switcher.

    Attributes:
        needs_units: Whether it needs one width at least.
        in_subspaces: Whether `subspaces` must divide every width.
        mixes: Whether it mixes `experts` of its own, as many as the preset says.
    """

    needs_units: bool = False
    in_subspaces: bool = False
    mixes: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructureKind(PresetKind):
    """A kind of structure.

    Attributes:
        nested: Whether its switchers are `structure.levels` and not the preset's
            `switcher`.
        apart: Whether every task has a network of its own, and nothing branches.
    """

    nested: bool = False
    apart: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsKind(PresetKind):
    """A kind of task weights.

    Attributes:
        bends: Whether it bends the gradient of what tasks share, so that `surgery`
            would bend it twice.
        reads: Whether a task's `loss_weight` counts in it.
        learns: Whether it finds weights of its own.
    """

    bends: bool = False
    reads: bool = True
    learns: bool = False


SWITCHER_KINDS: Registry[SwitcherKind] = Registry(
    "switcher", "@trainer.model.switchers.switcher(name)"
)
STRUCTURE_KINDS: Registry[StructureKind] = Registry(
    "structure", "@trainer.model.structures.structure(name)"
)
WEIGHTS_KINDS: Registry[WeightsKind] = Registry(
    "kind of task weights", "@trainer.objective.weighting.task_weights(name)"
)
CHAIN_KINDS: Registry[PresetKind] = Registry(
    "chain", "@trainer.model.chains.chain(name)"
)
OPTIMIZER_KINDS: Registry[PresetKind] = Registry(
    "optimizer", "@trainer.days.optimizers.optimizer(name)"
)

_Declared = TypeVar("_Declared", bound=PresetKind)


def declare(kinds: Registry[_Declared], kind: _Declared) -> None:
    """Makes a kind known to presets; of a shipped one all is known already."""
    if kind.name not in kinds:
        kinds.add(kind.name, kind)


for _kind in (
    SwitcherKind(name="shared_bottom"),
    SwitcherKind(name="asymmetric"),
    SwitcherKind(name="customized"),
    SwitcherKind(name="cross_stitch", needs_units=True),
    SwitcherKind(name="sluice", needs_units=True, in_subspaces=True),
    SwitcherKind(name="moe", mixes=True),
    SwitcherKind(name="mmoe", mixes=True),
    SwitcherKind(name="ml_mmoe", needs_units=True, mixes=True),
    SwitcherKind(name="cgc", needs_units=True, mixes=True),
    SwitcherKind(name="ple", needs_units=True, mixes=True),
    SwitcherKind(name="snr", needs_units=True, mixes=True),
):
    declare(SWITCHER_KINDS, _kind)
for _structure in (
    StructureKind(name="flat"),
    StructureKind(name="single", apart=True),
    StructureKind(name="hierarchical", nested=True),
    StructureKind(name="multi_facet", nested=True),
):
    declare(STRUCTURE_KINDS, _structure)
for _weights in (
    WeightsKind(name="fixed"),
    WeightsKind(name="uniform", reads=False),
    WeightsKind(name="uncertainty", learns=True),
    WeightsKind(name="gradnorm", learns=True),
    WeightsKind(name="graddrop", bends=True),
    WeightsKind(name="mgda", bends=True, learns=True),
):
    declare(WEIGHTS_KINDS, _weights)
for _kinds, _names in (
    (CHAIN_KINDS, ("esmm", "aitm")),
    (OPTIMIZER_KINDS, ("adam", "adagrad", "clippy_adagrad")),
):
    for _name in _names:
        declare(_kinds, PresetKind(name=_name))
