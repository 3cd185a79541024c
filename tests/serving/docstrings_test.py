"""The examples in the docstrings of export, server, client and rank, as they stand."""

import json
import os

import httpx


def test_export_and_serve(
    run_docstring, ranker, tft_output, spec, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_docstring("export", ranker=ranker, transform=tft_output, spec=spec, os=os)
    run_docstring("serve", httpx=httpx)


def test_client(run_docstring, model_url, spec):
    run_docstring("Client", url=model_url, spec=spec)


def test_rank(run_docstring, write_run, model_url, tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    run_docstring("rank", url=model_url)


def test_transform_examples(run_docstring, spec, write_run, tmp_path, monkeypatch):
    """On rows that the room's own transform was fitted on."""
    write_run(tmp_path)
    report = {"train": ["day-20240101"], "evaluation": ["day-20240102"]}
    report["examples"] = {"day-20240101": 4, "day-20240102": 2}  # of `ROWS`
    (tmp_path / "examples" / "report.json").write_text(json.dumps(report))
    (tmp_path / "tiny.yaml").write_text(spec.text)
    monkeypatch.chdir(tmp_path)
    run_docstring("transform_examples", os=os)
