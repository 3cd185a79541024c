"""What every structure takes and gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from feature_specs.model import StructureConfig
from feature_specs.preset_kinds import STRUCTURE_KINDS, StructureKind, declare
from feature_specs.registry import Registry
from trainer.model.switchers import Gating, Switched

_ALGORITHM = "philox"  # named: by default XLA takes another one and draws differently


class Leaf(NamedTuple):
    """A task, or a task for the rows of one partition of a facet (MFH sec. III-D-2).

    Attributes:
        task: Its name.
        partitions: (facet, partition) of each facet that splits it, in the spec's
            order of facets; none if it is not split.
    """

    task: str
    partitions: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """`skip`, or `skip&new` for new users' skips."""
        return "&".join([self.task, *(partition for _, partition in self.partitions)])


class PlacedGating(NamedTuple):
    """What one tensor of `Structured.gates` holds.

    Attributes:
        groups: G codes of the nodes below the switchers; an empty one is the input.
        gating: The axes after G.
    """

    groups: tuple[str, ...]
    gating: Gating


class Structured(NamedTuple):
    """What a structure gives. B = batch, L = leaves.

    Attributes:
        outputs: [B, L, H], the towers' inputs.
        experts: [B, G, E, H] for each level of each layer of switchers.
        gates: [B, G, Q, E'] float32 for each of `Structure.gatings`.
        penalty: Scalar to add to the loss, already weighted.
        preactivations: `experts` before their last activation, as the disentangle loss
            wants them; empty where they have none.
    """

    outputs: tf.Tensor
    experts: tuple[tf.Tensor, ...] = ()
    gates: tuple[tf.Tensor, ...] = ()
    penalty: tf.Tensor | float = 0.0
    preactivations: tuple[tf.Tensor, ...] = ()

    @property
    def kept_apart(self) -> tuple[tf.Tensor, ...]:
        """What the disentangle loss reads of each level."""
        return self.preactivations or self.experts


class Structure(tf.keras.layers.Layer):
    """Nested switchers between the shared bottom and the towers.

    A registered class is made with the preset (`ModelConfig`), the names of the tasks
    in the spec's order, and facet -> names of its partitions.

    Args:
        leaves: L leaves, in the order of the outputs.

    Attributes:
        gatings: What the tensors of `Structured.gates` hold.
    """

    def __init__(self, leaves: Sequence[Leaf], **kwargs: Any):
        super().__init__(**kwargs)
        self.leaves: tuple[Leaf, ...] = tuple(leaves)
        self.gatings: tuple[PlacedGating, ...] = ()

    @classmethod
    def check(cls, structure: StructureConfig, tasks: Sequence[str]) -> None:
        """Raises ValueError if the preset asks for what the kind cannot be."""

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Structured:
        """x [B, D] -> `Structured`.

        Args:
            training: Whether to draw at random what switchers draw in training.
            seed: int32 [2], of those draws; the same on every replica.
        """
        raise NotImplementedError


STRUCTURES: Registry[type[Structure]] = Registry(
    "structure", "@trainer.model.structures.structure(name)"
)

_Class = TypeVar("_Class", bound=type[Structure])


def structure(name: str, *, nested: bool = False) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a preset's structure means.

    Args:
        name: Not one of another class.
        nested: Whether its switchers are the preset's `structure.levels` and not its
            `switcher`.
    """

    def register(cls: _Class) -> _Class:
        STRUCTURES.add(name, cls)
        declare(STRUCTURE_KINDS, StructureKind(name=name, nested=nested))
        return cls

    return register


def split_leaves(task: str, facets: Mapping[str, Sequence[str]]) -> list[Leaf]:
    """The leaves of a task that all of `facets` (name -> partitions) split."""
    pairs = [[(name, part) for part in parts] for name, parts in facets.items()]
    return [Leaf(task, partitions) for partitions in itertools.product(*pairs)]


def collect(
    parts: Sequence[Switched | Structured],
) -> tuple[tuple[tf.Tensor, ...], tuple[Any, ...], tf.Tensor, tuple[tf.Tensor, ...]]:
    """All of several parts but their outputs, as `Structured` has them."""
    experts = tuple(level for part in parts for level in part.experts)
    gates = tuple(level for part in parts for level in part.gates)
    apart = tuple(level for part in parts for level in part.kept_apart)
    return experts, gates, sum(part.penalty for part in parts), apart


def draw_seed(seed: tf.Tensor | None, index: int) -> tf.Tensor | None:
    """The seed of part `index`: no two switchers draw the same numbers."""
    if seed is None:
        return None
    return tf.random.experimental.stateless_fold_in(seed, index, _ALGORITHM)
