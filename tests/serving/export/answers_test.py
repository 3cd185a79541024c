"""What lies beside an exported model: the answers of the model in memory."""

import numpy as np
import pytest

from serving.export.answers import made_up_requests, read_answers
from serving.models import servable


@pytest.fixture(scope="module")
def servable_1(models_dir):
    return servable.load(str(models_dir / "tiny" / "1"))


NAMES = ("serving_default", "rank", "score_examples")


def test_the_exported_model_gives_the_answers(models_dir, servable_1):
    answers = read_answers(str(models_dir / "tiny" / "1"))
    assert [a.signature for a in answers] == [*NAMES, *NAMES]
    for answer in answers:
        found = servable_1.signatures[answer.signature](answer.inputs)
        assert found.keys() == answer.outputs.keys()
        for name, expected in answer.outputs.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_made_up_values_move_the_predictions(models_dir):
    """Rows of nothing but missing values are all alike; these are not."""
    nobody, made_up = read_answers(str(models_dir / "tiny" / "1"))[0::3]
    assert np.ptp(nobody.outputs["long_view"]) == 0
    assert np.ptp(made_up.outputs["long_view"]) > 0.01


def test_the_same_rows_go_to_rows_and_examples(models_dir):
    answers = read_answers(str(models_dir / "tiny" / "1"))[3:]
    rows, _, examples = (a.outputs["score"] for a in answers)
    np.testing.assert_allclose(rows, examples, rtol=1e-5)


def test_no_served_feature_is_left_out(spec):
    (_, rows), (_, rank), _ = made_up_requests(spec)
    served = {feature.name for feature in spec.served_features}
    assert set(rows) == served and set(rank) == {*served, "weights", "top_k"}
    assert all(len(np.unique(rows[name].astype(str))) > 1 for name in served)
