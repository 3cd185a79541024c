"""What every switcher takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import tensorflow as tf

from feature_specs.build import Problems, SpecError, build
from feature_specs.model import SwitcherConfig
from feature_specs.preset_kinds import SWITCHER_KINDS, SwitcherKind, declare
from feature_specs.registry import Registry


class Gating(NamedTuple):
    """What the gates of one level are called; the static half of `Switched.gates`.

    Attributes:
        level: From 1, the lowest.
        readers: Q names: of outputs, of the experts one level up, or `shared` for a
            gate that all outputs have in common.
        experts: For each reader, the names of the experts that it weighs, in the order
            of the last axis; readers of one `Gating` weigh equally many.
    """

    level: int
    readers: tuple[str, ...]
    experts: tuple[tuple[str, ...], ...]


class Switched(NamedTuple):
    """What a switcher gives. B = batch, G = groups, K = outputs.

    Attributes:
        outputs: [B, G, K, H].
        experts: A tensor [B, G, E, H] for each level with experts or sub-networks, the
            lowest first: their outputs.
        gates: A tensor [B, G, Q, E'] for each `Gating` of the switcher, float32.
        penalty: Scalar to add to the loss, already weighted; 0 for most.
        preactivations: The experts of each level before their last activation, which
            is what the disentangle loss (SFV sec. 5.1) keeps apart; empty where experts
            have none.
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


class Switcher(tf.keras.layers.Layer):
    """G switchers of one kind and size side by side, each with its own weights.

    Most structures need one (G = 1); nested ones need many at a level, and one with
    twenty groups is as few products as one with a single group.

    Args:
        config: Kind and sizes.
        names: K names of the outputs: tasks, or partitions of a facet.
        groups: G.

    Attributes:
        Options: A frozen dataclass, if the kind has settings beside those of
            `SwitcherConfig`; the preset gives them under `options`.
        options: As such, or None.
        gatings: What the tensors of `Switched.gates` hold.

    Raises:
        SpecError: `options` are not what `Options` says.
    """

    Options: ClassVar[type | None] = None

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.options = _options(self.Options, config)
        self.config, self.names, self.groups = config, tuple(names), groups
        self.gatings: tuple[Gating, ...] = ()

    @property
    def tasks(self) -> int:
        """K, the number of outputs."""
        return len(self.names)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        """x [B, G, D] -> `Switched`.

        Args:
            training: Whether to draw at random what the kind draws in training.
            seed: int32 [2], of those draws; the same on every replica.
        """
        raise NotImplementedError


SWITCHERS: Registry[type[Switcher]] = Registry(
    "switcher", "@trainer.model.switchers.switcher(name)"
)

_Class = TypeVar("_Class", bound=type[Switcher])


def activated(config: SwitcherConfig, preactivations: tf.Tensor) -> tf.Tensor:
    """The outputs of experts; those without layers pass their input on as it is."""
    return tf.nn.relu(preactivations) if config.units else preactivations


def switcher(name: str, *, needs_units: bool = False) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a preset's switcher means.

    Args:
        name: Not one of another class.
        needs_units: Whether a preset must give it one width at least.
    """

    def register(cls: _Class) -> _Class:
        SWITCHERS.add(name, cls)
        declare(SWITCHER_KINDS, SwitcherKind(name=name, needs_units=needs_units))
        return cls

    return register


def _options(cls: type | None, config: SwitcherConfig) -> Any:
    """The preset's `options` as a `cls`."""
    source = f"switcher {config.kind!r}"
    if cls is None:
        if config.options:
            rule = "options: has no use for this kind; remove it."
            raise SpecError(source, [f"{rule} Got {config.options}."])
        return None
    problems = Problems()
    found = build(cls, dict(config.options), "options", problems)
    if problems.found:
        raise SpecError(source, problems.found)
    return found
