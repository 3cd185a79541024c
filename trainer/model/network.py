"""One network: features -> embeddings -> shared bottom -> structure -> towers.

What depends on the request only and on the candidate only is computed apart (`part`)
and joined, so that serving computes the request's side once for all candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs import FeatureSpec, ModelConfig, Spec
from trainer.model import structures
from trainer.model.attention import Attention
from trainer.model.dense_inputs import DenseInputs, cosine
from trainer.model.embedding_engine import EmbeddingEngine
from trainer.model.embeddings import FeatureEmbeddings
from trainer.model.layers import BatchedMLP
from trainer.model.side_towers import SideTowers
from trainer.model.structures import Structured
from trainer.model.towers import Towers
from trainer.replicas import uniform_rows

Features = dict[str, tf.Tensor]

REQUEST_GROUPS = ("query", "context")


class Part(NamedTuple):
    """What one side of R impressions, the request's or the candidate's, brings.

    Attributes:
        hidden: Its share of the first dense layer, [R, H].
        inputs: Its embeddings [R, D], then its numbers, float32.
        embedded: D; 0 where they are another network's.
    """

    hidden: tf.Tensor
    inputs: tf.Tensor
    embedded: int


class Judged(NamedTuple):
    """What a network says of B impressions.

    Attributes:
        logits: [B, L] float32, one a leaf, without trail.
        structured: Experts, gates and penalty on the way there.
    """

    logits: tf.Tensor
    structured: Structured


class Network(tf.keras.layers.Layer):
    """The ranker without its trail towers, for some tasks.

    R = requests, N = candidates, B = rows, H = width of the first dense layer,
    L = leaves: see `trainer.model.structures`.

    Args:
        spec: Features, tables and facets.
        config: Shape.
        tasks: Names of the tasks it predicts.
        biases: Leaf's task -> logit of the untrained network.
        policy: Precision of the dense products.
        sparse_gradients: See `FeatureEmbeddings`.
        engine: Takes on the tables that it is for.
        base: The network whose embeddings and numbers this one reads, behind a stopped
            gradient (SFV fig. 5a); by default it has its own.
        lends_to: Tasks of networks that will read this one's.

    Attributes:
        leaves: What the logits are.
        kept: Features that are read once more when both sides are together, and the
            keys of their vectors.
    """

    def __init__(
        self,
        spec: Spec,
        config: ModelConfig,
        tasks: Sequence[str],
        biases: dict[str, float],
        *,
        policy: tf.keras.mixed_precision.Policy,
        sparse_gradients: bool = True,
        engine: EmbeddingEngine | None = None,
        base: Network | None = None,
        lends_to: Sequence[str] = (),
        name: str = "network",
    ):
        # The parts come in the precision of the layers that made them.
        super().__init__(name=name, autocast=False)
        self._spec, self._config = spec, config
        self._behind = base is not None
        own = {
            task: [spec.feature(name) for name in tower.inputs]
            for task, tower in config.towers.items()
            if task in (*tasks, *lends_to) and tower.inputs
        }
        shared = [f for f in spec.served_features if not self._is_own(f)]
        mine = [f for features in own.values() for f in features]
        self._own = {task: own[task] for task in own if task in tasks}
        self._attended = tuple(f for f in shared if f.pooling == "attention")
        plain = [f for f in shared if f not in self._attended]
        self._request = tuple(f for f in plain if f.group in REQUEST_GROUPS)
        self._candidate = tuple(f for f in plain if f.group == "candidate")
        embedded = [f for f in spec.served_features if f in shared or f in mine]
        lookup = None if base else engine  # the base's vectors are in it already
        own_vectors = lookup.add(name, embedded, spec.tables) if lookup else {}
        self._vectors: dict[str, str] = base._vectors if base else own_vectors
        self.embeddings: FeatureEmbeddings = (
            base.embeddings
            if base
            else FeatureEmbeddings(
                embedded,
                spec.tables,
                unified=config.unified,
                vectors=self._vectors,
                sparse_gradients=sparse_gradients,
                ahead="" if sparse_gradients else name,
                rounded=policy.compute_dtype == "bfloat16",
            )
        )
        self.dense_inputs: DenseInputs = (
            base.dense_inputs
            if base
            else DenseInputs(embedded, dtype=policy, name="numbers")
        )
        self._compared = tuple(
            f for f in embedded if f.target and f not in self._attended
        )
        self._add_bottom(policy)
        facets = {name: tuple(f.partitions) for name, f in spec.facets.items()}
        self.structure = structures.create(config, tasks, facets, dtype=policy)
        self.leaves = self.structure.leaves
        self.towers = Towers(
            self.leaves,
            config,
            [biases[leaf.task] for leaf in self.leaves],
            dtype=policy,
        )
        self.bias_tower = self._create_bias_tower(sparse_gradients)
        self.kept = self._kept()

    def _is_own(self, feature: FeatureSpec) -> bool:
        """Whether only towers read the feature (MFH sec. IV-E)."""
        named = (tower.inputs for tower in self._config.towers.values())
        return any(feature.name in names for names in named)

    def _add_bottom(self, policy: tf.keras.mixed_precision.Policy) -> None:
        config = self._config
        first, *others = config.bottom
        dense = tf.keras.layers.Dense
        self.request_layer = dense(first, use_bias=False, dtype=policy, name="request")
        self.candidate_layer = dense(
            first, use_bias=False, dtype=policy, name="candidate"
        )
        self.cross = [
            tfrs.layers.feature_interaction.Cross(
                projection_dim=config.cross.rank or None, dtype=policy
            )
            for _ in range(config.cross.layers)
        ]
        self.attention = {f.name: Attention(dtype=policy) for f in self._attended}
        joint = self.cross or self.attention or self._compared
        self.joint_layer = (
            dense(first, use_bias=False, dtype=policy, name="joint") if joint else None
        )
        self.bottom_bias = self.add_weight(
            name="bottom_bias", shape=(first,), initializer="zeros"
        )
        self.bottom = BatchedMLP(1, others, dtype=policy)

    def _create_bias_tower(self, sparse_gradients: bool) -> SideTowers | None:
        bias = self._config.bias
        if not bias.features:
            return None
        return SideTowers(
            [self._spec.feature(name) for name in bias.features],
            self._spec.tables,
            towers=len(self.leaves),
            units=bias.units,
            dim=bias.dim,
            sparse_gradients=sparse_gradients,
            name="bias",
        )

    def _kept(self) -> tuple[str, ...]:
        names = [f.name for features in self._own.values() for f in features]
        both = (*self._attended, *self._compared)
        names += [n for f in both for n in (f.name, f.target)]
        names += [self._vectors[name] for name in names if name in self._vectors]
        return tuple(dict.fromkeys([*names, *self._config.bias.features]))

    @property
    def shared_variables(self) -> list[tf.Variable]:
        """Dense weights below the towers: what several leaves may move."""
        layers = [self.request_layer, self.candidate_layer, *self.cross]
        layers += [] if self._behind else [self.dense_inputs]
        layers += [*self.attention.values(), self.bottom, self.structure]
        layers += [self.joint_layer] if self.joint_layer else []
        return [self.bottom_bias, *(v for x in layers for v in x.trainable_variables)]

    @property
    def last_shared(self) -> list[tf.Variable]:
        """Kernels of the last layer that all leaves share (GradNorm's W)."""
        if self.bottom.stack:
            return [self.bottom.stack[-1].kernel]
        return [self.request_layer.kernel, self.candidate_layer.kernel]

    # --- both sides apart -------------------------------------------------------------

    def request_part(self, features: Features, base: Part | None = None) -> Part:
        """Query and context features of R requests.

        Args:
            features: Transformed.
            base: What the network has made of them whose inputs this one reads.
        """
        return self._part(features, self._request, self.request_layer, base)

    def candidate_part(self, features: Features, base: Part | None = None) -> Part:
        """Candidate features of N videos; the arguments are those of `request_part`."""
        return self._part(features, self._candidate, self.candidate_layer, base)

    def _part(
        self,
        features: Features,
        group: Sequence[FeatureSpec],
        layer: tf.keras.layers.Layer,
        base: Part | None,
    ) -> Part:
        if self._behind:
            assert base is not None
            inputs = tf.stop_gradient(base.inputs)
            return Part(layer(inputs), inputs, 0)
        embedded = self.embeddings(features, group)
        inputs = tf.concat([embedded, self.dense_inputs(features, group)], axis=1)
        return Part(layer(inputs), inputs, embedded.shape[1])

    # --- and together -----------------------------------------------------------------

    def call(
        self,
        request: Part,
        candidate: Part,
        kept: Features,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Judged:
        """Both sides of B impressions, or of one request and B candidates.

        Args:
            request: Of B rows or of one.
            candidate: Of B rows.
            kept: The features of `self.kept`, of B rows each.
            training: Whether to drop and draw at random.
            seed: int32 [2], of those draws.
        """
        hidden = request.hidden + candidate.hidden
        if self.joint_layer is not None:
            hidden += self.joint_layer(self._joint(request, candidate, kept))
        x = tf.nn.relu(hidden + tf.cast(self.bottom_bias, hidden.dtype))
        x = self.bottom(x[:, tf.newaxis])[:, 0]
        if training and self._config.dropout:
            x = _drop(x, self._config.dropout, seed)
        structured = self.structure(x, training=training, seed=seed)
        own = {t: self._own_inputs(kept, t) for t in self._own}
        logits = self.towers(structured.outputs, own)
        if self.bias_tower is not None:
            logits += self.bias_tower(kept)
        return Judged(logits, structured)

    def _joint(self, request: Part, candidate: Part, kept: Features) -> tf.Tensor:
        """What needs both sides at once: crosses, attention and cosines, [B, J]."""
        parts = [
            self.attention[f.name](
                self._read(self.embeddings.steps(kept, f)),
                kept[f.name] > 0,
                self._read(self.embeddings(kept, [self._target(f)])),
            )
            for f in self._attended
        ]
        parts += [cosine(kept[f.name], kept[f.target]) for f in self._compared]
        if self.cross:
            rows = row_count(candidate.inputs)
            both = [to_rows(request.inputs, rows), candidate.inputs]
            parts.append(self._crossed(tf.concat(both, axis=1)))
        return tf.concat(parts, axis=1)

    def _crossed(self, x: tf.Tensor) -> tf.Tensor:
        """DCN v2: x_(l+1) = x_0 * (W_l x_l + b_l) + x_l."""
        x = tf.cast(x, self.cross[0].compute_dtype)  # Keras casts first arguments only
        crossed = x
        for layer in self.cross:
            crossed = layer(x, crossed)
        return crossed

    def _target(self, feature: FeatureSpec) -> FeatureSpec:
        return self._spec.feature(feature.target)

    def _own_inputs(self, kept: Features, task: str) -> tf.Tensor:
        features = self._own[task]
        embedded = self.embeddings(kept, features)
        numbers = self.dense_inputs(kept, features)
        return self._read(tf.concat([embedded, numbers], axis=1))

    def _read(self, inputs: tf.Tensor) -> tf.Tensor:
        """What is another network's gets no gradient from this one."""
        return tf.stop_gradient(inputs) if self._behind else inputs


def to_rows(value: tf.Tensor, rows: tf.Tensor | int) -> tf.Tensor:
    """[1, ...] or [rows, ...] -> [rows, ...]."""
    if isinstance(rows, int) and value.shape[0] == rows:
        return value
    return tf.broadcast_to(value, tf.concat([[rows], tf.shape(value)[1:]], axis=0))


def row_count(value: tf.Tensor) -> tf.Tensor | int:
    """Rows of a tensor, as a number where it is known."""
    return tf.shape(value)[0] if value.shape[0] is None else value.shape[0]


def _drop(x: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Inverted dropout of [B, D]."""
    rows, columns = x.shape
    kept = tf.cast(uniform_rows(rows, columns, seed) >= share, x.dtype)
    return x * kept / (1 - share)
