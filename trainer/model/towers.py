"""The towers: one stack of layers and one logit a leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from feature_specs.model import ModelConfig
from trainer.errors import ModelError
from trainer.model import chains
from trainer.model.layers import BatchedDense, BatchedMLP
from trainer.model.structures.base import Leaf
from trainer.model.structures.bundles import bundles, put_back, take


class Towers(tf.keras.layers.Layer):
    """A tower a leaf, with its own widths and inputs where it has some (MFH sec. IV-E).

    B = batch, L = leaves. Towers of equal shape are one batch of products. The heads'
    kernels start at zero, so that the untrained logits are the biases. In an `aitm`
    chain the heads read what the transfer makes of the towers' last layers.

    Args:
        leaves: L leaves; those of one task have towers of one shape.
        config: Its `tower`, `towers` and `chains` are used.
        biases: [L], the logits at the start.

    Raises:
        ValueError: A chain names tasks that cannot be chained.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf],
        config: ModelConfig,
        biases: Sequence[float],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.tasks = tuple(leaf.task for leaf in leaves)
        self._units = tuple(_units(config, task) for task in self.tasks)
        placed = chains.place(config.chains, leaves)
        self._chains = tuple(
            (index, chain.places)
            for index, chain in enumerate(placed)
            if chain.of_kind.hands_on
        )
        self.transfers = [
            chains.Transfer(dtype=self.dtype_policy) for _ in self._chains
        ]
        self.places: tuple[tuple[int, ...], ...] = ()
        self.stacks: list[BatchedMLP] = []
        self.heads: list[BatchedDense] = []
        self.bias = self.add_weight(
            name="bias",
            shape=(len(biases),),
            initializer=tf.constant_initializer(list(biases)),
            experimental_autocast=False,  # logits are float32
        )

    def call(
        self, x: tf.Tensor, own: Mapping[str, tf.Tensor] | None = None
    ) -> tf.Tensor:
        """Logits of the leaves.

        Args:
            x: [B, L, H].
            own: Task -> what its towers read beside x, [B, X]. The first call settles
                which tasks these are, and each X.

        Returns:
            [B, L] float32.
        """
        inputs = own or {}
        if not self.places:
            self._add_stacks(x.shape[-1], {t: i.shape[-1] for t, i in inputs.items()})
        hidden = [
            stack(self._inputs(x, inputs, places))
            for stack, places in zip(self.stacks, self.places, strict=True)
        ]
        for (_, places), transfer in zip(self._chains, self.transfers, strict=True):
            hidden = self._transferred(hidden, places, transfer)
        logits = [head(h) for head, h in zip(self.heads, hidden, strict=True)]
        return tf.squeeze(put_back(logits, self.places), axis=2) + self.bias

    def _add_stacks(self, width: int, own: Mapping[str, int]) -> None:
        """At the first call, which shows how wide the towers' inputs are."""
        inputs = [width + own.get(task, 0) for task in self.tasks]
        self._check_chains(inputs)
        self.places = bundles(zip(self._units, inputs, strict=True))
        for places in self.places:
            count, units = len(places), self._units[places[0]]
            self.stacks.append(BatchedMLP(count, units, dtype=self.dtype_policy))
            self.heads.append(BatchedDense(count, 1, use_bias=False, zero=True))

    def _check_chains(self, inputs: Sequence[int]) -> None:
        for index, places in self._chains:
            widths = {
                self.tasks[p]: self._units[p][-1] if self._units[p] else inputs[p]
                for p in places
            }
            if len(set(widths.values())) > 1:
                raise ModelError(
                    f"chains[{index}].tasks: towers of an aitm chain must end with one "
                    f"width, as one hands its last layer to the next. Got {widths}. "
                    "Give them the same last width in towers.<task>.units."
                )

    def _inputs(
        self, x: tf.Tensor, own: Mapping[str, tf.Tensor], places: Sequence[int]
    ) -> tf.Tensor:
        """What a bundle of towers reads, [B, towers, H + X]."""
        tasks = [self.tasks[place] for place in places]
        x = take(x, places)
        if tasks[0] not in own:
            return x
        extra = tf.stack([own[task] for task in tasks], axis=1)
        return tf.concat([x, tf.cast(extra, x.dtype)], axis=2)

    def _transferred(
        self,
        hidden: Sequence[tf.Tensor],
        chain: Sequence[int],
        transfer: Callable[[tf.Tensor], tf.Tensor],
    ) -> list[tf.Tensor]:
        """The bundles' last layers, those of a chain replaced: q_t by z_t."""
        z = transfer(
            tf.concat([self._one(hidden, place) for place in chain], axis=1)
        )  # [B, C, k]
        replaced = []
        for places, own in zip(self.places, hidden, strict=True):
            count = len(places)
            chosen = [
                count + chain.index(place) if place in chain else index
                for index, place in enumerate(places)
            ]
            changed = max(chosen) >= count
            own = take(tf.concat([own, z], axis=1), chosen) if changed else own
            replaced.append(own)
        return replaced

    def _one(self, hidden: Sequence[tf.Tensor], place: int) -> tf.Tensor:
        """The last layer of one tower, [B, 1, k]."""
        return next(
            take(own, [places.index(place)])
            for places, own in zip(self.places, hidden, strict=True)
            if place in places
        )


def _units(config: ModelConfig, task: str) -> tuple[int, ...]:
    tower = config.towers.get(task)
    return config.tower if tower is None or tower.units is None else tower.units
