"""The examples in the docstrings of training, loading and inspecting, as they stand."""

import pytest

from tests.trainer.conftest import PRESET, SPEC


@pytest.mark.slow  # a training, and two rankers from its checkpoint
def test_examples(run_docstring, make_rows, tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(SPEC)
    (tmp_path / "tiny.yaml").write_text(PRESET)
    for seed, day in enumerate(("20220408", "20220409")):
        folder = tmp_path / "transformed" / f"Split-day-{day}"
        make_rows(2048, seed=seed).write(folder / "data.gz")
    monkeypatch.chdir(tmp_path)
    run_docstring("train")
    run_docstring("load_ranker")  # eight steps of 256 rows, the cpu slice's
    run_docstring("inspect")
