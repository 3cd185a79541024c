"""The moving average by hand."""

import tensorflow as tf

from trainer.days import averaging
from trainer.model.ranker import Ranker


class WeightAverageTest(tf.test.TestCase):
    def test_moves_by_its_share_and_faster_at_first(self):
        weight = tf.Variable([0.0])
        average = averaging.WeightAverage({"weight": weight}, steps=10)
        weight.assign([10.0])
        average.update(tf.constant(1))  # 9 / (9 + 1) of the way
        self.assertAllClose(average.averages["weight"], [9.0])
        average.update(tf.constant(1000))  # then a tenth
        self.assertAllClose(average.averages["weight"], [9.1])
        self.assertAllClose(weight, [10.0])
        with average.applied():
            self.assertAllClose(weight, [9.1])
        self.assertAllClose(weight, [10.0])
        average.apply()
        self.assertAllClose(weight, [9.1])


def test_large_tables_are_left_out(spec, config, label_means):
    ranker = Ranker(spec, config, label_means)
    average = averaging.create(ranker, 50)
    count = len(ranker.trainable_variables)
    assert len(average.averages) == count - 1  # all but the 5,000 videos


def test_no_steps_average_nothing(spec, config, label_means):
    ranker = Ranker(spec, config, label_means)
    average = averaging.create(ranker, 0)
    assert average.averages == {}
    average.update(tf.constant(1))
    before = ranker.networks[0].towers.bias.numpy()
    average.apply()
    assert (ranker.networks[0].towers.bias.numpy() == before).all()
