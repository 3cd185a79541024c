"""Trail towers: what a watch trail does to every task, learnt apart (SFV sec. 4.2)."""

from __future__ import annotations

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs import Spec
from feature_specs.model import TrailConfig
from trainer.embeddings import FeatureEmbeddings, missing_rows, numbers
from trainer.layers import BatchedDense, BatchedMLP
from trainer.replicas import uniform_rows


class TrailTowers(tf.keras.layers.Layer):
    """One shallow tower a task; its output is added to the task's logit.

    B = batch, K = all tasks. The towers read only features of group `trail`, through
    embeddings that they share with each other and with nobody else, so that the main
    model never sees a trail. In training one draw a row drops all of its trail
    features together, to id 0 ("missing") and number 0. The served state, where all
    are missing, is then one that `dropout` of the rows have trained: dropping them one
    by one would train it on next to none (0.1 ^ features). SFV sec. 4.2 drops 10 %.

    Args:
        spec: Its trail features and tasks are used.
        config: Shape of the towers.
        sparse_gradients: See `FeatureEmbeddings`.
    """

    def __init__(
        self, spec: Spec, config: TrailConfig, *, sparse_gradients: bool = True
    ):
        super().__init__(name="trail_towers")
        self.features = spec.trail_features
        self.dropout = config.dropout
        chosen = _chosen(spec, config)
        self._placement = tf.one_hot(chosen, len(spec.tasks)).numpy()
        self.embeddings = FeatureEmbeddings(
            self.features,
            spec.tables,
            width=config.dim,
            sparse_gradients=sparse_gradients,
            name="trail_embeddings",
        )
        self.hidden = BatchedMLP(len(chosen), config.units)
        self.output_layer = BatchedDense(len(chosen), 1, use_bias=False, zero=True)

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Transformed trail features, [B] or [B, length] each -> [B, K] float32."""
        x = tf.concat(
            [self.embeddings(inputs, self.features), numbers(inputs, self.features)],
            axis=1,
        )
        logits = tf.squeeze(self.output_layer(self.hidden(x)), axis=2)  # [B, chosen]
        return tf.matmul(logits, self._placement)

    def drop(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor) -> dict:
        """`inputs`, all features missing in the rows that `seed` (int32 [2]) draws."""
        rows = next(iter(inputs.values())).shape[0]
        kept = uniform_rows(rows, 1, seed) >= self.dropout  # [B, 1]
        return {name: _keep(value, kept) for name, value in inputs.items()}

    def missing(self) -> dict[str, tf.Tensor]:
        """One row with every trail feature missing, as in serving."""
        return {f.name: missing_rows(f, 1) for f in self.features}


def _chosen(spec: Spec, config: TrailConfig) -> list[int]:
    """Positions, among all tasks, of those with a tower."""
    names = [task.name for task in spec.tasks]
    unknown = sorted(set(config.tasks) - set(names))
    if unknown:
        raise ValueError(
            f"trail.tasks: must be tasks of spec {spec.name!r}. Got {unknown[0]!r}. "
            f"Known: {', '.join(names)}."
        )
    return [i for i, name in enumerate(names) if name in (config.tasks or names)]


def _keep(value: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    mask = tf.cast(kept, value.dtype)
    return value * (mask if value.shape.rank == 2 else mask[:, 0])
