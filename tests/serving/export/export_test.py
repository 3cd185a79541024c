"""One row, every way in: model and transform, the three signatures, REST."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.places import PlaceError
from serving.client.client import Client, ClientError
from serving.export.export import _publish, _remove_leftovers, export
from serving.export.requests import columns
from serving.models import servable
from serving.models.servable import WARMUP_FILE, LoadError

NAN = float("nan")
OUTPUTS = ("long_view", "watched", "score", "log_score")
# Of one user, with a sequence longer than the 3 the model keeps and a missing number.
ROW = {
    "user_id": 2,
    "history_video_id": [10, 12, 13, 11],
    "tab": 1,
    "video_id": 13,
    "kind": "c",
    "seconds": NAN,
    "history_cover": [0.5, 1.0],
    "title": "The CAT, a dog!",
    "cover": [NAN, NAN],
}
OTHER = {**ROW, "video_id": 10, "kind": "a", "seconds": 7.0}
OTHER |= {"title": "", "cover": [3.0, -4.0]}


@pytest.fixture(scope="module")
def signatures(models_dir):
    loaded = tf.saved_model.load(str(models_dir / "tiny" / "1"))
    yield loaded.signatures


@pytest.fixture(scope="module")
def expected(ranker, tft_output):
    """Task -> predictions of ROW and OTHER, by transform and model, without export."""
    history = tf.ragged.constant([ROW["history_video_id"]] * 2, tf.int64).to_sparse()
    raw = {
        "user_id": tf.constant([2, 2], tf.int64),
        "history_video_id": history,
        "tab": tf.constant([1, 1], tf.int64),
        "video_id": tf.constant([13, 10], tf.int64),
        "kind": tf.constant(["c", "a"]),
        "seconds": tf.constant([NAN, 7.0]),
        "history_cover": tf.constant([[0.5, 1.0]] * 2),
        "title": tf.constant(["The CAT, a dog!", ""]),
        "cover": tf.constant([[NAN, NAN], [3.0, -4.0]]),
        "trail_position": tf.constant([NAN, NAN]),
    }
    outputs = {
        k: v.numpy()
        for k, v in ranker(tft_output.transform_features_layer()(raw)).items()
    }
    view, watched = outputs["long_view"], 1 + np.maximum(outputs["watched"], 0)
    length = np.array([1.0, (1 + np.log(8.0)) ** 0.25])  # unknown: 1; 1 + log(1 + 7)
    score = view * watched**-0.5 * length
    return {**outputs, "score": score, "log_score": np.log(score)}


def tensors(spec, rows) -> dict:
    found = columns(spec.served_features, rows)
    return {f.name: tf.constant(found[f.name], f.dtype) for f in spec.served_features}


def rank_tensors(spec, rows, weights=(NAN, NAN)) -> dict:
    both = tensors(spec, rows)
    for feature in spec.served_features:
        if feature.group in ("query", "context"):
            both[feature.name] = both[feature.name][:1]
    return {
        **both,
        "weights": tf.constant(weights, tf.float32),
        "top_k": tf.constant(0),
    }


def example(row, **extra) -> bytes:
    """The row as ExampleGen writes it."""
    result = tf.train.Example()
    for name, value in {**row, **extra}.items():
        values = value if isinstance(value, list) else [value]
        feature = result.features.feature[name]
        if isinstance(values[0], str):
            feature.bytes_list.value.extend(v.encode() for v in values)
        elif any(isinstance(v, float) for v in values):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return result.SerializeToString()


def assert_outputs(outputs, expected):
    assert set(outputs) - {"positions"} == set(OUTPUTS)
    for name in OUTPUTS:
        np.testing.assert_allclose(
            outputs[name], expected[name], rtol=1e-5, err_msg=name
        )


def test_the_two_rows_differ(expected):
    for name in OUTPUTS:  # else the tests below could not fail
        assert abs(expected[name][0] - expected[name][1]) > 1e-3


def test_serving_default(spec, signatures, expected):
    outputs = signatures["serving_default"](**tensors(spec, [ROW, OTHER]))
    assert_outputs(outputs, expected)


def test_rank(spec, signatures, expected):
    assert_outputs(signatures["rank"](**rank_tensors(spec, [ROW, OTHER])), expected)


def test_score_examples_reads_training_examples_and_ignores_their_trail(
    signatures, expected
):
    examples = [
        example(ROW, trail_position=3.0, label_long_view=1.0, key_user=2),
        example(OTHER),
    ]
    outputs = signatures["score_examples"](examples=tf.constant(examples))
    assert_outputs(outputs, expected)


def test_rest_serves_the_same_in_both_formats(spec, model_url, expected):
    with Client(model_url, spec) as client:
        history = ROW["history_video_id"]
        by_row = client.predict(instances=[ROW, OTHER])
        request = {"user_id": 2, "history_video_id": history, "tab": 1}
        request["history_cover"] = [0.5, 1.0]
        names = ("video_id", "kind", "seconds", "title", "cover")
        candidates = [{n: row[n] for n in names} for row in (ROW, OTHER)]
        ranked = client.rank(request, candidates)
    assert_outputs({n: [r[n] for r in by_row] for n in OUTPUTS}, expected)
    assert_outputs(ranked, expected)


def test_padding_may_stand_at_either_end(spec, signatures, expected):
    inputs = tensors(spec, [ROW, OTHER])
    padded = [[-1, 10, 12, 13, 11], [10, 12, 13, 11, -1]]
    inputs["history_video_id"] = tf.constant(padded, tf.int64)
    assert_outputs(signatures["serving_default"](**inputs), expected)


def test_id_0_of_a_history_is_an_id_as_in_training(spec, signatures):
    rows = [{**ROW, "history_video_id": h} for h in ([0, 10], [10])]
    outputs = signatures["serving_default"](**tensors(spec, rows))
    trained = signatures["score_examples"](
        examples=tf.constant(list(map(example, rows)))
    )
    assert_outputs(outputs, trained)
    with_0, without = outputs["long_view"].numpy()
    assert abs(with_0 - without) > 1e-4


def test_a_missing_history_is_not_an_empty_video(spec, signatures):
    inputs = tensors(spec, [{**ROW, "history_video_id": h} for h in ([], [10])])
    outputs = signatures["serving_default"](**inputs)
    none, one = outputs["long_view"].numpy()
    assert np.isfinite(none)
    assert none != one


@pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0]])
def test_a_vector_of_another_length_is_refused(spec, model_url, vector):
    """Any server passes it on; the same floats elsewhere would be another vector."""
    rows = [{"user_id": 2, "title": "", "kind": "", "cover": vector}] * 2
    filled = [{**ROW, "seconds": 1.0, **row} for row in rows]
    with Client(model_url, "tiny") as client, pytest.raises(ClientError) as error:
        client.predict(instances=filled)
    assert error.value.status == 400
    assert "is not compatible with expected shape [?,2]" in str(error.value)


def test_a_vector_and_its_cosine_move_the_predictions(spec, signatures):
    def views(**changes):
        rows = [{**OTHER, **changes}]
        outputs = signatures["serving_default"](**tensors(spec, rows))
        return float(outputs["long_view"][0])

    base = views()
    assert abs(views(cover=[-3.0, 4.0]) - base) > 1e-3
    assert abs(views(history_cover=[1.0, 0.5]) - base) > 1e-3
    assert abs(views(title="dog") - views(title="dog dog")) > 1e-3
    assert views(cover=[6.0, -8.0]) == pytest.approx(base, rel=1e-5)  # of length 1
    half = [views(cover=value) for value in ([3.0, NAN], [NAN, NAN], [0.0, 0.0])]
    assert half == pytest.approx([half[0]] * 3, rel=1e-6)


def test_everything_missing_gives_finite_scores(spec, signatures):
    outputs = signatures["rank"](**rank_tensors(spec, [{}, {}]))
    assert all(np.isfinite(values).all() for values in outputs.values())
    empty = tf.train.Example().SerializeToString()
    from_examples = signatures["score_examples"](examples=tf.constant([empty]))
    np.testing.assert_allclose(from_examples["score"], outputs["score"][:1], rtol=1e-5)


def test_signatures_have_every_served_feature_and_no_trail_feature(spec, signatures):
    served = {f.name for f in spec.features if f.name != "trail_position"}
    inputs = {n: set(s.structured_input_signature[1]) for n, s in signatures.items()}
    assert inputs == {
        "serving_default": served,
        "rank": served | {"weights", "top_k"},
        "score_examples": {"examples"},
    }


@pytest.mark.parametrize(
    ("weights", "exponents"),
    [((NAN, 2.0), (1.0, 2.0)), ((0.0, 0.0), (0.0, 0.0)), ((-1.0, NAN), (-1.0, -0.5))],
)
def test_weights_of_the_request_replace_the_specs(
    spec, signatures, expected, weights, exponents
):
    outputs = signatures["rank"](**rank_tensors(spec, [ROW, OTHER], weights))
    view, watched = expected["long_view"], 1 + np.maximum(expected["watched"], 0)
    length = np.array([1.0, (1 + np.log(8.0)) ** 0.25])
    score = view ** exponents[0] * watched ** exponents[1] * length
    np.testing.assert_allclose(outputs["score"], score, rtol=1e-4)


@pytest.mark.parametrize("weights", [[0.5], [1.0, 1.0, 1.0]])
def test_weights_of_another_number_are_refused(spec, model_url, weights):
    inputs = {n: t.numpy().tolist() for n, t in rank_tensors(spec, [{}, {}]).items()}
    inputs |= {"kind": ["", ""], "title": ["", ""], "weights": weights}
    with Client(model_url, "tiny") as client, pytest.raises(ClientError) as error:
        client.predict(inputs=inputs, signature_name="rank")
    assert error.value.status == 400
    assert "weights: must be [] or 2 numbers" in str(error.value)


def test_no_weights_are_the_specs_own(spec, model_url):
    inputs = {n: t.numpy().tolist() for n, t in rank_tensors(spec, [{}, {}]).items()}
    inputs |= {"kind": ["", ""], "title": ["", ""]}
    with Client(model_url, "tiny") as client:
        own = client.predict(inputs=inputs | {"weights": []}, signature_name="rank")
        nan = client.predict(inputs=inputs, signature_name="rank")
    assert own["score"] == nan["score"]


# --- what a client may leave out, and the best of all ---------------------------------

FIVE = [
    {**ROW, "video_id": video, "kind": kind, "seconds": seconds}
    for video, kind, seconds in (
        (11, "b", 900.0),
        (14, "", 15.0),
        (10, "a", 7.0),
        (13, "c", NAN),
        (10, "a", 7.0),  # once more
    )
]


@pytest.fixture(scope="module")
def rank_loaded(models_dir):
    return servable.load(str(models_dir / "tiny" / "1")).signatures["rank"]


def rank_arrays(spec, rows, **own) -> dict:
    """Inputs of `rank` without those that have a default."""
    found = rank_tensors(spec, rows)
    arrays = {n: t.numpy() for n, t in found.items() if n not in ("weights", "top_k")}
    return arrays | {name: np.asarray(value) for name, value in own.items()}


@pytest.mark.parametrize("top_k", [1, 2, 3, 4, 5, 6, 1000])
def test_the_best_come_in_descending_order(spec, rank_loaded, top_k):
    every = rank_loaded(rank_arrays(spec, FIVE))
    assert every["positions"].tolist() == [0, 1, 2, 3, 4]
    # Stable: of the two that are alike the first comes first.
    order = np.argsort(-every["log_score"], kind="stable")[:top_k]
    assert order.tolist() != sorted(order.tolist()) or top_k < 3
    best = rank_loaded(rank_arrays(spec, FIVE, top_k=np.int32(top_k)))
    assert best["positions"].tolist() == order.tolist()
    for name in OUTPUTS:
        np.testing.assert_array_equal(best[name], every[name][order])


@pytest.mark.parametrize(
    ("top_k", "message"),
    [
        (np.int32(-1), "top_k: must be 0, for all"),
        (np.ones(1, np.int32), r"\[1\] is not compatible"),
    ],
)
def test_another_top_k_is_refused(spec, rank_loaded, top_k, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        rank_loaded(rank_arrays(spec, FIVE, top_k=top_k))


def test_what_is_left_out_has_its_default(spec, rank_loaded):
    given = {"weights": np.float32([NAN, NAN]), "top_k": np.int32(0)}
    short = rank_loaded(rank_arrays(spec, FIVE))
    for name, values in rank_loaded(rank_arrays(spec, FIVE, **given)).items():
        np.testing.assert_array_equal(values, short[name])


def test_rest_takes_requests_without_what_has_a_default(spec, model_url):
    inputs = {n: a.tolist() for n, a in rank_arrays(spec, FIVE).items()}
    inputs |= {f"{n}": [row[n] for row in FIVE] for n in ("kind", "title")}
    with Client(model_url, "tiny") as client:
        every = client.predict(inputs=inputs, signature_name="rank")
        best = client.predict(inputs={**inputs, "top_k": 2}, signature_name="rank")
        del inputs["tab"]
        with pytest.raises(ClientError, match="Missing named input: tab"):
            client.predict(inputs=inputs, signature_name="rank")
        metadata = client.metadata()["metadata"]["signature_def"]["signature_def"]
    assert best["score"] == sorted(every["score"], reverse=True)[:2]
    assert set(metadata["rank"]["defaults"]) == {"weights", "top_k"}
    assert metadata["serving_default"]["defaults"] == {}


@pytest.mark.parametrize("wide", [False, True])
def test_of_no_candidates_the_answer_is_empty(spec, rank_loaded, model_url, wide):
    """JSON's `[]` says nothing of the width of vectors; gRPC can."""
    arrays = rank_arrays(spec, [ROW])
    asked = {f.name for f in spec.features if f.group in ("query", "context")}
    none = {n: a if n in asked else a[:0] for n, a in arrays.items()}
    if not wide:
        none |= {n: a.reshape(-1) for n, a in none.items() if n not in asked}
    for top_k in (0, 3):
        found = rank_loaded({**none, "top_k": np.int32(top_k)})
        assert {n: v.shape for n, v in found.items()} == dict.fromkeys(
            (*OUTPUTS, "positions"), (0,)
        )
    with Client(model_url, "tiny") as client:
        lists = {n: a.tolist() for n, a in none.items()}
        answer = client.predict(inputs=lists, signature_name="rank")
        rows = client.predict(inputs={n: [] for n in lists})
    assert answer == {name: [] for name in (*OUTPUTS, "positions")}
    assert rows == {name: [] for name in OUTPUTS}


