"""A SavedModel in a session: types, defaults, shapes, and that it is freed."""

from __future__ import annotations

import gc
import resource
import weakref

import numpy as np
import pytest
import tensorflow as tf

from serving.models.session import LoadError, load_signatures, read_meta_graph


class _Toy(tf.Module):
    """2x + y, a text's length, and both at once."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable(2.0)
        self.table = tf.Variable(tf.ones([500_000]))  # two megabytes, to be seen

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 1], tf.float32, name="x"),
            tf.TensorSpec([None, 1], tf.float32, name="y"),
        ]
    )
    def affine(self, x, y):
        line = self.factor * x + y
        return {"line": line, "same": line, "size": tf.size(x) + 0}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="text")])
    def echo(self, text):
        return {"twice": text + text}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("toy"))
    module = _Toy()
    signatures = {"affine": module.affine, "echo": module.echo}
    tf.saved_model.save(module, path, signatures=signatures)
    return path


def _column(*values):
    return np.array(values, np.float32)[:, None]


def test_signatures_give_arrays_by_name(toy):
    affine = load_signatures(toy)["affine"]
    assert affine.inputs == {"x": "float32", "y": "float32"}
    assert affine.outputs == ("line", "same", "size")
    assert affine.method_name == "tensorflow/serving/predict"
    found = affine({"x": _column(1, 2), "y": _column(10, 20)})
    assert found["line"].tolist() == found["same"].tolist() == [[12.0], [24.0]]
    assert found["size"].shape == () and found["size"] == 2
    assert list(affine({"x": _column(1), "y": _column(1)}, ["size"])) == ["size"]


def test_declared_shapes_bind_nobody(toy):
    affine = load_signatures(toy)["affine"]
    found = affine({"x": np.float32([1, 2]), "y": np.zeros(2, np.float32)})
    assert found["line"].tolist() == [2.0, 4.0]


def test_a_scalar_text_comes_back_as_one(toy):
    found = load_signatures(toy)["echo"]({"text": np.array(b"ab\0c\0", object)})
    assert found["twice"].shape == ()
    assert found["twice"].item() == b"ab\0c\0ab\0c\0"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": _column(1)}, "input 'y' is missing"),
        (
            {"x": _column(1), "y": np.zeros((1, 1), np.int64)},
            "input 'y' must be float32. Got int64",
        ),
        (
            {"x": _column(1), "y": np.array([[b"a"]], object)},
            "input 'y' must be float32. Got object",
        ),
        ({"x": _column(1, 2, 3), "y": _column(1, 2)}, "Incompatible shapes"),
    ],
)
def test_what_a_graph_cannot_take_is_refused(toy, arrays, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        load_signatures(toy)["affine"](arrays)


def test_no_model_is_told(tmp_path):
    with pytest.raises(LoadError, match=r"saved_model\.pb: cannot be read"):
        read_meta_graph(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff no proto")
    with pytest.raises(LoadError, match=r"saved_model\.pb: is no SavedModel"):
        read_meta_graph(str(tmp_path))


def test_one_signature_keeps_the_whole_and_the_last_one_frees_it(toy):
    signatures = load_signatures(toy)
    run = weakref.ref(signatures["echo"]._run)
    affine = signatures["affine"]
    del signatures
    gc.collect()
    assert run() is None
    ones = {"x": _column(1), "y": _column(1)}
    assert affine(ones)["line"].tolist() == [[3.0]]


def test_forty_loads_leave_nothing_behind(toy):
    def peak_kb():
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(5):  # the allocator's own stores
        load_signatures(toy)
    before = peak_kb()
    for _ in range(40):
        load_signatures(toy)["affine"]({"x": _column(1), "y": _column(1)})
    # Forty tables of two megabytes are 80 MB; the peak may grow by a quarter of that.
    assert peak_kb() - before < 20_000
