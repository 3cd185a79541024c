"""docs/own_logs.md, command by command, on fewer impressions."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import polars as pl
import pytest

from tests.forks import COMMAND, SCRIPT, Forks

_ROOT = pathlib.Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "own_logs.md"
_IMPRESSIONS = 6_000
_DAY_MS = 86_400_000


def _blocks(kind: str) -> list[str]:
    """The page's blocks of a language, in order."""
    text = _PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


@pytest.fixture(scope="module")
def walk(tmp_path_factory, forks):
    """(directory, command's first words -> what it printed) of the whole page."""
    folder = tmp_path_factory.mktemp("own_logs")
    port = _free_port()
    printed = {}
    with _Server() as server:
        for command in "".join(_blocks("sh")).splitlines():
            command = command.replace("200000", str(_IMPRESSIONS))
            command = command.replace("8501", str(port))
            if "pipeline run" in command:
                _without_gate(folder / "feed.yaml")
            if "serve" in command:
                server.start(f"{command} --grpc_port 0", folder, port)
                continue
            printed[" ".join(command.split()[1:3])] = _run(forks, command, folder)
            if "spec init" in command:
                _patch(folder)
    return folder, printed


def _environment() -> dict[str, str]:
    bin_folder = pathlib.Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(_ROOT),
    }


def _run(forks: Forks, command: str, folder: pathlib.Path) -> str:
    """`python SCRIPT ...` or `trailrank ...`; what it printed."""
    program, *rest = shlex.split(command)
    if program == "python":
        rest[0] = _ROOT / rest[0]
    else:
        assert program == "trailrank"
        rest.insert(0, program)
    code = SCRIPT if program == "python" else COMMAND
    return forks.run(code, [folder, *rest]).out


def _patch(folder: pathlib.Path) -> None:
    """The page's edits, on what was proposed."""
    spec, (edits,) = folder / "feed.yaml", _blocks("diff")
    text = spec.read_text()
    for hunk in re.split(r"^@@.*@@\n", edits, flags=re.M)[1:]:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"{old}\nis not in\n{text}"
        text = text.replace(old, new)
    spec.write_text(text)


def _without_gate(spec: pathlib.Path) -> None:
    """So few rows say nothing of an AUC."""
    text = spec.read_text()
    assert "evaluation:" in text
    spec.write_text(text[: text.index("evaluation:")])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class _Server:
    """The page's `serve`, in a process of its own."""

    def __enter__(self):
        self._process = None
        return self

    def start(self, command, folder, port):
        self._process = subprocess.Popen(
            command, shell=True, cwd=folder, env=_environment(), start_new_session=True
        )
        address = f"http://127.0.0.1:{port}/v1/models/feed"
        for _ in range(300):
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    if b"AVAILABLE" in answer.read():
                        return
            except OSError:
                time.sleep(0.2)
        pytest.fail("the server did not begin to serve")

    def __exit__(self, *_):
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(30)


@pytest.mark.slow
def test_every_command_ends_well_and_a_ranked_answer_comes(walk):
    _, printed = walk
    assert "feed.yaml: right. 17 features" in printed["spec check"]
    assert "Pushed to RUN/models/feed" in printed["pipeline run"]
    lines = printed["rank --root"].splitlines()
    assert lines[0].startswith("feed: the best of ")
    ranked = [line.split() for line in lines if re.match(r" \d+ +v-\d{6} ", line)]
    scores = [float(row[2]) for row in ranked]
    assert len(ranked) == 5 and scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_no_impression_and_no_event_is_lost_and_likes_are_those_of_a_day_of_berlin(
    walk,
):
    folder, _ = walk
    (path,) = (folder / "RUN" / "artifacts").glob(
        "DayExampleGen/examples/*/report.json"
    )
    report = json.loads(path.read_text())
    assert report["rows_in"] == _IMPRESSIONS
    shown = pl.read_parquet(folder / "LOGS" / "impressions" / "**" / "*.parquet")
    events = pl.read_parquet(folder / "LOGS" / "engagements" / "**" / "*.parquet")
    told = report["events"]["engagements"]
    parts = ("joined", "late", "unmatched", "repeated", "rejected")
    assert sum(told[part] for part in parts) == told["rows"] == events.height
    assert told["repeated"] == events.height - events["event_id"].n_unique()
    # By hand: a like within a day of its impression that is not taken back.
    begin = pl.col("shown_at").str.to_datetime("%+", time_zone="UTC")
    shown = shown.with_columns(begin.alias("begin"))
    once = events.unique("event_id").join(shown, on="impression_id")
    since = (pl.col("at") - pl.col("begin")).dt.total_milliseconds()
    once = once.filter(since.is_between(0, _DAY_MS))
    counts = once.group_by("impression_id").agg(
        (pl.col("action") == "like").sum().alias("likes"),
        (pl.col("action") == "unlike").sum().alias("unlikes"),
    )
    liked = shown.join(counts, on="impression_id", how="left").with_columns(
        (pl.col("likes") > pl.col("unlikes")).fill_null(False).alias("liked"),
        pl.col("begin").dt.convert_time_zone("Europe/Berlin").dt.strftime("%Y%m%d"),
    )
    # So few rows that the proposal lets several days share a split.
    splits = sorted(name.removeprefix("day-") for name in report["examples"])
    assert splits[0] == "20260302"  # the folders hold no whole 1st of March
    for split, end in zip(splits, [*splits[1:], "20260309"], strict=True):
        found = liked.filter(
            pl.col("begin").is_between(pl.lit(split), pl.lit(end), "left")
        )
        assert report["examples"][f"day-{split}"] == found.height
        mean = report["label_means_per_split"][f"day-{split}"]["like"]
        assert mean == pytest.approx(found["liked"].mean())