def test_values_that_training_never_saw_are_others_and_not_missing(spec, signatures):
    unseen = [{**OTHER, "kind": kind, "title": "cat"} for kind in ("zz", "yy", "")]
    zz, yy, none = signatures["rank"](**rank_tensors(spec, unseen))["score"].numpy()
    assert zz == yy != none
    ids = [{**OTHER, "video_id": video} for video in (2**62, -(2**63), -1)]
    scores = signatures["rank"](**rank_tensors(spec, ids))["score"].numpy()
    assert np.isfinite(scores).all() and scores[2] not in scores[:2]


@pytest.mark.parametrize("rows", [1, 3])
def test_three_rows_of_request_features_are_refused(spec, model_url, rows):
    inputs = {n: t.numpy().tolist() for n, t in rank_tensors(spec, [{}] * rows).items()}
    inputs |= {
        "kind": [""] * rows,
        "title": [""] * rows,
        "tab": [1, 2, 3],
        "user_id": [1, 2, 3],
    }
    inputs |= {"history_video_id": [[10], [11], [12]]}
    with Client(model_url, "tiny") as client, pytest.raises(ClientError) as error:
        client.predict(inputs=inputs, signature_name="rank")
    assert error.value.status == 400
    # By a check of ours, and not where a product happens not to fit.
    assert "is not compatible with expected shape [1" in str(error.value)


