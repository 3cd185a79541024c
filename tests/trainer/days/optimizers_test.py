"""Which optimizer moves what, and how far."""

import dataclasses

import numpy as np
import pytest

from trainer.days import optimizers
from trainer.model.ranker import Ranker


def _after_a_step(spec, config, label_means, batch, **changes):
    """Dense weights and tables before and after one step."""
    optimizer = dataclasses.replace(config.optimizer, **changes)
    ranker = Ranker(spec, config, label_means)
    ranker.compile(optimizer=optimizers.create(optimizer, ranker))
    groups = ranker.dense_variables, ranker.table_variables
    before = [[v.numpy() for v in group] for group in groups]
    ranker.train_step(batch)
    after = [[v.numpy() for v in group] for group in groups]
    return list(zip(before, after, strict=True))


@pytest.fixture
def batch(make_rows):
    return make_rows(64, seed=0).batch()


@pytest.mark.parametrize("kind", ["adam", "adagrad", "clippy_adagrad"])
def test_network_and_tables_have_rates_of_their_own(
    spec, config, label_means, batch, kind
):
    rates = {"kind": kind, "learning_rate": 0.0, "table_learning_rate": 0.1}
    dense, tables = _after_a_step(spec, config, label_means, batch, **rates)
    for before, after in zip(*dense, strict=True):
        np.testing.assert_array_equal(before, after)
    assert any((b != a).any() for b, a in zip(*tables, strict=True))


def test_clippy_moves_a_weight_by_a_tenth_at_most(spec, config, label_means, batch):
    rates = {"kind": "clippy_adagrad", "learning_rate": 100.0}
    # Heads start at 0, so that in the first step the layers below them have a gradient
    # of the disentangle loss alone: one that is large enough to be held.
    config = dataclasses.replace(config, disentangle=100.0)
    dense, _ = _after_a_step(spec, config, label_means, batch, **rates)
    # To the limit in some element, unless nothing moves.
    for before, after in zip(*dense, strict=True):
        share = np.abs(after - before) / (0.1 * np.abs(before) + 1e-3)
        assert share.max() == pytest.approx(1, rel=2e-2) or (share == 0).all()
    assert sum((b != a).any() for b, a in zip(*dense, strict=True)) >= 8


def test_adam_moves_each_weight_by_its_rate_at_first(spec, config, label_means, batch):
    # Bias-corrected moments of one gradient g: g / (|g| + epsilon), so sign(g) where g
    # is not as small as epsilon.
    rates = {"kind": "adam", "learning_rate": 0.01}
    dense, _ = _after_a_step(spec, config, label_means, batch, **rates)
    steps = np.concatenate([np.abs(a - b).ravel() for b, a in zip(*dense, strict=True)])
    assert steps.max() == pytest.approx(0.01, rel=1e-3)
    assert (steps > 0.0095).mean() > 0.3
