"""The compiler's process: numbers that are known beforehand, and its failures."""

import pathlib
import sys

import pytest
import tensorflow as tf

from tpu_configs import load_slice
from trainer.preflight.compiler import Task, compile_all
from trainer.preflight.lowering import lower

# Four chips, whose two cores each work as one.
SLICE = load_slice("v4-8")


@pytest.fixture(scope="module")
def results(program_of, python):
    """Three programs in one process: a product, a large table, and no program."""
    product = lower(program_of(tf.matmul, [128, 256], [256, 512]))
    table = tf.Variable(tf.zeros([5003, 128]), name="table")

    def step(x):
        table.assign_add(tf.ones([5003, 128]) * tf.reduce_sum(x))
        return tf.reduce_sum(x)

    update = lower(program_of(step, [64, 128], variables=[table]))
    return compile_all(
        python,
        SLICE,
        [
            Task("product", product, 1, {}),
            Task("update", update, 4, {5003: 1_000_000}),
            Task("garbage", product._replace(hlo=b"no HLO"), 1, {}),
        ],
    )


def test_operations_of_a_product(results):
    # A multiplication and an addition for each of 128 x 256 x 512.
    assert results["programs"]["product"]["flops"] == pytest.approx(
        2 * 128 * 256 * 512, rel=0.05
    )
    # Both inputs and the result, float32; they lie in memory without padding.
    sizes = [
        results["programs"]["product"][f"{k}_bytes"] for k in ("argument", "output")
    ]
    assert sizes[0] == 4 * (128 * 256 + 256 * 512)
    assert 4 * 128 * 512 <= sizes[1] < 4 * 128 * 512 + 4096


def test_stand_in_is_compiled_at_full_size_and_updated_in_place(results):
    update = results["programs"]["update"]
    assert ["float32", [1_000_000, 128]] in update["arguments"]
    table = 1_000_000 * 128 * 4
    # The batch is split over four cores, the table is on each.
    assert update["argument_bytes"] == table + 64 // 4 * 128 * 4
    assert table <= update["alias_bytes"] < update["peak_bytes"] < 2 * table


def test_batch_is_split_over_the_cores(results):
    assert results["cores"] == 4
    # The sum over the batch is one over all cores.
    assert results["programs"]["update"]["collectives"].get("all-reduce") == 1


def test_refusal_is_a_result(results):
    assert "error" in results["programs"]["garbage"]
    assert "error" not in results["programs"]["product"]


def test_environment_without_the_compiler_ends_in_a_message(program_of):
    program = lower(program_of(tf.nn.relu, [8]))
    with pytest.raises(RuntimeError, match=r"process failed(.|\n)*preflight\.txt"):
        compile_all(pathlib.Path(sys.executable), SLICE, [Task("relu", program, 1, {})])
