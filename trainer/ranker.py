"""The multi-task ranker (SFV fig. 1).

features -> embeddings + numbers -> shared bottom -> switcher -> one tower a task,
plus one trail tower a task, added to its logit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs import FeatureSpec, ModelConfig, Spec, TaskSpec
from trainer import switchers
from trainer.disentangle import disentangle_loss
from trainer.embeddings import FeatureEmbeddings, missing_rows, numbers
from trainer.layers import BatchedDense, BatchedMLP
from trainer.losses import loss_weights, task_losses
from trainer.replicas import global_sum, replica_count, uniform_rows
from trainer.trail import TrailTowers

Features = dict[str, tf.Tensor]

_TRAIL_DRAW, _DROPOUT_DRAW = 0, 1  # streams of random draws within one step
_RAREST = 1e-6  # label means are kept this far from 0 and 1


class Batch(NamedTuple):
    """One batch of training rows; B is static, K = tasks in the spec's order.

    Attributes:
        features: Name -> int32 [B] or [B, length], float32 [B] for a number.
        labels: float32 [B, K].
        masks: float32 [B, K]; 0 outside a task's sample space and in padded rows.
        weight: float32 [B]; 0 in padded rows, else 1.
    """

    features: Features
    labels: tf.Tensor
    masks: tf.Tensor
    weight: tf.Tensor


class Losses(NamedTuple):
    """The parts of the loss; on several replicas this replica's shares of them.

    Attributes:
        total: Scalar to minimise.
        tasks: [K], each task's loss before its weight.
        disentangle: Scalar, before lambda; 0 if it is off.
    """

    total: tf.Tensor
    tasks: tf.Tensor
    disentangle: tf.Tensor


class Ranker(tfrs.Model):
    """Predicts every task of the spec for one impression a row.

    R = requests, N = candidates, B = rows, H = width of the first dense layer,
    K = tasks.

    Args:
        spec: Features and tasks.
        config: Shape and loss terms.
        label_means: Task -> mean label; the untrained ranker predicts just these.
        precision: Type of the dense products, `float32` or `bfloat16`.
        sparse_gradients: See `FeatureEmbeddings`; False for TPU.
        seed: Of the draws in training (which rows lose their trail features).
    """

    def __init__(
        self,
        spec: Spec,
        config: ModelConfig,
        label_means: dict[str, float],
        *,
        precision: str = "float32",
        sparse_gradients: bool = True,
        seed: int = 0,
    ):
        super().__init__(name="ranker")
        self.spec, self.config, self._seed = spec, config, seed
        self._policy = _policy(precision)
        self._request = tuple(f for f in spec.features if f.group in _REQUEST_GROUPS)
        self._candidate = tuple(f for f in spec.features if f.group == "candidate")
        self.embeddings = FeatureEmbeddings(
            spec.served_features, spec.tables, sparse_gradients=sparse_gradients
        )
        self._add_network(label_means)
        self.trail_towers = (
            TrailTowers(spec, config.trail, sparse_gradients=sparse_gradients)
            if spec.trail_features
            else None
        )
        self.steps = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="steps",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self(self.example_features(1))  # creates the variables

    def _add_network(self, label_means: dict[str, float]) -> None:
        config, tasks, policy = self.config, self.spec.tasks, self._policy
        first, *others = _checked_bottom(config)
        self.request_layer = _dense(first, policy, use_bias=False, name="request")
        self.candidate_layer = _dense(first, policy, use_bias=False, name="candidate")
        self.bottom_bias = self.add_weight(
            name="bottom_bias", shape=(first,), initializer="zeros"
        )
        self.bottom = [
            _dense(width, policy, activation="relu", name=f"bottom_{index}")
            for index, width in enumerate(others, start=1)
        ]
        self.switcher = switchers.create(config.switcher, len(tasks), dtype=policy)
        self.towers = BatchedMLP(len(tasks), config.tower, dtype=policy)
        self.heads = BatchedDense(len(tasks), 1, use_bias=False, zero=True)
        self.output_bias = self.add_weight(
            name="output_bias",
            shape=(len(tasks),),
            initializer=tf.constant_initializer(
                [_initial_bias(task, label_means) for task in tasks]
            ),
        )

    # --- predictions --------------------------------------------------------------

    def call(self, features: Features, training: bool = False) -> Features:
        """Transformed features -> task -> prediction, float32 [B].

        Trail features may be left out: they count as missing then, as in serving.
        """
        _, parts = self._encode_both(features)
        logits, _ = self._main_logits(parts, training)
        return self._predictions(logits + self._trail_logits(features, training))

    def request_part(self, features: Features) -> tf.Tensor:
        """Query and context features of R requests -> their share of H, [R, H]."""
        return self.request_layer(self._encode(features, self._request)[0])

    def candidate_part(self, features: Features) -> tf.Tensor:
        """Candidate features of N videos -> their share of H, [N, H]."""
        return self.candidate_layer(self._encode(features, self._candidate)[0])

    def from_parts(self, parts: tf.Tensor) -> Features:
        """Sum of both parts [N, H] -> task -> prediction, float32 [N]; no trail."""
        logits, _ = self._main_logits(parts, training=False)
        if self.trail_towers is not None:
            logits += self.trail_towers(self.trail_towers.missing())
        return self._predictions(logits)

    def example_features(self, rows: int) -> Features:
        """Features of `rows` rows with everything missing; shows names and shapes."""
        return {f.name: missing_rows(f, rows) for f in self.spec.features}

    # --- training -----------------------------------------------------------------

    def task_losses(self, batch: Batch, training: bool = False) -> Losses:
        """All parts of the loss of one batch (SFV sec. 5.1 and 5.2, PLE eq. 9)."""
        embedded, parts = self._encode_both(batch.features)
        logits, experts = self._main_logits(parts, training)
        logits += self._trail_logits(batch.features, training)
        losses = task_losses(self.spec.tasks, logits, batch.labels, batch.masks)
        total = tf.reduce_sum(losses * loss_weights(self.spec.tasks))
        overlap = tf.zeros([])
        if self.config.disentangle and experts is not None:
            # The same on every replica, whose shares are summed: each gives a part.
            overlap = disentangle_loss(experts, batch.weight) / replica_count()
            total += self.config.disentangle * overlap
        if self.config.embedding_l2:
            total += self.config.embedding_l2 * _mean_square(embedded, batch.weight)
        return Losses(total, losses, overlap)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The scalar that training minimises, as TFRS asks for it."""
        return self.task_losses(inputs, training).total

    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """One update of the weights; returns the losses before it.

        Returns:
            `loss` [], `task_losses` [K], `disentangle` [] (see `Losses`), `rows` [] and
            `task_rows` [K], those in each task's sample space.
        """
        with tf.GradientTape() as tape:
            losses = self.task_losses(inputs, training=True)
        variables = self.trainable_variables
        gradients = tape.gradient(losses.total, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.steps.assign_add(1)
        return {
            "loss": losses.total,
            "task_losses": losses.tasks,
            "disentangle": losses.disentangle,
            "rows": tf.reduce_sum(inputs.weight),
            "task_rows": tf.reduce_sum(inputs.masks, axis=0),
        }

    @property
    def table_variables(self) -> list[tf.Variable]:
        """Every embedding table, the trail towers' included."""
        tables = list(self.embeddings.trainable_variables)
        if self.trail_towers is not None:
            tables += self.trail_towers.embeddings.trainable_variables
        return tables

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """Every other trainable variable."""
        tables = {v.ref() for v in self.table_variables}
        return [v for v in self.trainable_variables if v.ref() not in tables]

    # --- parts --------------------------------------------------------------------

    def _encode_both(self, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """-> looked-up embeddings [B, D] and the sum of both parts [B, H]."""
        query, query_embedded = self._encode(features, self._request)
        video, video_embedded = self._encode(features, self._candidate)
        parts = self.request_layer(query) + self.candidate_layer(video)
        return tf.concat([query_embedded, video_embedded], axis=1), parts

    def _encode(
        self, features: Features, group: tuple[FeatureSpec, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """-> input of the first layer [B, D + N], and its embedded part [B, D]."""
        own = {f.name: features[f.name] for f in group}
        embedded = self.embeddings(own, group)
        return tf.concat([embedded, numbers(own, group)], axis=1), embedded

    def _main_logits(self, parts: tf.Tensor, training: bool):
        """Sum of both parts [B, H] -> logits [B, K] float32 without trail, experts."""
        x = tf.nn.relu(parts + tf.cast(self.bottom_bias, parts.dtype))
        for layer in self.bottom:
            x = layer(x)
        if training and self.config.dropout:
            x = self._drop(x)
        switched = self.switcher(x, training=training)
        heads = self.heads(self.towers(switched.outputs))  # [B, K, 1] float32
        logits = tf.squeeze(heads, axis=2) + self.output_bias
        return logits, switched.expert_outputs

    def _trail_logits(self, features: Features, training: bool) -> tf.Tensor:
        """[B, K], or [1, K] where no trail is known; 0 without trail towers."""
        towers = self.trail_towers
        if towers is None:
            return tf.zeros([])
        if any(f.name not in features for f in self.spec.trail_features):
            return towers(towers.missing())
        own = {f.name: features[f.name] for f in self.spec.trail_features}
        if training and towers.dropout:
            own = towers.drop(own, self._draw_seed(_TRAIL_DRAW))
        return towers(own)

    def _drop(self, x: tf.Tensor) -> tf.Tensor:
        """Inverted dropout of the bottom's outputs [B, D]."""
        rows, columns = x.shape
        draws = uniform_rows(rows, columns, self._draw_seed(_DROPOUT_DRAW))
        kept = tf.cast(draws >= self.config.dropout, x.dtype)
        return x * kept / (1 - self.config.dropout)

    def _draw_seed(self, stream: int) -> tf.Tensor:
        return tf.stack([2 * self._seed + stream, tf.cast(self.steps, tf.int32)])

    def _predictions(self, logits: tf.Tensor) -> Features:
        columns = tf.unstack(logits, axis=1)
        return {
            task.name: tf.sigmoid(column) if task.kind == "binary" else column
            for task, column in zip(self.spec.tasks, columns, strict=True)
        }


_REQUEST_GROUPS = ("query", "context")


def _checked_bottom(config: ModelConfig) -> tuple[int, ...]:
    if not config.bottom:
        raise ValueError(
            "bottom: must have one layer at least, where the request's and the "
            "candidate's parts are added. Got none. Give it a width, like [128]."
        )
    return config.bottom


def _policy(precision: str) -> tf.keras.mixed_precision.Policy:
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    return tf.keras.mixed_precision.Policy(names[precision])


def _dense(width: int, policy, **kwargs) -> tf.keras.layers.Dense:
    return tf.keras.layers.Dense(width, dtype=policy, **kwargs)


def _initial_bias(task: TaskSpec, label_means: dict[str, float]) -> float:
    """The logit at which the untrained ranker predicts the label mean."""
    mean = label_means[task.name]
    if task.kind == "regression":
        return mean
    mean = min(max(mean, _RAREST), 1 - _RAREST)
    return math.log(mean / (1 - mean))


def _mean_square(embedded: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean squared norm of a row: [B, D], [B] -> []."""
    norms = tf.reduce_sum(tf.square(embedded), axis=1)
    return tf.reduce_sum(norms * weight) / global_sum(tf.reduce_sum(weight))
