"""Look-ups by hand: shared tables, missing values, pooling, gradients."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import FeatureSpec, TableSpec
from trainer.model.embeddings import FeatureEmbeddings, pool

VIDEO = FeatureSpec(name="video", group="candidate", kind="id", table="video")
SEEN = FeatureSpec(name="seen", group="query", kind="sequence", table="video", length=3)
TAB = FeatureSpec(name="tab", group="context", kind="category", size=2)
HOUR = FeatureSpec(name="hour", group="context", kind="bucket", boundaries=(6, 12))
AGE = FeatureSpec(name="age", group="query", kind="number")


def _tables(buckets: int = 4) -> dict[str, TableSpec]:
    return {"video": TableSpec(name="video", buckets=buckets, dim=4)}


def _ids(*values) -> tf.Tensor:
    return tf.constant(values, tf.int32)


class FeatureEmbeddingsTest(tf.test.TestCase):
    def test_features_of_one_table_share_its_rows(self):
        layer = FeatureEmbeddings([VIDEO, SEEN], _tables())
        self.assertEqual([v.name for v in layer.trainable_variables], ["video:0"])
        rows = np.arange(16.0).reshape(4, 4)
        layer.set_weights([rows])
        inputs = {"video": _ids(2), "seen": _ids([1, 3, 0])}
        found = layer(inputs, [VIDEO, SEEN])
        self.assertAllClose(found, [np.r_[rows[2], (rows[1] + rows[3]) / 2]])

    def test_missing_id_has_its_own_row(self):
        layer = FeatureEmbeddings([VIDEO], _tables())
        layer.set_weights([np.arange(16.0).reshape(4, 4)])
        self.assertAllClose(layer({"video": _ids(0)}, [VIDEO]), [[0, 1, 2, 3]])

    def test_small_tables_do_not_overlap(self):
        layer = FeatureEmbeddings([TAB, HOUR], {})
        layer.set_weights([np.full([4, 4], 1.0), np.full([4, 4], 2.0)])
        found = layer({"tab": _ids(0, 3), "hour": _ids(0, 3)}, [TAB, HOUR])
        self.assertAllClose(found, [[1.0] * 4 + [2.0] * 4] * 2)

    def test_any_subset_in_any_order(self):
        layer = FeatureEmbeddings([TAB, VIDEO, HOUR], _tables())
        inputs = {"hour": _ids(1)}
        self.assertAllClose(
            layer(inputs, [HOUR]), layer.trainable_variables[2].numpy()[1:2]
        )

    def test_large_tables_get_sparse_gradients_unless_told_otherwise(self):
        for sparse, kind in ((True, tf.IndexedSlices), (False, tf.Tensor)):
            layer = FeatureEmbeddings([VIDEO], _tables(5000), sparse_gradients=sparse)
            gradient = self._gradient(layer, {"video": _ids(7, 7)})
            self.assertIsInstance(gradient, kind)
            dense = tf.convert_to_tensor(gradient).numpy()
            self.assertAllClose(dense[7], [2.0] * 4)
            self.assertAllClose(dense.sum(), 8.0)

    def test_padding_gets_no_gradient(self):
        layer = FeatureEmbeddings([SEEN], _tables())
        gradient = self._gradient(layer, {"seen": _ids([2, 0, 0])}, SEEN)
        self.assertAllClose(gradient, [[0] * 4, [0] * 4, [1] * 4, [0] * 4])

    def test_no_features_give_no_columns(self):
        layer = FeatureEmbeddings([AGE], {})
        self.assertEqual(layer({"age": tf.zeros([2])}, [AGE]).shape, [2, 0])

    def test_a_table_that_is_looked_up_ahead_is_gathered_from_once(self):
        inputs = {"video": _ids(7, 8_999), "seen": _ids([7, 2, 0], [0, 0, 0])}
        inputs["tab"] = _ids(1, 2)
        features = [VIDEO, SEEN, TAB]
        for rounded in (False, True):
            layer = FeatureEmbeddings(
                features,
                _tables(9000),
                sparse_gradients=False,
                ahead="network",
                rounded=rounded,
            )
            with tf.GradientTape(persistent=True) as tape:
                ahead = layer.look_up_ahead(inputs)
                found = tf.reduce_sum(layer(ahead, features) ** 2)
                plain = tf.reduce_sum(layer(inputs, features) ** 2)
            self.assertEqual(
                ahead.keys() - inputs.keys(), {"network video", "network seen"}
            )
            self.assertAllClose(
                layer.steps(ahead, SEEN), layer.steps(inputs, SEEN), 0.01
            )
            near = 0.02 if rounded else 1e-6  # a bfloat16 has 8 bits
            self.assertAllClose(found, plain, near)
            variables = layer.trainable_variables
            for one, other in zip(
                tape.gradient(found, variables),
                tape.gradient(plain, variables),
                strict=True,
            ):
                self.assertAllClose(one, other, near, 1e-9)
            self.assertIs(
                layer.look_up_ahead(ahead)["network seen"], ahead["network seen"]
            )

    def test_nothing_is_looked_up_ahead_on_other_devices(self):
        layer = FeatureEmbeddings([VIDEO], _tables(5000))
        inputs = {"video": _ids(7)}
        self.assertEqual(layer.look_up_ahead(inputs), inputs)

    def _gradient(self, layer, inputs, feature=VIDEO):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(inputs, [feature]))
        return tape.gradient(total, layer.trainable_variables[0])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [3.0, -2.0]), ("sum", [6.0, -4.0]), ("max", [4.0, -1.0])],
)
def test_pooling_ignores_padding_and_an_empty_sequence_gives_zeros(pooling, expected):
    vectors = tf.constant([[[2.0, -1.0], [4.0, -3.0], [9.0, 9.0]]] * 2)
    valid = tf.constant([[True, True, False], [False, False, False]])
    np.testing.assert_allclose(pool(vectors, valid, pooling), [expected, [0.0, 0.0]])


def test_joined_steps_come_newest_first_and_padding_is_zeros():
    vectors = tf.constant([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]] * 3)
    valid = tf.constant([[1, 1, 0], [0, 0, 0], [1, 1, 1]]) > 0
    expected = [[3, 4, 1, 2, 0, 0], [0] * 6, [9, 9, 3, 4, 1, 2]]
    np.testing.assert_allclose(pool(vectors, valid, "concat"), expected)


def test_joined_steps_have_a_place_each_in_the_network():
    joined = dataclasses.replace(SEEN, pooling="concat")
    layer = FeatureEmbeddings([joined], _tables())
    rows = np.arange(16.0).reshape(4, 4)
    layer.set_weights([rows])
    found = layer({"seen": _ids([1, 3, 0])}, [joined])
    np.testing.assert_allclose(found, [np.r_[rows[3], rows[1], np.zeros(4)]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer({"seen": _ids([2, 0, 0])}, [joined]))
    gradient = tape.gradient(total, layer.trainable_variables[0])
    np.testing.assert_allclose(gradient, [[0] * 4, [0] * 4, [1] * 4, [0] * 4])
