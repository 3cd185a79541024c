"""A model with tables on the embedding engine is served like one with dense tables."""

import numpy as np
import pytest
import tensorflow as tf

from serving.export import signatures
from serving.export.export import export
from serving.export.requests import columns
from trainer.days import optimizers
from trainer.model import embedding_engine
from trainer.model.ranker import Ranker

ROW = {
    "user_id": 2,
    "history_video_id": [10, 12, 13, 11],
    "tab": 1,
    "video_id": 13,
    "kind": "c",
    "seconds": 7.0,
    "history_cover": [0.5, 1.0],
    "title": "a cat",
    "cover": [1.0, 2.0],
}
ROWS = [ROW, {**ROW, "video_id": 10, "kind": "a"}]


@pytest.fixture
def on_engine(ranker, spec):
    """The dense ranker's weights, in a ranker with an engine."""
    config = ranker.config
    tables = optimizers.of_tables(config.optimizer)
    engine = embedding_engine.EmbeddingEngine(tables, above=0, rows=64)
    model = Ranker(spec, config, {"long_view": 0.3, "watched": 1.2}, engine=engine)
    for mine, other in zip(model.dense_variables, ranker.dense_variables, strict=True):
        mine.assign(other)
    taken = {v.name.removeprefix("network_"): v for v in model.engine_variables}
    dense = iter(model.table_variables)  # those that the engine did not take
    for table in ranker.table_variables:
        mine = taken[table.name] if table.name in taken else next(dense)
        mine.assign(table)
    assert len(model.engine_variables) == 3
    return model


def test_predict_and_rank_give_the_scores_of_dense_tables(
    on_engine, models_dir, tft_output, spec, tmp_path
):
    export(on_engine, tft_output, spec, str(tmp_path / "1"))
    mine = tf.saved_model.load(str(tmp_path / "1"))
    dense = tf.saved_model.load(str(models_dir / "tiny" / "1"))
    found = columns(spec.served_features, ROWS)
    rows = {f.name: tf.constant(found[f.name], f.dtype) for f in spec.served_features}
    asked = {f.name for f in spec.served_features if f.group in ("query", "context")}
    once = {name: v[:1] if name in asked else v for name, v in rows.items()}
    calls = {"serving_default": rows, "rank": {**once, **signatures.DEFAULTS}}
    for name, inputs in calls.items():
        expected = dense.signatures[name](**inputs)
        scores = mine.signatures[name](**inputs)
        for task in expected:
            np.testing.assert_allclose(scores[task], expected[task], rtol=1e-5)
        assert np.ptp(expected["score"]) > 0
