"""The ranker's shape and optimizer: the frozen classes that a preset's YAML fills.

`preset.py` reads and checks the file.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from feature_specs.fields import (
    Columns,
    Levels,
    Named,
    NonNegativeFloat,
    Parts,
    Rate,
    Rule,
    ShareBelowOne,
    Steps,
    StepsOrNone,
    Weight,
    Widths,
    between,
)
from feature_specs.imbalance import ImbalanceConfig
from feature_specs.preset_kinds import (
    CHAIN_KINDS,
    OPTIMIZER_KINDS,
    STRUCTURE_KINDS,
    SWITCHER_KINDS,
    WEIGHTS_KINDS,
    StructureKind,
    SwitcherKind,
)

_PART = Rule("must be at least 0 and at most 1.", ge=0, le=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwitcherConfig:
    """One input, K outputs (MFH fig. 1).

    Attributes:
        kind: See `trainer.model.switchers`, where each names its paper and equation;
            or one that a plugin registers.
        units: Widths of the layers of an expert, or of one level's shared or own part.
        levels: Stacked levels of `cross_stitch`, `sluice`, `ml_mmoe`, `ple`, `snr`.
        experts: Experts of `moe`, `mmoe` and of each level of `ml_mmoe` and `snr`;
            the shared experts of each level of `cgc` and `ple`.
        task_experts: Each task's own experts in a level of `cgc` and `ple`.
        subspaces: Parts of a task's layer in `sluice`; they divide every width.
        stitch: Weight of a task's own output, at the start, in `cross_stitch` and
            `sluice`; the rest is shared out among the others.
        reads: For `asymmetric`, output -> the outputs whose bottoms it reads beside
            its own; by default each reads the one before it.
        fusion: How `asymmetric` joins the bottoms that an output reads.
        penalty: Weight of `sluice`'s orthogonality or of `snr`'s L0 penalty.
        options: What a registered switcher takes beside; its `Options` check it.
    """

    kind: Annotated[str, Named(SWITCHER_KINDS)]
    units: Widths = (64,)
    levels: Levels = 2
    experts: Parts = 8
    task_experts: Parts = 1
    subspaces: Parts = 2
    stitch: Annotated[float, _PART] = 0.9
    reads: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    fusion: Literal["concat", "sum", "mean"] = "concat"
    penalty: Weight = 0.0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def of_kind(self) -> SwitcherKind:
        """What a preset has to know of the kind."""
        return SWITCHER_KINDS[self.kind]


TASK_FACET = "task"  # the facet whose partitions are the tasks themselves

# MFH sec. V-A-3: the best switchers found, level by level.
_MFH_LEVELS = (
    SwitcherConfig(kind="shared_bottom", units=(64,)),
    SwitcherConfig(kind="ple", units=(32,), experts=2, levels=2),
    SwitcherConfig(kind="cgc", units=(32,), experts=1),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructureConfig:
    """How switchers are nested (MFH sec. III-C-2): from the bottom to the towers.

    Attributes:
        kind: `flat` branches once, with the preset's `switcher`; `single` gives every
            task a network of its own; `hierarchical` is H-MTL's tree, `multi_facet`
            is MFH's nested trees.
        facets: Facets of the spec by which tasks are split; `task` stands for the
            tasks themselves, in the place where the tree divides by them. For `flat`
            and `multi_facet` their order means nothing, and `task` may be left out.
        split: Tasks that are split by the facets (MFH's flat 5-task model splits one);
            none named means all. For `flat`.
        levels: Switcher of each level of `hierarchical` and `multi_facet`, from the
            root; the last one stands for all levels above it.
        depth: Level k of `multi_facet` (MFH sec. IV-D): a node's code has up to this
            many partitions, the towers follow. 0 means all facets but one.
        node: Widths of the MLP of a node; none passes the switcher's output on.
        nodes: Code of a node (`new`, `new&skip`, in the order of `facets`) -> its own
            widths.
    """

    kind: Annotated[str, Named(STRUCTURE_KINDS)] = "flat"
    facets: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    levels: tuple[SwitcherConfig, ...] = _MFH_LEVELS
    depth: Annotated[int, between(0, 64)] = 0
    node: Widths = (32,)
    nodes: dict[str, Widths] = dataclasses.field(default_factory=dict)

    @property
    def of_kind(self) -> StructureKind:
        """What a preset has to know of the kind."""
        return STRUCTURE_KINDS[self.kind]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What one task's tower has of its own (MFH sec. IV-E).

    Attributes:
        units: Widths of its hidden layers; by default the preset's `tower`.
        inputs: Served features that this tower reads, and the shared bottom does not.
    """

    units: Widths | None = None
    inputs: tuple[str, ...] = ()


_CHAIN = Rule("must be two tasks at least, the frequent one first.", min_length=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """Tasks of which each needs the one before it, as a click comes before a purchase.

    Attributes:
        kind: `esmm` multiplies the probabilities along the chain (Ma et al., 2018);
            `aitm` hands a tower's output on to the next one (Xi et al., 2021).
        tasks: In order, from the frequent to the rare.
        calibrator: Weight of AITM's loss on a later task that is likelier.
    """

    kind: Annotated[str, Named(CHAIN_KINDS)]
    tasks: Annotated[tuple[str, ...], _CHAIN]
    calibrator: Weight = 0.6


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrailConfig:
    """The shallow towers of the trail features (SFV sec. 4.2).

    Attributes:
        units: Widths of the hidden layers; none makes the tower linear.
        dim: Width of each trail feature's embedding.
        shared: Whether all towers read the same embeddings, or each its own.
        dropout: Share of training rows whose trail features are dropped.
        tasks: Tasks with a trail tower; none named means all.
    """

    units: Widths = (16,)
    dim: Columns = 8
    shared: bool = True
    dropout: ShareBelowOne = 0.1
    tasks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class BiasConfig:
    """BiasNet (MFH fig. 8): a served side tower whose output is added to the logits.

    Attributes:
        features: Served features that it reads; none is no bias tower.
        units: Widths of its hidden layers.
        dim: Width of each feature's embedding.
    """

    features: tuple[str, ...] = ()
    units: Widths = (128, 64)
    dim: Columns = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossConfig:
    """Cross layers over all served inputs (DCN v2), beside the first dense layer.

    Attributes:
        layers: Number of cross layers; 0 is none.
        rank: Rank of their matrices; 0 is full.
    """

    layers: Annotated[int, between(0, 64)] = 0
    rank: Annotated[int, between(0, 65_536)] = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnifiedConfig:
    """Unified embeddings (Coleman et al., 2023): all large ids share the same tables.

    Attributes:
        buckets: Rows of each table; 0 keeps the spec's tables.
        tables: Number of tables.
        dim: Columns of each; a feature takes as many pieces as its own width needs.
    """

    buckets: Annotated[int, between(0, 2**31 - 1)] = 0
    tables: Annotated[int, between(1, 64)] = 2
    dim: Columns = 8


_GAMMA = Rule("must be above 0 and at most 1 (PLE eq. 10).", gt=0, le=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """How much each task's loss counts, times its `loss_weight` in the spec.

    Attributes:
        kind: `fixed`; `uniform` is 1 for every task (SFV table 3); `uncertainty` learns
            one variance a task (UR, Kendall et al., 2018); `gradnorm` evens out the
            tasks' gradients (Chen et al., 2018); `mgda` finds a direction in which no
            task gets worse (Sener & Koltun, 2018); `graddrop` lets gradients of one
            sign at a time through (Chen et al., 2020).
        decay: Task -> gamma of the weight's decay (PLE eq. 10); 1 for the others.
        decay_steps: Steps that count as one epoch in eq. 10.
        alpha: GradNorm's alpha: how much a slow task is favoured.
        learning_rate: Of GradNorm's weights.
        surgery: Whether conflicting gradients of the dense weights are projected
            (PCGrad, Yu et al., 2020). Not beside `mgda` and `graddrop`, which bend
            the same gradients.
    """

    kind: Annotated[str, Named(WEIGHTS_KINDS)] = "fixed"
    decay: dict[str, Annotated[float, _GAMMA]] = dataclasses.field(default_factory=dict)
    decay_steps: Steps = 1000
    alpha: Rate = 0.5
    learning_rate: Rate = 0.025
    surgery: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights move.

    Attributes:
        kind: Optimizer of towers, experts and bottom. `clippy_adagrad` (TFRS) never
            changes a weight by more than about a tenth of it in one step, for high
            rates without divergence.
        learning_rate: Its rate.
        table_learning_rate: Adagrad's rate for the embedding tables.
        clip_norm: Largest global norm of the dense gradients; 0 leaves them.
        average_steps: Steps over which the weights are averaged that training
            returns; 0 returns the last ones.
    """

    kind: Annotated[str, Named(OPTIMIZER_KINDS)] = "adam"
    learning_rate: Rate = 1e-3
    table_learning_rate: Rate = 0.05
    clip_norm: NonNegativeFloat = 0.0
    average_steps: StepsOrNone = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassesConfig:
    """How often the training days are gone through, for small data that stays as it is.

    One pass, the default, is how a stream of days is trained. With more, the last
    training day is kept out while the days before it are gone through again and again,
    and each pass is judged on it. The best one is kept, and goes over the kept day as
    over any new one. Evaluation days are never looked at. See `trainer.days.passes`.

    Attributes:
        most: Largest number of passes.
        patience: Passes in a row that are no better, after which none follows.
        judge: What judges a pass: `last_day` is the loss of the last training day, the
            tasks' own times their weights in the spec.
    """

    most: Annotated[int, between(1, 1_000)] = 1
    patience: Annotated[int, between(1, 1_000)] = 1
    judge: Literal["last_day"] = "last_day"


_NOT_EMPTY = Rule(
    "must have one layer at least, where the request's and the candidate's parts are "
    "added. Give it a width, like [128].",
    min_length=1,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole ranker.

    Attributes:
        switcher: The sharing structure of `flat`.
        structure: How switchers are nested.
        separate: Tasks that share nothing with the others (SFV fig. 5a): each has a
            bottom and a tower of its own, on the others' embeddings behind a stopped
            gradient. `sparse` stands for all tasks that the spec calls so.
        bottom: Widths of the shared bottom's layers, below the switcher.
        tower: Widths of the hidden layers of each task's tower.
        towers: Task -> what its tower has of its own.
        chains: Tasks that depend on each other.
        bias: BiasNet's side tower.
        trail: The trail towers; they need trail features in the spec.
        cross: Cross layers over the served inputs.
        unified: Unified embeddings in place of the spec's tables.
        weights: How much each task's loss counts.
        loss_weights: Task -> its `loss_weight` instead of the spec's, so that presets
            can be compared that differ in it.
        imbalance: Task -> how its rare labels are treated, instead of the spec's: its
            loss, sampling, weight of positives (SFV sec. 5.2).
        disentangle: Weight lambda of the disentangle loss (SFV sec. 5.1); 0 is off.
            SFV table 2 has 0.05 to 1.
        disentangle_without: Experts that it does not keep apart: those of a level
            (`level 2`), of a node of a nested structure, or a task's own.
        optimizer: See `OptimizerConfig`.
        epochs_per_day: Passes over each day, before the next one.
        passes: Passes over all days; see `PassesConfig`.
        dropout: Share of the bottom's outputs dropped in training.
        embedding_l2: Weight of the squared norm of the looked-up embeddings.
    """

    switcher: SwitcherConfig = SwitcherConfig(kind="mmoe", units=(32,))
    structure: StructureConfig = StructureConfig()
    separate: tuple[str, ...] = ()
    bottom: Annotated[Widths, _NOT_EMPTY] = (128,)
    tower: Widths = (32,)
    towers: dict[str, TowerConfig] = dataclasses.field(default_factory=dict)
    chains: tuple[ChainConfig, ...] = ()
    bias: BiasConfig = BiasConfig()
    trail: TrailConfig = TrailConfig()
    cross: CrossConfig = CrossConfig()
    unified: UnifiedConfig = UnifiedConfig()
    weights: WeightsConfig = WeightsConfig()
    loss_weights: dict[str, Weight] = dataclasses.field(default_factory=dict)
    imbalance: dict[str, ImbalanceConfig] = dataclasses.field(default_factory=dict)
    disentangle: Weight = 0.0
    disentangle_without: tuple[str, ...] = ()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs_per_day: Annotated[int, between(1, 10_000)] = 1
    passes: PassesConfig = PassesConfig()
    dropout: ShareBelowOne = 0.0
    embedding_l2: Weight = 0.0


def plain_values(config: ModelConfig) -> dict[str, Any]:
    """The preset as mappings, lists and numbers, to write down and compare.

    Options, passes and what is said of tasks are left out where there are none, as in
    what was written before there could be any.
    """
    found: dict[str, Any] = _without_empty_options(dataclasses.asdict(config))
    if config.passes == PassesConfig():
        del found["passes"]
    for key in ("loss_weights", "imbalance", "separate", "disentangle_without"):
        if not found[key]:
            del found[key]
    return found


def _without_empty_options(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if v or k != "options"}
        return {key: _without_empty_options(item) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_without_empty_options(item) for item in value]
    return value
