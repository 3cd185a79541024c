"""SNR against its equations, and its switches against the hard concrete distribution."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from tests.trainer.model.switchers.equations import (
    branch,
    built,
    by_row_and_group,
    mlp,
    mlp_size,
    outputs,
    parallel,
    rows,
)
from trainer.model import switchers
from trainer.model.switchers.routing import hard_concrete

GROUPS = pytest.mark.parametrize("groups", [1, 2])
UNITS = pytest.mark.parametrize("units", [(3,), (4, 3)])
K, E = 3, 2
LOG_ALPHAS = [-2.0, 0.0, 1.5]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _likelier_than(t, log_alpha):
    """P(z > t) for 0 <= t < 1 (Louizos et al., 2018, eq. 10-12)."""
    stretched = (t + 0.1) / (1.1 + 0.1)
    return _sigmoid(log_alpha - 2 / 3 * np.log(stretched / (1 - stretched)))


@tf.function(autograph=False)
def _drawn(log_alpha, seed):
    return hard_concrete(log_alpha, seed)


def _draws(log_alpha, any_seed, seeds=400, size=100):
    first, log_alphas = 1000 * any_seed, tf.fill([size], log_alpha)
    drawn = [
        _drawn(log_alphas, tf.constant([seed, 7]))
        for seed in range(first, first + seeds)
    ]
    return np.array(drawn).ravel()


# --- the network ----------------------------------------------------------------------


@GROUPS
@UNITS
@pytest.mark.parametrize("levels", [1, 3])
def test_sub_networks_read_the_routed_sum_of_those_below(groups, units, levels):
    config = SwitcherConfig(kind="snr", units=units, levels=levels, experts=E)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def routed(level, u, group):
        """v_i = sum over j of z_ij W_ij u_j; W_ij turned round as it multiplies rows."""
        route = switcher.routes[level]
        kernel = route.kernel.numpy()[group]  # [J, H, I, H]
        log_alpha = route.log_alpha.numpy()[group, :, 0, :, 0]  # [J, I]
        z = np.clip(_sigmoid(log_alpha) * 1.2 - 0.1, 0, 1)
        targets = kernel.shape[2]
        return [
            sum(z[j, i] * (u[j] @ kernel[j, :, i]) for j in range(E))
            for i in range(targets)
        ]

    def network(row, group):
        u = [mlp(branch(switcher.first, group, e), row) for e in range(E)]
        for level, above in enumerate(switcher.others):
            v = routed(level, u, group)
            u = [mlp(parallel(above, group, e), v[e]) for e in range(E)]
        return routed(levels - 1, u, group)

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, rtol=1e-4, atol=1e-4)
    networks = E * (mlp_size(5, *units) + (levels - 1) * mlp_size(3, *units))
    connections = (levels - 1) * E * E + E * K
    size = networks + connections * (3 * 3 + 1)  # W_ij and log_alpha_ij
    assert switcher.count_params() == groups * size


def test_without_training_nothing_is_drawn():
    switcher, x = built(SwitcherConfig(kind="snr", units=(3,))), rows()
    first = switcher(tf.constant(x, tf.float32), seed=tf.constant([1, 2])).outputs
    np.testing.assert_array_equal(first, outputs(switcher, x))


def test_training_without_a_seed_is_told():
    switcher = built(SwitcherConfig(kind="snr", units=(3,)))
    with pytest.raises(ValueError, match="snr: call it with a seed to train, got None"):
        switcher(tf.zeros([1, 1, 5]), training=True)


def _one_path(levels, log_alpha=0.0):
    """A chain of one positive sub-network a level with W = 1: what is left is z."""
    config = SwitcherConfig(kind="snr", units=(1,), levels=levels, experts=1)
    switcher = built(config, names=("a",), width=1)
    switcher.set_weights([np.ones(w.shape) for w in switcher.get_weights()])
    for dense in (switcher.first.first[0], *_upper_layers(switcher)):
        dense.bias.assign(tf.zeros_like(dense.bias))
    for route in switcher.routes:
        route.log_alpha.assign(tf.fill(route.log_alpha.shape, log_alpha))
    return switcher


def _upper_layers(switcher):
    return [n.networks.stack[0] for n in switcher.others]


def _trained(switcher):
    """Seed -> the outputs of two training rows, 1 and 2."""
    x = tf.constant([[[1.0]], [[2.0]]])

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)], autograph=False)
    def step(seed):
        outputs = switcher(x, training=True, seed=tf.stack([seed, 3])).outputs
        return tf.reshape(outputs, [2])

    return lambda seed: step(seed).numpy()


@pytest.mark.stochastic
def test_a_step_draws_one_number_for_all_rows(any_seed):
    trained, first = _trained(_one_path(levels=1)), 1000 * any_seed
    drawn = np.array([trained(seed) for seed in range(first, first + 200)])
    np.testing.assert_allclose(drawn[:, 1], 2 * drawn[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(trained(5), trained(5))
    # Many values between 0 and 1, and both ends, which 0.17 of the draws are each.
    assert len(set(drawn[:, 0])) > 50
    assert drawn[:, 0].min() == 0.0
    assert drawn[:, 0].max() == 1.0


@pytest.mark.stochastic
def test_levels_draw_independently(any_seed):
    trained, first = _trained(_one_path(levels=2)), 1000 * any_seed
    drawn = [trained(seed)[0] for seed in range(first, first + 1000)]
    # E[z]^2 = 0.25 by symmetry; the same z twice would give E[z^2] = 0.40. The margin
    # is five standard deviations of the mean, sqrt((0.40^2 - 0.25^2) / 1000) each.
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.05)


def test_groups_and_connections_draw_independently():
    config = SwitcherConfig(kind="snr", units=(1,), levels=1, experts=2)
    switcher = built(config, names=("a", "b"), groups=2)
    route = switcher.routes[0]
    route.log_alpha.assign(tf.zeros_like(route.log_alpha))
    z = hard_concrete(route.log_alpha, tf.constant([1, 2])).numpy()
    assert len(set(z.ravel())) > 4  # of 2 * 2 * 2, some cut to 0 or 1


# --- the hard concrete distribution ---------------------------------------------------


# 40,000 draws: a share has a standard deviation of 0.0025 at most, the mean of 0.0022.
_MARGIN = 0.0125


@pytest.mark.stochastic
@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_share_of_zeros_and_of_ones_is_the_closed_form(log_alpha, any_seed):
    drawn = _draws(log_alpha, any_seed)
    zeros = 1 - _likelier_than(0.0, log_alpha)
    ones = _likelier_than(1.0, log_alpha)  # cut from above 1
    assert np.mean(drawn == 0) == pytest.approx(zeros, abs=_MARGIN)
    assert np.mean(drawn == 1) == pytest.approx(ones, abs=_MARGIN)


@pytest.mark.stochastic
@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_mean_of_the_draws_is_the_closed_form(log_alpha, any_seed):
    # E[z] is the integral of P(z > t) over [0, 1]; midpoints of 10 000 steps.
    t = (np.arange(10_000) + 0.5) / 10_000
    expected = np.mean(_likelier_than(t, log_alpha))
    assert np.mean(_draws(log_alpha, any_seed)) == pytest.approx(expected, abs=_MARGIN)


def test_rule_without_draws_by_hand():
    # sigmoid(0) = 0.5 -> 0.5 * 1.2 - 0.1; the others are cut.
    found = hard_concrete(tf.constant([0.0, -5.0, 5.0, np.log(3)], tf.float32), None)
    np.testing.assert_allclose(found, [0.5, 0.0, 1.0, 0.8], atol=1e-6)


def test_draws_have_finite_gradients():
    log_alpha = tf.Variable(tf.linspace(-30.0, 30.0, 1000))
    with tf.GradientTape() as tape:
        z = hard_concrete(log_alpha, tf.constant([1, 2]))
    gradient = tape.gradient(z, log_alpha).numpy()
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient)


# --- the penalty ----------------------------------------------------------------------


@GROUPS
def test_penalty_is_the_expected_number_of_open_connections(groups):
    config = SwitcherConfig(kind="snr", units=(3,), levels=2, experts=E, penalty=0.1)
    switcher = built(config, groups=groups)
    values = [a for r in switcher.routes for a in r.log_alpha.numpy().ravel()]
    assert len(values) == groups * (E * E + E * K)
    expected = 0.1 * sum(_likelier_than(0.0, a) for a in values)
    found = switcher(tf.zeros([1, groups, 5])).penalty
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_penalty_by_hand():
    # log_alpha = 0: P(z > 0) = sigmoid(2/3 log 11) = 11^(2/3) / (1 + 11^(2/3)) = 0.8318
    config = SwitcherConfig(kind="snr", units=(3,), levels=1, experts=E, penalty=0.5)
    switcher = switchers.create(config, ("a", "b"))
    penalty = switcher(tf.zeros([1, 1, 5])).penalty
    assert float(penalty) == pytest.approx(0.5 * 4 * 0.8318, abs=1e-3)


def test_penalty_closes_connections():
    config = SwitcherConfig(kind="snr", units=(3,), penalty=1.0)
    switcher = built(config)
    with tf.GradientTape() as tape:
        penalty = switcher(tf.zeros([1, 1, 5])).penalty
    gradients = tape.gradient(penalty, [r.log_alpha for r in switcher.routes])
    assert all(np.all(g > 0) for g in gradients)
