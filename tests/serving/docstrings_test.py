"""The examples in the docstrings of export, server, client and rank, as they stand."""

import asyncio
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
    run_docstring("AsyncClient", url=model_url, spec=spec, asyncio=asyncio)


def test_rank(run_docstring, write_run, model_url, tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    run_docstring("rank", url=model_url)


def test_compare_logs(run_docstring, tmp_path, monkeypatch):
    from tests.serving.compare_logs.trial_log import Request, write_log

    reversed_order = [Request(str(n), shadow=[1.0, 2.0, 3.0]) for n in range(4)]
    write_log(tmp_path / "log", reversed_order)
    monkeypatch.chdir(tmp_path)
    run_docstring("compare_logs")


def test_loadtest_and_skew(run_docstring, write_run, model_url, tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    run_docstring("loadtest", server=model_url)
    run_docstring("skew", server=model_url)
