"""Rows of narrow tables on a TPU, whose memory has lines of 128 numbers.

A TPU pads a row of 16 numbers to a line of 128: in the table's copy that is gathered
from, in its gradient, and in each pass over either. That is eight times the bytes, and
bytes are what a step of such a model waits for. Here the rows lie side by side, 128 / D
to a line; a product with a matrix of zeros and ones takes the wanted one out, and puts
its gradient back into its place.

Rows and their gradients pass as bfloat16, in which these products are exact: this is
for a network that computes in it. Tables and the sums of gradients are float32.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

LANES = 128
_FEWEST_ROWS, _MOST_ROWS = 2**13, 2**22


def fits(rows: int, width: int) -> bool:
    """Whether a table's rows fill lines together, and are worth it.

    Larger tables wait for their gradient however they lie. They are gathered from as
    they are, and so are the few thousand rows that stand for them in a preflight
    (`trainer.preflight.stand_ins`), whose number must show in their shapes alone.
    """
    return _FEWEST_ROWS < rows <= _MOST_ROWS and width < LANES and LANES % width == 0


@tf.custom_gradient
def gather(
    table: tf.Tensor, ids: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """`tf.gather`, rounded to bfloat16, with a dense gradient of rounded ones.

    Args:
        table: float32 [R, D], where D divides `LANES`.
        ids: int32 [N].

    Returns:
        float32 [N, D].
    """
    rows, width = table.shape
    a_line = LANES // width
    lines = -(-rows // (a_line * LANES)) * LANES
    line, place = ids % lines, ids // lines
    is_mine = tf.range(LANES) % a_line == place[:, tf.newaxis]  # [N, LANES]
    take = tf.repeat(tf.eye(width, dtype=tf.bfloat16), a_line, axis=0)  # [LANES, D]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        spread = tf.matmul(tf.cast(upstream, tf.bfloat16), take, transpose_b=True)
        placed = tf.where(is_mine, tf.cast(spread, tf.float32), 0.0)
        sums = tf.math.unsorted_segment_sum(placed, line, lines)
        flat = tf.reshape(tf.transpose(sums), [width, a_line * lines])
        return tf.transpose(flat)[:rows], None

    padded = tf.pad(table, [[0, a_line * lines - rows], [0, 0]])
    packed = tf.transpose(tf.reshape(tf.transpose(padded), [LANES, lines]))
    found = tf.cast(tf.gather(packed, line), tf.bfloat16)
    mine = tf.where(is_mine, found, tf.zeros([], tf.bfloat16))
    return tf.cast(tf.matmul(mine, take), tf.float32), gradient
