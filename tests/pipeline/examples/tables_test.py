"""What example generation says of tasks from which nothing can be learned."""

from feature_specs import load_spec
from pipeline.examples.tables import labels_lines


def test_a_task_without_anything_to_learn_is_named():
    spec = load_spec("movielens")
    means = {"rating": 1.0, "liked": None, "loved": 0.0, "disliked": 1.0}
    assert labels_lines({"label_means": means}, spec) == [
        "Nothing to learn for task liked: no training row is in its sample space.",
        "Nothing to learn for task loved: its label is 0 in all training rows.",
        "Nothing to learn for task disliked: its label is 1 in all training rows.",
    ]  # a mean rating of 1 is one


def test_labels_that_vary_are_not_mentioned():
    means = {"rating": 3.5, "liked": 0.5, "loved": 0.001, "disliked": 0.999}
    assert labels_lines({"label_means": means}, load_spec("movielens")) == []
