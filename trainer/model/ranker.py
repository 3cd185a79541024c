"""The multi-task ranker (SFV fig. 1).

features -> embeddings + numbers -> shared bottom -> structure -> one tower a leaf, plus
one trail tower a task, added to its logits. A leaf is a task, or a task for one
partition of a facet (MFH).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs import ModelConfig, Spec, TaskSpec
from feature_specs.model import StructureConfig, SwitcherConfig
from feature_specs.preset import check_preset, separate_tasks, weighted
from feature_specs.spec import KEY_REQUEST
from trainer.model import chains
from trainer.model.embedding_engine import EmbeddingEngine, feature_name
from trainer.model.embeddings import FeatureEmbeddings, missing_rows
from trainer.model.expert_places import expert_places, pairs_kept_apart
from trainer.model.facets import LeafRows
from trainer.model.network import (
    REQUEST_GROUPS,
    Features,
    Judged,
    Network,
    Part,
    row_count,
    to_rows,
)
from trainer.model.structures import Leaf, Structured
from trainer.model.trail import TrailTowers
from trainer.objective import gradients, imbalance, losses, weighting
from trainer.objective.disentangle import disentangle_loss
from trainer.objective.weighting import surgery
from trainer.replicas import global_sum, replica_count

# Streams of random draws within one step; each network has one more.
_TRAIL_DRAW, _NEGATIVES_DRAW, _SURGERY_DRAW, _NETWORK_DRAW = range(4)


class Batch(NamedTuple):
    """One batch of training rows; B is static, T = tasks in the spec's order.

    Attributes:
        features: Name -> int32 [B] or [B, length], float32 [B] for a number; int32 [B]
            of each facet by values, and of `KEY_REQUEST` where requests stay together
            (0 for a row of none), too.
        labels: float32 [B, T].
        masks: float32 [B, T]; 0 outside a task's sample space and in padded rows.
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
        tasks: [T], each task's loss, as served, before its weight.
        leaves: [L], each leaf's, before its weight.
        leaf_rows: [L], the rows that the leaf's loss is the mean of.
        disentangle: Scalar, before lambda; 0 if it is off.
    """

    total: tf.Tensor
    tasks: tf.Tensor
    leaves: tf.Tensor
    leaf_rows: tf.Tensor
    disentangle: tf.Tensor


class Inside(NamedTuple):
    """What `Ranker.look_inside` shows.

    Attributes:
        structured: Experts and gates of each network.
        losses: [T], the sum of the task's leaves' losses, each times its weight of this
            step; on several replicas this replica's shares.
    """

    structured: tuple[Structured, ...]
    losses: tf.Tensor


class Side(NamedTuple):
    """What one side of R impressions, the request's or the candidate's, brings.

    Attributes:
        parts: One a network.
        kept: Features that are read again once both sides are together.
    """

    parts: tuple[Part, ...]
    kept: Features


class Ranker(tfrs.Model):
    """Predicts every task of the spec for one impression a row.

    R = requests, N = candidates, B = rows, T = tasks, L = leaves.

    Args:
        spec: Features, tasks and facets.
        config: Shape and loss terms.
        label_means: Task -> mean label; the untrained ranker predicts just these.
        label_rows: Task -> training rows of the first day, for losses that count them.
        precision: Type of the dense products, `float32` or `bfloat16`.
        sparse_gradients: See `FeatureEmbeddings`; False for TPU.
        engine: Looks up the tables that it is for; by default all are dense.
        seed: Of the draws in training (which rows lose their trail features).

    Raises:
        SpecError: The preset names a task, feature or facet that the spec lacks.
        ValueError: The structure cannot be built as the preset says, or has no experts
            of a name in `disentangle_without`.
    """

    def __init__(
        self,
        spec: Spec,
        config: ModelConfig,
        label_means: dict[str, float],
        *,
        label_rows: dict[str, float] | None = None,
        precision: str = "float32",
        sparse_gradients: bool = True,
        engine: EmbeddingEngine | None = None,
        seed: int = 0,
    ):
        super().__init__(name="ranker")
        check_preset(config, spec)
        self.spec, self.config, self._seed = spec, config, seed
        self.engine = engine
        self._tasks = weighted(spec, config).tasks
        start = _Start.of(self._tasks, label_means, label_rows)
        biases = start.biases(self._tasks, config)
        apart = separate_tasks(config, spec)
        self.networks: list[Network] = []
        for name, own, tasks in _networks(spec, config, apart):
            behind = self.networks and apart
            self.networks.append(
                Network(
                    spec,
                    own,
                    tasks,
                    biases,
                    policy=_policy(precision),
                    sparse_gradients=sparse_gradients,
                    engine=engine,
                    base=self.networks[0] if behind else None,
                    lends_to=() if behind else apart,
                    name=name,
                )
            )
        self.leaves = tuple(leaf for n in self.networks for leaf in n.leaves)
        self._rows = LeafRows(spec, self.leaves)
        self._leaf_tasks = [self._tasks[index] for index in self._rows.tasks]
        self._chains = chains.place(config.chains, self.leaves)
        self.task_weights = weighting.create(config.weights, self._leaf_tasks)
        # Variables, as a restored ranker goes on with the first day's.
        self.class_weights = tf.Variable(
            start.class_weights[list(self._rows.tasks)],
            trainable=False,
            name="class_weights",
        )
        self.negative_rates = (
            tf.Variable(start.rates, trainable=False, name="negative_rates")
            if any(task.balance for task in self._tasks)
            else start.rates
        )
        self.label_means = (
            tf.Variable(
                [start.means[task.name] for task in self._tasks],
                trainable=False,
                name="label_means",
            )
            if imbalance.steered(self._tasks)
            else None
        )
        kept = [name for network in self.networks for name in network.kept]
        self._kept = tuple(dict.fromkeys([*kept, *self._rows.features]))
        self.trail_towers = (
            TrailTowers(
                spec, config.trail, separate=apart, sparse_gradients=sparse_gradients
            )
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
        first = self.example_features(1)
        if engine:
            engine.create_tables()
            first |= engine.no_vectors(1)
        self(first)  # creates the variables
        if config.disentangle_without:  # are there such experts?
            self._pairs(self._logits(first, training=False)[1].judged)

    @property
    def _leaf_sampling(self) -> tf.Tensor:
        """[L], see `imbalance.log_sampling`."""
        own = imbalance.log_sampling(self._tasks, self.negative_rates)
        return tf.gather(own, self._rows.tasks)

    # --- predictions --------------------------------------------------------------

    def call(self, features: Features, training: bool = False) -> Features:
        """Transformed features -> task -> prediction, float32 [B].

        Trail features may be left out: they count as missing then, as in serving.
        """
        return self.predict_tasks(self.task_logits(features, training))

    def task_logits(self, features: Features, training: bool = False) -> tf.Tensor:
        """Transformed features -> logits [B, T] float32, trail included if known."""
        logits, _ = self._logits(features, training)
        return self._rows.to_tasks(self._unweighted(logits), features)

    def predict_tasks(self, logits: tf.Tensor) -> Features:
        """Logits [B, T] -> task -> prediction, float32 [B]."""
        columns = tf.unstack(losses.predictions(self.spec.tasks, logits), axis=1)
        names = [task.name for task in self.spec.tasks]
        return dict(zip(names, columns, strict=True))

    def with_vectors(self, features: Features) -> Features:
        """With what the embedding engine has for them: one look-up, before all else.

        Features that went through it are not looked up again: on a TPU a step may look
        up once.
        """
        return self.engine(features) if self.engine else features

    def request_side(self, features: Features) -> Side:
        """What follows from the query and context features of R requests.

        Like `candidate_side` off TPU only, if an engine has tables.
        """
        return self._request_side(self._served_vectors(features))

    def candidate_side(self, features: Features) -> Side:
        """What follows from the candidate features of N videos."""
        return self._candidate_side(self._served_vectors(features))

    def _served_vectors(self, features: Features) -> Features:
        return self.engine.look_up(features) if self.engine else features

    def _request_side(self, features: Features) -> Side:
        first, *others = self.networks
        base = first.request_part(features)
        parts = (base, *(n.request_part(features, base) for n in others))
        return Side(parts, self._keep(features, REQUEST_GROUPS))

    def _candidate_side(self, features: Features) -> Side:
        first, *others = self.networks
        base = first.candidate_part(features)
        parts = (base, *(n.candidate_part(features, base) for n in others))
        return Side(parts, self._keep(features, ("candidate",)))

    def from_sides(self, request: Side, candidate: Side) -> Features:
        """One request and N candidates -> task -> prediction, float32 [N]; no trail."""
        return self.predict_tasks(self.logits_from_sides(request, candidate))

    def logits_from_sides(self, request: Side, candidate: Side) -> tf.Tensor:
        """The same -> logits [N, T] float32."""
        rows = row_count(candidate.parts[0].hidden)
        once = {name: to_rows(value, rows) for name, value in request.kept.items()}
        kept = {**once, **candidate.kept}
        logits, _ = self._main_logits(request, candidate, kept, training=False)
        logits += self._rows.to_leaves(self._missing_trail())
        logits = chains.product_logits(logits, self._chains)
        return self._rows.to_tasks(self._unweighted(logits), kept)

    def _unweighted(self, logits: tf.Tensor) -> tf.Tensor:
        """[B, L] as trained -> as they are served, fused and judged: calibrated."""
        return imbalance.unweighted_logits(
            self._leaf_tasks, logits, self.class_weights, self._leaf_sampling
        )

    def example_features(self, rows: int) -> Features:
        """Features of `rows` rows with everything missing; shows names and shapes."""
        own = {f.name: missing_rows(f, rows) for f in self.spec.features}
        made = [entry.name for entry in self.spec.facet_inputs]
        made += [KEY_REQUEST] if self.spec.keeps_requests else []
        return own | {name: tf.zeros([rows], tf.int32) for name in made}

    # --- training -----------------------------------------------------------------

    @property
    def is_steered(self) -> bool:
        """Whether `steer` changes anything."""
        return self.label_means is not None

    def steer(self, aucs: Mapping[str, float | None]) -> dict[str, float]:
        """Sets the sampling of tasks with `balance_by_auc`, for the steps that follow.

        Args:
            aucs: Task -> AUC of a day that is not trained on yet; None where a class
                has no row, and the rate stays.

        Returns:
            Task -> share of its negatives that is trained from here on, of those tasks.
        """
        if self.label_means is None:
            return {}
        assert isinstance(self.negative_rates, tf.Variable)  # as there is a balance
        rates, means = self.negative_rates.numpy(), self.label_means.numpy()
        names = imbalance.steered(self._tasks)
        for index, task in enumerate(self._tasks):
            auc = aucs.get(task.name)
            if task.name in names and auc is not None:
                rates[index] = imbalance.steered_rate(task, float(means[index]), auc)
        self.negative_rates.assign(rates)
        own = zip(self._tasks, rates.tolist(), strict=True)
        return {task.name: rate for task, rate in own if task.name in names}

    def task_losses(self, batch: Batch, training: bool = False) -> Losses:
        """All parts of the loss of one batch (SFV sec. 5.1 and 5.2, PLE eq. 9)."""
        logits, seen = self._logits(batch.features, training)
        leaves, rows = self._leaf_losses(batch, logits, training)
        total = self.task_weights.total(leaves, rows, self.steps)
        total += chains.calibrator_loss(logits, self._chains, batch.weight)
        total += sum(j.structured.penalty for j in seen.judged) / replica_count()
        overlap = tf.zeros([])
        if self.config.disentangle:
            # The same on every replica, whose shares are summed: each gives a part.
            overlap = self._overlap(seen.judged, batch.weight) / replica_count()
            total += self.config.disentangle * overlap
        if self.config.embedding_l2:
            total += self.config.embedding_l2 * _mean_square(seen.sides, batch.weight)
        sampled = training and imbalance.samples_rows(self._tasks)
        served = leaves
        if sampled or self.leaves != self._plain_leaves:
            served = self._served_losses(batch, logits)
        return Losses(total, served, leaves, rows, overlap)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The scalar that training minimises, as TFRS asks for it."""
        return self.task_losses(inputs, training).total

    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """One update of the weights; returns the losses before it.

        Returns:
            `loss` [], `task_losses` [T], `disentangle` [] (see `Losses`), `rows` [] and
            `task_rows` [T], those in each task's sample space.
        """
        apart = self._bends or self.task_weights.reads_gradients
        with tf.GradientTape(persistent=apart) as tape:
            found = self.task_losses(inputs, training=True)
        variables = self.trainable_variables
        slopes = tape.gradient(found.total, variables)
        if apart:
            slopes = self._weigh_apart(tape, found, variables, slopes)
        self.optimizer.apply_gradients(zip(slopes, variables, strict=True))
        self.steps.assign_add(1)
        return {
            "loss": found.total,
            "task_losses": found.tasks,
            "disentangle": found.disentangle,
            "rows": tf.reduce_sum(inputs.weight),
            "task_rows": tf.reduce_sum(inputs.masks, axis=0),
        }

    def _weigh_apart(
        self,
        tape: tf.GradientTape,
        found: Losses,
        variables: list[tf.Variable],
        slopes: list[tf.Tensor],
    ) -> list[tf.Tensor]:
        """Each leaf's own gradient: bends the sum (PCGrad, MGDA, GradDrop), or moves
        weights (GradNorm).

        All read the weights that several leaves share; GradNorm the last layer's.
        """
        shared = [v for network in self.networks for v in network.shared_variables]
        last = [v for network in self.networks for v in network.last_shared]
        wanted = shared if self._bends else last
        own = gradients.task_gradients(tape, found.leaves, wanted)
        places = {v.ref(): index for index, v in enumerate(wanted)}
        if self._bends:
            weights = self.task_weights.current(self.steps)
            bend = self.task_weights.correction
            if self.config.weights.surgery:
                bend = surgery.correction
            change = bend(own, weights, self._draw_seed(_SURGERY_DRAW))
            slopes = [
                slope + change[places[v.ref()]] if v.ref() in places else slope
                for v, slope in zip(variables, slopes, strict=True)
            ]
            slopes = surgery.after(weights, slopes)
            own = surgery.after(weights, own)
        norms = gradients.norms([own[places[v.ref()]] for v in last])
        self.task_weights.update(norms, found.leaves, found.leaf_rows)
        return slopes

    @property
    def _bends(self) -> bool:
        """Whether leaves' gradients are more than added up."""
        return self.config.weights.surgery or self.task_weights.bends()

    def look_inside(self, batch: Batch) -> Inside:
        """What `trainer.inspection` reads of one batch; nothing is drawn at random."""
        logits, seen = self._logits(batch.features, training=False)
        leaves, _ = self._leaf_losses(batch, logits, training=False)
        weighted = leaves * self.task_weights.current(self.steps)
        by_task = tf.math.unsorted_segment_sum(
            weighted, self._rows.tasks, len(self.spec.tasks)
        )
        return Inside(tuple(j.structured for j in seen.judged), by_task)

    @property
    def table_variables(self) -> list[tf.Variable]:
        """Every dense embedding table, the side towers' included."""
        return [
            variable
            for module in self.submodules
            if isinstance(module, FeatureEmbeddings)
            for variable in module.trainable_variables
        ]

    @property
    def engine_variables(self) -> list[tf.Variable]:
        """The tables on the embedding engine; on a TPU what stands for them."""
        return self.engine.trainable_variables if self.engine else []

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """Every other trainable variable."""
        tables = {v.ref() for v in (*self.table_variables, *self.engine_variables)}
        return [v for v in self.trainable_variables if v.ref() not in tables]

    # --- parts --------------------------------------------------------------------

    def _logits(self, features: Features, training: bool) -> tuple[tf.Tensor, _Seen]:
        """-> [B, L] with trail, and what was seen on the way."""
        features = self.with_vectors(features)
        for network in self.networks:
            features = network.embeddings.look_up_ahead(features)
        request = self._request_side(features)
        candidate = self._candidate_side(features)
        kept = {**request.kept, **candidate.kept}
        logits, judged = self._main_logits(request, candidate, kept, training)
        logits += self._rows.to_leaves(self._trail_logits(features, training))
        logits = chains.product_logits(logits, self._chains)
        return logits, _Seen(judged, (request, candidate))

    def _main_logits(
        self, request: Side, candidate: Side, kept: Features, training: bool
    ) -> tuple[tf.Tensor, tuple[Judged, ...]]:
        """-> logits [B, L] float32 without trail, and a Judged of each network."""
        judged = tuple(
            network(own, other, kept, training=training, seed=self._draw_seed(stream))
            for stream, (network, own, other) in enumerate(
                zip(self.networks, request.parts, candidate.parts, strict=True),
                start=_NETWORK_DRAW,
            )
        )
        return tf.concat([j.logits for j in judged], axis=1), judged

    def _trail_logits(self, features: Features, training: bool) -> tf.Tensor:
        """[B, T], or [1, T] where no trail is known; 0 without trail towers."""
        towers = self.trail_towers
        if towers is None or any(f.name not in features for f in towers.features):
            return self._missing_trail()
        own = {f.name: features[f.name] for f in towers.features}
        if training and towers.dropout:
            own = towers.drop(own, self._draw_seed(_TRAIL_DRAW))
        return towers(own)

    def _missing_trail(self) -> tf.Tensor:
        """[1, T]: what the trail towers say where nothing is known, as in serving."""
        if self.trail_towers is None:
            return tf.zeros([1, len(self.spec.tasks)])
        return self.trail_towers(self.trail_towers.missing())

    def _leaf_losses(
        self, batch: Batch, logits: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses [L] and rows [L], of the rows that train each leaf."""
        masks, sampling = batch.masks, None
        if training and imbalance.samples_rows(self._tasks):
            seed, rates = self._draw_seed(_NEGATIVES_DRAW), self.negative_rates
            masks = imbalance.sampled_masks(
                self._tasks, batch.labels, masks, rates, seed
            )
            sampling = self._leaf_sampling
        masks = self._rows.to_leaves(masks)
        trains = self._rows.trains(batch.features)
        if trains is not None:
            masks *= trains
        found = losses.task_losses(
            self._leaf_tasks,
            logits,
            self._rows.to_leaves(batch.labels),
            masks,
            class_weights=self.class_weights,
            sampling=sampling,
            requests=batch.features.get(KEY_REQUEST),
        )
        return found, tf.reduce_sum(masks, axis=0)

    def _served_losses(self, batch: Batch, logits: tf.Tensor) -> tf.Tensor:
        """[T], over all rows, each row's through its own leaf."""
        own = self._rows.to_tasks(tf.stop_gradient(logits), batch.features)
        return losses.task_losses(
            self._tasks,
            own,
            batch.labels,
            batch.masks,
            class_weights=tf.gather(self.class_weights, self._rows.first_leaves),
            requests=batch.features.get(KEY_REQUEST),
        )

    @property
    def _plain_leaves(self) -> tuple[Leaf, ...]:
        return tuple(Leaf(task.name) for task in self.spec.tasks)

    def _overlap(self, judged: tuple[Judged, ...], weight: tf.Tensor) -> tf.Tensor:
        """The mean over all levels of experts; 0 without any."""
        levels = [e for j in judged for e in j.structured.kept_apart]
        pairs = self._pairs(judged)
        found = [
            disentangle_loss(level, weight, own)
            for level, own in zip(levels, pairs, strict=True)
            if own.any()
        ]
        return tf.add_n(found) / len(found) if found else tf.zeros([])

    def _pairs(self, judged: tuple[Judged, ...]) -> list[npt.NDArray[np.float32]]:
        """Of each level of experts of each network, see `pairs_kept_apart`."""
        places = [
            place
            for network, own in zip(self.networks, judged, strict=True)
            for place in expert_places(
                network.structure.gatings,
                [(e.shape[1], e.shape[2]) for e in own.structured.kept_apart],
            )
        ]
        return pairs_kept_apart(places, self.config.disentangle_without)

    def _keep(self, features: Features, groups: tuple[str, ...]) -> Features:
        names = [f.name for f in self.spec.features if f.group in groups]
        made = self.spec.facet_inputs
        names += [entry.name for entry in made if entry.feature.group in groups]
        return {key: features[key] for key in self._kept if feature_name(key) in names}

    def _draw_seed(self, stream: int) -> tf.Tensor:
        first = self._seed * (_NETWORK_DRAW + len(self.networks)) + stream
        return tf.stack([first, tf.cast(self.steps, tf.int32)])


class _Start(NamedTuple):
    """What follows from the first day's labels.

    Attributes:
        means: Task -> label mean.
        rates: [T], see `imbalance.negative_rates`.
        class_weights: [T, 2], see `imbalance.class_weights`.
    """

    means: dict[str, float]
    rates: npt.NDArray[Any]
    class_weights: npt.NDArray[Any]

    @classmethod
    def of(
        cls,
        tasks: Sequence[TaskSpec],
        means: dict[str, float],
        rows: dict[str, float] | None,
    ) -> _Start:
        """Task -> its label mean and, for losses that count them, its rows."""
        own = np.array([means[task.name] for task in tasks])
        rates = imbalance.negative_rates(tasks, own)
        counts = np.array([(rows or {}).get(task.name, 1.0) for task in tasks])
        repeats = np.array([task.positive_rate for task in tasks])
        weights = imbalance.class_weights(
            tasks, counts * own * repeats, counts * (1 - own) * rates
        )
        return cls(means, rates, weights)

    def biases(
        self, tasks: Sequence[TaskSpec], config: ModelConfig
    ) -> dict[str, float]:
        """Task -> logit of the untrained network, which serves the label means."""
        sampling = imbalance.log_sampling(tasks, self.rates).numpy()
        trained = {
            task.name: imbalance.trained_mean(
                task, self.means[task.name], weights=own, sampling=raised
            )
            for task, own, raised in zip(
                tasks, self.class_weights, sampling, strict=True
            )
        }
        trained = chains.conditional_means(config.chains, trained)
        return {t.name: losses.initial_bias(t, trained[t.name]) for t in tasks}


class _Seen(NamedTuple):
    """What the losses need beside the logits."""

    judged: tuple[Judged, ...]
    sides: tuple[Side, Side]


def _networks(
    spec: Spec, config: ModelConfig, separate: Sequence[str]
) -> list[tuple[str, ModelConfig, list[str]]]:
    """Name, shape and tasks of each network.

    One for all; for `single` one a task; with tasks that train separately (SFV fig. 5a)
    one for the others, and then one for each of them: a bottom and a tower.
    """
    tasks = [task.name for task in spec.tasks]
    own = dataclasses.replace(config, structure=StructureConfig())
    if config.structure.of_kind.apart:
        return [(f"network_{task}", own, [task]) for task in tasks]
    together = [task for task in tasks if task not in separate]
    own = dataclasses.replace(
        own, switcher=SwitcherConfig(kind="shared_bottom", units=())
    )
    return [
        ("network", config, together),
        *((f"separate_{task}", own, [task]) for task in separate),
    ]


def _policy(precision: str) -> tf.keras.mixed_precision.Policy:
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    return tf.keras.mixed_precision.Policy(names[precision])


def _mean_square(sides: tuple[Side, Side], weight: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean squared norm of a row's embeddings."""
    parts = [part for side in sides for part in side.parts]
    norms = tf.add_n(
        [tf.reduce_sum(tf.square(p.inputs[:, : p.embedded]), axis=1) for p in parts]
    )
    return tf.reduce_sum(norms * weight) / global_sum(tf.reduce_sum(weight))
