"""The examples in the docstrings of what the package's contents page offers."""


def test_examples(run_docstring, known_run, monkeypatch):
    monkeypatch.chdir(known_run.root.parent)
    run_docstring("status")
    run_docstring("history")
    run_docstring("lineage")
    run_docstring("rollback")
    run_docstring("prune")
