"""A new user's mistakes: each ends in one clear message, and nothing is written over."""

import pathlib
import shutil
import socket

import pytest

from trailrank import cli


@pytest.fixture
def logs(simulated_logs, tmp_path) -> pathlib.Path:
    """The side files of the simulated week, and a short log of three days."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for path in (simulated_logs / "data").glob("*features*.csv"):
        shutil.copy(path, folder)
    source = next((simulated_logs / "data").glob("log_standard_*.csv"))
    with open(source, encoding="utf-8") as lines:
        head = [next(lines) for _ in range(3001)]
    (folder / "log_standard_short.csv").write_text("".join(head))
    return folder


def _told(capsys, *argv: str) -> str:
    """The message of a failing command: on stderr, without a trace."""
    assert cli.main(["trailrank", *argv]) != 0
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return " ".join(told.split())


def _run(capsys, logs, tmp_path, *more: str) -> str:
    flags = ["--spec", "kuairand", "--logs", str(logs), "--root", str(tmp_path / "run")]
    return _told(capsys, "pipeline", "run", *flags, *more)


def test_no_such_command(capsys):
    assert "Did you mean 'pipeline'?" in _told(capsys, "pipelin")


def test_unknown_spec(capsys):
    told = _told(
        capsys, "pipeline", "run", "--spec", "kuairnd", "--logs", "x", "--root", "y"
    )
    assert "Did you mean 'kuairand'?" in told


def test_three_mistakes_in_a_spec_at_once(capsys, tmp_path):
    path = tmp_path / "mine.yaml"
    text = pathlib.Path("feature_specs/specs/movielens.yaml").read_text()
    text = text.replace("timezone: UTC", "timezone: Utopia")
    text = text.replace("kind: regression", "kind: regresion")
    path.write_text(text.replace("loved: 0.5", "lovd: 0.5"))
    told = _told(capsys, "spec", "check", str(path))
    for part in ("mine.yaml: 3 mistakes", "log.timezone", "regresion", "lovd"):
        assert part in told


def test_wrong_log_path(capsys, tmp_path):
    told = _run(capsys, tmp_path / "nowhere", tmp_path)
    assert "nowhere" in told
    assert "log_*.csv" in told


def test_a_directory_without_logs_names_what_is_there(capsys, simulated_logs, tmp_path):
    told = _run(capsys, simulated_logs / "truth", tmp_path)
    assert "log.files" in told
    assert "model.json" in told  # what is there instead


def test_missing_column(capsys, logs, tmp_path):
    path = logs / "log_standard_short.csv"
    path.write_text(path.read_text().replace("is_like", "liked", 1))
    told = _run(capsys, logs, tmp_path)
    assert "log_standard_short.csv" in told
    assert "is_like" in told


def test_days_that_are_no_days(capsys, logs, tmp_path):
    assert "YYYYMMDD" in _run(capsys, logs, tmp_path, "--days", "april")


def test_no_rows_in_range(capsys, logs, tmp_path):
    told = _run(capsys, logs, tmp_path, "--days", "20200101:20200103")
    assert "20200101:20200103" in told
    assert "2022" in told  # the days that there are


def test_no_model_yet(capsys, tmp_path):
    told = _told(capsys, "serve", "--root", str(tmp_path))
    assert str(tmp_path) in told
    assert "trailrank pipeline run" in told


def test_port_in_use(capsys, shared_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = _told(capsys, "serve", "--root", str(shared_run.root), "--port", port)
    assert f"port {port}" in told
    assert "--port" in told


def test_no_run_to_rank_from(capsys, tmp_path):
    told = _told(capsys, "rank", "--root", str(tmp_path), "--user", "1")
    assert "run.json" in told


def test_nobody_serves(capsys, shared_run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    flags = ["--root", str(shared_run.root), "--url", url, "--user", "1"]
    assert "trailrank serve" in _told(capsys, "rank", *flags)


def test_no_truth_to_compare_with(capsys, shared_run, tmp_path):
    flags = ["--root", str(shared_run.root), "--truth", str(tmp_path)]
    assert "truth/ directory" in _told(capsys, "evaluate", *flags)
