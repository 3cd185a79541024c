"""How the weights move: one optimizer for the network, one for the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs.model import OptimizerConfig
from feature_specs.preset_kinds import OPTIMIZER_KINDS, PresetKind, declare
from feature_specs.registry import Registry
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
    found = OPTIMIZERS[config.kind](config.learning_rate, **clip)
    if isinstance(found, tf.keras.optimizers.legacy.Optimizer):
        found._create_all_weights(variables)
    else:
        found.build(variables)
    return found


# --- kinds ----------------------------------------------------------------------------

# (learning rate, global_clipnorm= if gradients are clipped) -> the optimizer.
_Make: TypeAlias = Callable[..., Any]

OPTIMIZERS: Registry[_Make] = Registry(
    "optimizer", "@trainer.days.optimizers.optimizer(name)"
)


def optimizer(name: str) -> Callable[[_Make], _Make]:
    """A decorator: the function makes what `kind: name` of a preset's optimizer means.

    It takes the learning rate, and `global_clipnorm` if gradients are to be clipped.
    """

    def register(make: _Make) -> _Make:
        OPTIMIZERS.add(name, make)
        declare(OPTIMIZER_KINDS, PresetKind(name=name))
        return make

    return register


@optimizer("adam")
def _adam(rate: float, **clip: float) -> tf.keras.optimizers.legacy.Adam:
    return tf.keras.optimizers.legacy.Adam(rate, name="network", **clip)


@optimizer("adagrad")
def _adagrad(rate: float, **clip: float) -> tf.keras.optimizers.legacy.Adagrad:
    return tf.keras.optimizers.legacy.Adagrad(rate, name="network", **clip)


@optimizer("clippy_adagrad")
def _clippy(rate: float, **clip: float) -> tfrs.experimental.optimizers.ClippyAdagrad:
    # TFRS' own absolute threshold of 1e-7 would leave biases, which start at 0, where
    # they are.
    return tfrs.experimental.optimizers.ClippyAdagrad(
        rate, absolute_threshold=_CLIPPY_FREE_MOVE, jit_compile=False, **clip
    )
