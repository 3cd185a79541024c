"""How the weights move: one optimizer for the network, one for the tables."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs.model import OptimizerConfig
from trainer.model.ranker import Ranker

# The loss is a mean over the batch, so a row's gradient is about 1e-3. Keras' default
# of 0.1 would swallow it: the accumulator has to start where such gradients count.
_TABLE_ACCUMULATOR = 1e-4
_CLIPPY_FREE_MOVE = 1e-3  # of any weight in a step


def of_tables(config: OptimizerConfig) -> tf.keras.optimizers.legacy.Adagrad:
    """Adagrad with the tables' own rate.

    On CPU and GPU it touches only the rows of the batch, unlike Adam, whose moments
    decay in every row. It is a legacy one, as TPU embedding takes no other.
    """
    return tf.keras.optimizers.legacy.Adagrad(
        config.table_learning_rate,
        initial_accumulator_value=_TABLE_ACCUMULATOR,
        name="tables",
    )


def create(
    config: OptimizerConfig,
    ranker: Ranker,
    tables: tf.keras.optimizers.legacy.Adagrad | None = None,
) -> tfrs.experimental.optimizers.CompositeOptimizer:
    """The optimizer of all of `ranker`'s variables.

    Args:
        config: Kind and rates.
        ranker: Whose variables.
        tables: Moves its tables; that of its embedding engine, if it has one.
    """
    tables = tables or of_tables(config)
    in_tables = [*ranker.table_variables, *ranker.engine_variables]
    # As Keras does before it loads weights: with the slots in place the step function
    # is traced once, and a checkpoint finds all of its variables.
    network = _network_optimizer(config, ranker.dense_variables)
    tables._create_all_weights(in_tables)
    return tfrs.experimental.optimizers.CompositeOptimizer(
        [
            (network, lambda: ranker.dense_variables),
            (tables, lambda: in_tables),
        ]
    )


def _network_optimizer(
    config: OptimizerConfig, variables: Sequence[tf.Variable]
) -> tf.keras.optimizers.Optimizer:
    """With its slots in place."""
    clip = {"global_clipnorm": config.clip_norm} if config.clip_norm else {}
    if config.kind == "clippy_adagrad":
        # TFRS' own absolute threshold of 1e-7 would leave biases, which start at 0,
        # where they are.
        clippy = tfrs.experimental.optimizers.ClippyAdagrad(
            config.learning_rate,
            absolute_threshold=_CLIPPY_FREE_MOVE,
            jit_compile=False,
            **clip,
        )
        clippy.build(variables)
        return clippy
    kinds = {
        "adam": tf.keras.optimizers.legacy.Adam,
        "adagrad": tf.keras.optimizers.legacy.Adagrad,
    }
    found = kinds[config.kind](config.learning_rate, name="network", **clip)
    found._create_all_weights(variables)
    return found
