"""Tables in fewer bytes: what they give, and what an exported model of them answers."""

import numpy as np
import pytest
import tensorflow as tf

from serving.export.export import export
from serving.export.model_card import as_markdown, read_card
from serving.export.requests import columns
from serving.export.stored_tables import StoredTable, TablesError, stored_tables
from serving.models.session import load_signatures
from trainer.model import embeddings
from trainer.model.embeddings import FeatureEmbeddings

ROWS = [
    [0.5, -1.27, 0.0, 1.0],  # a step is 0.01
    [0.0, 0.0, 0.0, 0.0],
    [1e-30, -2e-30, 3e-30, 0.0],
]


def nearest_steps(rows: np.ndarray) -> np.ndarray:
    """int8 by the paper-and-pencil rule: the largest size is 127 steps."""
    rows = rows.astype(np.float64)
    step = np.abs(rows).max(axis=1, keepdims=True) / 127
    return (
        np.rint(np.divide(rows, step, out=np.zeros_like(rows), where=step > 0)) * step
    )


def test_int8_is_the_nearest_of_127_steps():
    table = StoredTable(tf.Variable(ROWS), "int8")
    assert table.rows.numpy()[0].tolist() == [50, -127, 0, 100]
    found = table.look_up(tf.constant([[2, 0], [1, 0]])).numpy()
    expected = nearest_steps(np.array(ROWS))
    np.testing.assert_allclose(found, expected[[[2, 0], [1, 0]]], rtol=1e-6)
    assert (table.size_bytes, table.float32_bytes) == (3 * 4 + 3 * 4, 3 * 4 * 4)


def test_float16_is_rounded_once():
    table = StoredTable(tf.Variable(ROWS), "float16")
    found = table.look_up(tf.constant([0, 2])).numpy()
    rows = np.array(ROWS, np.float32)[[0, 2]]
    np.testing.assert_array_equal(found, rows.astype(np.float16).astype(np.float32))
    assert (table.size_bytes, table.float32_bytes) == (3 * 4 * 2, 3 * 4 * 4)


@pytest.fixture(scope="module")
def large(ranker):
    """The variables of the shared tables, which count as large for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "SMALL_ROWS", 49)
        layers = [m for m in ranker.submodules if isinstance(m, FeatureEmbeddings)]
        yield [table for layer in layers for table in layer.large_tables]


@pytest.fixture(scope="module")
def version(large, ranker, tft_output, spec, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("stored") / "1")
    told = []

    def measure(model_dir):
        told.append(model_dir)
        own = {"auc": [0.5, 0.25], "gauc": [None, None], "largest_change": 0.125}
        return {"tasks": {"long_view": own}}

    export(ranker, tft_output, spec, path, tables="int8", measure=measure)
    assert len(told) == 1 and told != [path]  # the card comes before the version
    return path


def test_every_signature_answers_by_the_stored_tables(
    version, large, ranker, tft_output, spec, rows
):
    raw = columns(spec.served_features, rows)
    dtypes = {f.name: f.dtype for f in spec.served_features}
    arrays = {
        n: np.array(v, object if dtypes[n] == "string" else dtypes[n])
        for n, v in raw.items()
    }
    asked = [f.name for f in spec.features if f.group in ("query", "context")]
    once = {n: v[:1] if n in asked else v for n, v in arrays.items()}
    alike = {n: np.repeat(v[:1], len(rows), 0) if n in asked else v for n, v in arrays.items()}  # fmt: skip
    signatures = load_signatures(version)
    ranked = signatures["rank"](once)
    by_row = signatures["serving_default"](alike)
    before = [table.numpy() for table in large]
    trained = _predicted(ranker, tft_output, spec, alike)
    try:
        for table, values in zip(large, before, strict=True):
            table.assign(nearest_steps(values))
        expected = _predicted(ranker, tft_output, spec, alike)
    finally:
        for table, values in zip(large, before, strict=True):
            table.assign(values)
    for name, values in expected.items():
        np.testing.assert_allclose(ranked[name], values, rtol=1e-5)
        np.testing.assert_allclose(by_row[name], values, rtol=1e-5)
        assert np.abs(values - trained[name]).max() > 1e-4  # so they can be told apart


def _predicted(ranker, tft_output, spec, arrays) -> dict:
    """By transform and model, without export."""
    raw = {}
    for feature in spec.served_features:
        values = tf.constant(arrays[feature.name])
        raw[feature.name] = (
            tf.sparse.from_dense(values + 1)
            if feature.is_sequence
            else tf.constant(arrays[feature.name])
        )
        if feature.is_sequence:  # from_dense leaves zeros out, and -1 is missing
            found = raw[feature.name]
            raw[feature.name] = found.with_values(found.values - 1)
    raw["trail_position"] = tf.fill([len(arrays["tab"])], np.float32("nan"))
    encoded = tft_output.transform_features_layer()(raw)
    return {name: values.numpy() for name, values in ranker(encoded).items()}


def test_the_model_has_no_table_as_it_was_trained(version, large):
    found = tf.train.load_checkpoint(f"{version}/variables/variables")
    types = found.get_variable_to_dtype_map()
    shapes = found.get_variable_to_shape_map()
    large_shapes = [list(table.shape) for table in large]
    stored = [types[name] for name in shapes if shapes[name] in large_shapes]
    assert stored == [tf.int8] * len(large)


def test_the_card_tells_what_changed(version, large):
    card = read_card(version)
    assert card.tables["type"] == "int8"
    sizes = [tuple(table.shape) for table in large]
    assert sizes.count((50, 4)) == 3  # those of the spec
    # A byte a number, and a scale a row.
    assert card.tables["bytes"] == sum(rows * (width + 4) for rows, width in sizes)
    assert card.tables["float32_bytes"] == sum(4 * r * width for r, width in sizes)
    assert "| long_view | 0.5 | 0.25 |  |  | 0.125 |" in as_markdown(card)


def test_a_model_without_a_large_table_and_an_unknown_type_are_told(
    ranker, monkeypatch
):
    monkeypatch.setattr(embeddings, "SMALL_ROWS", 10**9)
    with (
        pytest.raises(TablesError, match="has no large table that can be stored"),
        stored_tables(ranker, "int8"),
    ):
        pass
    with (
        pytest.raises(TablesError, match=r"one of float32, float16, int8\. Got 'int4'"),
        stored_tables(ranker, "int4"),
    ):
        pass
