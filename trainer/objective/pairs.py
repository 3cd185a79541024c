"""A loss of the order inside a request: which of two rows has the positive label."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.replicas import global_rows, replica_count

WINDOW = 64  # rows: two of a request that are no further apart are compared
# [W, 2W]: each pair once, in one of its two orders.
_LATER = np.arange(2 * WINDOW) > np.arange(WINDOW)[:, np.newaxis]


def pair_losses(
    logits: tf.Tensor, labels: tf.Tensor, masks: tf.Tensor, requests: tf.Tensor
) -> tf.Tensor:
    """Mean of -log sigmoid(z_i - z_j) over the pairs of one request with y_i > y_j.

    BPR (Rendle et al., 2009, without its regulariser), which is RankNet's loss (Burges
    et al., 2005) of labels 0 and 1. A pair counts as often as the masks of its two rows
    say together, so in the number that the sum is divided by, too.

    Where labels are drawn with log-odds f, of two rows with different ones the first is
    the positive with log-odds f_i - f_j: the minimum is at z = f plus a constant of the
    request, and cross-entropy's, which is at f, is one of them.

    A request's rows lie together (`log.request.together`). So rows are compared with
    those of their own block of `WINDOW` and of the next one, B * 2 * WINDOW comparisons
    a column instead of B * B, 512 bytes each row and column; as products of static
    shape, without a look-up.

    Args:
        logits: float32 [B, P].
        labels: float32 [B, P], 0 or 1.
        masks: float32 [B, P], 0 in rows that do not count.
        requests: int32 [B], the same in rows of one request; 0 is none.

    Returns:
        float32 [P]; 0, with a gradient of zeros, without a pair. With several replicas
        it is this replica's share; rows are compared across them.
    """
    z, y, m = (_blocks(global_rows(v)) for v in (logits, labels, masks))  # [P, N, W]
    keys = _blocks(global_rows(requests)[:, tf.newaxis])  # [1, N, W]
    same = _LATER & (_own(keys) == _others(keys)) & (_own(keys) > 0)  # [1, N, W, 2W]
    ahead = _own(y) - _others(y)  # [P, N, W, 2W]
    counted = tf.cast(same & (tf.abs(ahead) > 0.5), tf.float32)
    counted *= _own(m) * _others(m)
    losses = tf.nn.softplus(-tf.sign(ahead) * (_own(z) - _others(z)))
    total = tf.reduce_sum(counted * losses, axis=[1, 2, 3])
    pairs = tf.reduce_sum(counted, axis=[1, 2, 3])
    return tf.math.divide_no_nan(total, pairs) / replica_count()


def _blocks(rows: tf.Tensor) -> tf.Tensor:
    """[B, P] -> [P, N, W], filled up with zeros."""
    lacking = -rows.shape[0] % WINDOW
    filled = tf.pad(tf.transpose(rows), [[0, 0], [0, lacking]])
    return tf.reshape(filled, [rows.shape[1], -1, WINDOW])


def _own(blocks: tf.Tensor) -> tf.Tensor:
    """[P, N, W] -> [P, N, W, 1]"""
    return blocks[..., tf.newaxis]


def _others(blocks: tf.Tensor) -> tf.Tensor:
    """[P, N, W] -> [P, N, 1, 2W]: a block's rows and those of the one after it."""
    following = tf.concat([blocks[:, 1:], tf.zeros_like(blocks[:, :1])], axis=1)
    return tf.concat([blocks, following], axis=2)[:, :, tf.newaxis]