# Answers from a Python in which only the modules of argv[2] can be imported, and those
# that belong to Python itself.
_ELSEWHERE = """
import importlib.abc, json, sys
present = {*sys.argv[2].split(","), *sys.stdlib_module_names}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in present:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import tensorflow as tf
rank = tf.saved_model.load(sys.argv[1]).signatures["rank"]
specs = rank.structured_input_signature[1]
inputs = json.loads(sys.argv[3])
outputs = rank(**{n: tf.constant(v, specs[n].dtype) for n, v in inputs.items()})
print(json.dumps({n: v.numpy().tolist() for n, v in outputs.items()}))
"""


def _modules_of(distribution: str) -> set[str]:
    """What `pip install` of it would bring into an empty environment."""
    brought, wanted = set(), [distribution]
    while wanted:
        name = _normal(wanted.pop())
        if name not in brought:
            brought.add(name)
            wanted += _required(name)
    return {module for name in brought for module in _installed(name)}


def _required(distribution: str) -> list[str]:
    """Other distributions, without those of extras; none if it is not here."""
    try:
        lines = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:  # for another platform
        return []
    return [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]


def _installed(distribution: str) -> set[str]:
    """Its modules, by the files that it has installed."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {file.parts[0].split(".")[0] for file in files}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.slow
def test_loads_where_only_tensorflow_is_installed(spec, models_dir, signatures):
    """A process without our packages, TFX, TFT, TFRS and Keras 2."""
    modules = _modules_of("tensorflow")
    assert {"tensorflow", "keras", "numpy", "google"} <= modules
    assert not modules & {
        "trainer", "serving", "pipeline", "feature_specs", "tensorflow_transform",
        "tfx", "tfx_bsl", "tensorflow_recommenders", "tf_keras", "tensorflow_text",
        "tensorflow_serving", "apache_beam",
    }  # fmt: skip
    inputs = {n: t.numpy() for n, t in rank_tensors(spec, [ROW, OTHER]).items()}
    plain = {
        n: v.astype(str).tolist() if v.dtype == object else v.tolist()
        for n, v in inputs.items()
    }
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    arguments = [str(models_dir / "tiny" / "1"), ",".join(modules), json.dumps(plain)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ELSEWHERE, *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    here = signatures["rank"](**rank_tensors(spec, [ROW, OTHER]))
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], here[name], rtol=1e-5)


def test_warmup_has_one_request_a_signature(models_dir):
    from tensorflow_serving.apis import prediction_log_pb2

    path = models_dir / "tiny" / "1" / WARMUP_FILE
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in records]
    names = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert sorted(names) == ["rank", "score_examples", "serving_default"]


def test_nothing_is_left_beside_the_version(models_dir):
    assert os.listdir(models_dir / "tiny") == ["1"]


def test_a_version_is_never_overwritten(ranker, tft_output, spec, models_dir):
    with pytest.raises(FileExistsError, match="next version number"):
        export(ranker, tft_output, spec, str(models_dir / "tiny" / "1"))


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("saved_model.pb", lambda data: data[: len(data) // 2], "is no SavedModel"),
        ("saved_model.pb", lambda data: b"", "has no graph tagged 'serve'"),
        ("assets/*", lambda data: data[:-2], "is not as it was exported"),
        ("assets/*", lambda data: b"z" + data[1:], "is not as it was exported"),
        ("assets/*", None, "is missing"),
        ("variables/variables.index", lambda data: data[:50], "cannot be loaded: "),
        ("variables/variables.index", None, "cannot be loaded: "),
        ("variables/variables.data*", lambda data: data[:50], "cannot be loaded: "),
        ("variables/variables.data*", None, "cannot be loaded: "),
        ("assets.extra/trailrank_files.json", lambda data: data[:9], "is damaged"),
    ],
)
def test_a_damaged_file_of_a_model_is_told(models_dir, tmp_path, name, damage, told):
    """Half a vocabulary loads without a word from TensorFlow, and gives other ids."""
    version = tmp_path / "1"
    shutil.copytree(models_dir / "tiny" / "1", version)
    path = sorted(version.glob(name))[0]
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    with pytest.raises(LoadError, match=told) as error:
        servable.load(str(version))
    assert str(error.value).startswith(str(version))
    assert "\n" not in str(error.value)


def test_a_model_of_another_program_needs_no_manifest(models_dir, tmp_path):
    version = tmp_path / "1"
    shutil.copytree(models_dir / "tiny" / "1", version)
    (version / "assets.extra" / "trailrank_files.json").unlink()
    assert "rank" in servable.load(str(version)).signatures


def test_a_place_that_tensorflow_would_not_find_again_is_refused(
    ranker, tft_output, spec, tmp_path
):
    with pytest.raises(PlaceError, match=r"export .*a\[x\]/1: must have none of"):
        export(ranker, tft_output, spec, tmp_path / "a[x]" / "1")
    assert not list(tmp_path.iterdir())


# --- all at once ----------------------------------------------------------------------


def test_an_export_that_fails_leaves_nothing(
    ranker, tft_output, spec, tmp_path, monkeypatch
):
    def fail(model_dir):
        raise OSError("disk full")

    monkeypatch.setattr("serving.export.export.write_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        export(ranker, tft_output, spec, tmp_path / "7")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_what_a_killed_export_has_left_is_removed(tmp_path):
    own, other = tmp_path / ".7-0123abcd.tmp", tmp_path / ".77-0123abcd.tmp"
    for folder in (own, other, tmp_path / "6"):
        (folder / "variables").mkdir(parents=True)
    _remove_leftovers(str(tmp_path / "7"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".77-0123abcd.tmp", "6"]


def test_in_a_bucket_the_graph_comes_last_and_a_failure_leaves_nothing(monkeypatch):
    temporary, path, copied = "ram://models/.7-0123abcd.tmp", "ram://models/7", []
    names = ("saved_model.pb", "variables/a", "assets/b")

    def write():
        for name in names:
            tf.io.gfile.makedirs(os.path.dirname(f"{temporary}/{name}"))
            with tf.io.gfile.GFile(f"{temporary}/{name}", "w") as file:
                file.write(name)

    def copy(source, target):
        copied.append(target.removeprefix(f"{path}/"))
        if fails and len(copied) == 2:
            raise OSError("connection lost")
        with tf.io.gfile.GFile(target, "w") as file:
            file.write(copied[-1])

    monkeypatch.setattr(tf.io.gfile, "copy", copy)
    write()
    fails = True
    with pytest.raises(OSError, match="connection lost"):
        _publish(temporary, path)
    assert not tf.io.gfile.exists(f"{path}/assets/b")
    fails, copied[:] = False, []
    _publish(temporary, path)
    assert copied == ["assets/b", "variables/a", "saved_model.pb"]
    assert tf.io.gfile.exists(f"{path}/saved_model.pb")
    assert not tf.io.gfile.exists(f"{temporary}/saved_model.pb")
