"""The examples in the docstrings, on trainings that the other tests need too."""

import shutil


def test_example(run_docstring, selected, files, days, tmp_path, monkeypatch):
    for path in files.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copytree(selected[0], tmp_path / "out")
    (tmp_path / "examples").symlink_to(days)
    monkeypatch.chdir(tmp_path)
    run_docstring("select_weight")
    run_docstring("WeightOptions")
