"""The examples of `tune` and its options, on a search that the other tests need too."""

import shutil


def test_example(run_docstring, tuned, files, examples, tmp_path, monkeypatch):
    for path in files.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copytree(tuned, tmp_path / "tuned")
    (tmp_path / "examples").symlink_to(examples)
    monkeypatch.chdir(tmp_path)
    run_docstring("tune")


def test_options(run_docstring):
    run_docstring("TuneOptions")
