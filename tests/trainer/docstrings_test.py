"""The examples in the docstrings of training, loading and inspecting, as they stand."""

import pytest

from feature_specs import read_spec
from pipeline.encoding.graph import write_transform_graph
from tests.trainer.conftest import PRESET
from tests.trainer.raw_days import ENCODING, RAW_SPEC, raw_rows, write_rows


@pytest.mark.slow  # a training, and two rankers from its checkpoint
def test_examples(run_docstring, tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(RAW_SPEC)
    (tmp_path / "tiny.yaml").write_text(PRESET)
    for seed, day in enumerate(("20220408", "20220409")):
        folder = tmp_path / "examples" / f"Split-day-{day}"
        write_rows(folder / "data_tfrecord-0.gz", raw_rows(2048, seed))
    write_transform_graph(ENCODING, read_spec(RAW_SPEC), str(tmp_path / "encoding"))
    monkeypatch.chdir(tmp_path)
    run_docstring("train")
    run_docstring("load_ranker")  # eight steps of 256 rows, the cpu slice's
    run_docstring("inspect")
