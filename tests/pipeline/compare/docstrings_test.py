"""The example in `compare`'s docstring, on trainings that the other tests need too."""

import shutil


def test_example(run_docstring, compared, files, examples, tmp_path, monkeypatch):
    for path in files.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copytree(compared, tmp_path / "out")
    (tmp_path / "examples").symlink_to(examples)
    monkeypatch.chdir(tmp_path)
    run_docstring("compare")
