"""Trail towers: what a watch trail does to every task, learnt apart (SFV sec. 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from feature_specs import Spec
from feature_specs.model import TrailConfig
from trainer.model.embeddings import missing_rows
from trainer.model.side_towers import SideTowers
from trainer.replicas import uniform_rows


class TrailTowers(tf.keras.layers.Layer):
    """One shallow tower a task; its output is added to the task's logit.

    B = batch, T = all tasks. The towers read only features of group `trail`, through
    embeddings that they share with nobody else, so that the main model never sees a
    trail. In training one draw a row drops all of its trail features together, to id 0
    ("missing") and number 0. The served state, where all are missing, is then one that
    `dropout` of the rows have trained: dropping them one by one would train it on next
    to none (0.1 ^ features). SFV sec. 4.2 drops 10 %.

    Args:
        spec: Its trail features and tasks are used.
        config: Shape of the towers.
        separate: Tasks that train separately (SFV fig. 5a): their towers have
            embeddings each of its own.
        sparse_gradients: See `FeatureEmbeddings`.
    """

    def __init__(
        self,
        spec: Spec,
        config: TrailConfig,
        *,
        separate: Sequence[str] = (),
        sparse_gradients: bool = True,
    ):
        super().__init__(name="trail_towers")
        self.features = spec.trail_features
        self.dropout = config.dropout
        names = [task.name for task in spec.tasks]
        chosen = [name for name in names if name in (config.tasks or names)]
        together = [name for name in chosen if name not in separate]
        apart = [name for name in chosen if name in separate]
        order = [names.index(name) for name in (*together, *apart)]
        self._placement = tf.one_hot(order, len(names)).numpy()

        def towers(name: str, tasks: list[str], shared: bool) -> SideTowers | None:
            if not tasks:
                return None
            return SideTowers(
                self.features,
                spec.tables,
                towers=len(tasks),
                units=config.units,
                dim=config.dim,
                shared=shared,
                sparse_gradients=sparse_gradients,
                name=name,
            )

        self.towers = towers("trail", together, config.shared)
        self.separate = towers("separate_trail", apart, shared=False)

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Transformed trail features, [B] or [B, length] each -> [B, T] float32."""
        both = [towers for towers in (self.towers, self.separate) if towers]
        logits = tf.concat([towers(inputs) for towers in both], axis=1)
        return tf.matmul(logits, self._placement)

    def drop(
        self, inputs: dict[str, tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """`inputs`, all features missing in the rows that `seed` (int32 [2]) draws."""
        rows = next(iter(inputs.values())).shape[0]
        kept = uniform_rows(rows, 1, seed) >= self.dropout  # [B, 1]
        return {name: _keep(value, kept) for name, value in inputs.items()}

    def missing(self) -> dict[str, tf.Tensor]:
        """One row with every trail feature missing, as in serving."""
        return {f.name: missing_rows(f, 1) for f in self.features}


def _keep(value: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    mask = tf.cast(kept, value.dtype)
    return value * (mask if value.shape.rank == 2 else mask[:, 0])
