import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.export.signatures import EXAMPLES
from serving.export.warmup import sampled_requests, write_warmup
from tests.encoded_rows import as_examples


@pytest.fixture(scope="module")
def sampled(spec, rows):
    """Size -> signature -> inputs; 30 rows."""
    found = list(sampled_requests(spec, as_examples(rows) * 5))
    sizes = (1, 10, 30)
    return {size: dict(found[3 * n : 3 * n + 3]) for n, size in enumerate(sizes)}


def test_requests_have_several_sizes_of_real_rows(sampled):
    for size, by_signature in sampled.items():
        rows, rank = by_signature["serving_default"], by_signature["rank"]
        assert len(rows["video_id"]) == len(rank["video_id"]) == size
        assert len(by_signature["score_examples"][EXAMPLES]) == size
        assert rank["user_id"].tolist() == [1]
    videos = sampled[10]["serving_default"]["video_id"]
    assert videos.tolist() == [10, 11, 12, 10, 13, 14, 10, 11, 12, 10]
    history = sampled[10]["serving_default"]["history_video_id"]
    assert history[:3, :2].tolist() == [[-1, -1], [10, -1], [10, 11]]


def test_nothing_but_served_features_is_kept(spec, sampled):
    served = {feature.name for feature in spec.served_features}
    for serialized in sampled[30]["score_examples"][EXAMPLES]:
        example = tf.train.Example.FromString(serialized)
        assert set(example.features.feature) <= served
        assert example.features.feature["video_id"].int64_list.value


def test_signatures_answer_them_alike(models_dir, sampled):
    model = tf.saved_model.load(str(models_dir / "tiny" / "1"))
    answers = {}
    for name, inputs in sampled[10].items():
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        answers[name] = model.signatures[name](**tensors)["log_score"].numpy()
        assert np.isfinite(answers[name]).all()
    np.testing.assert_allclose(
        answers["serving_default"], answers["score_examples"], rtol=1e-5
    )


def test_the_file_has_them_all(spec, rows, tmp_path):
    write_warmup(str(tmp_path), spec, as_examples(rows))
    (path,) = (tmp_path / "assets.extra").iterdir()
    assert path.name == "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    found = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert found == ["serving_default", "rank", "score_examples"] * 2  # 1 and 6 rows
