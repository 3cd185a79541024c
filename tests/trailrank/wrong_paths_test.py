"""A wrong path is told before TensorFlow, TFX or Beam are imported, which takes 10 s
and more. Whether they were is asked of the interpreter, as a clock tells of the machine."""

import json
import pathlib
import subprocess
import sys

import pytest

# (arguments, what is told); {there} is a directory with some files, {none} is nowhere.
_CASES = {
    "rank": ("rank --root {none} --user 1", "no finished run here"),
    "evaluate": ("evaluate --root {none}", "no finished run here"),
    "evaluate moved": ("evaluate --root {moved}", "was moved or cleaned"),
    "evaluate truth": ("evaluate --root {moved} --truth {none}", "--truth"),
    "fusion search": ("fusion search --root {none} --out {out}", "no finished run"),
    "fusion search days": (
        "fusion search --root {moved} --out {out}",
        "keeps no day for evaluation",
    ),
    "fusion estimate": (
        "fusion estimate --root {none} --weights skip=1",
        "no finished run",
    ),
    "rank moved": ("rank --root {moved} --user 1", "moved or cleaned"),
    "loadtest": ("loadtest --root {none}", "no finished run here"),
    "loadtest moved": ("loadtest --root {moved}", "moved or cleaned"),
    "loadtest requests": (
        "loadtest --requests {none} --model m",
        "cannot be read (No such file",
    ),
    "loadtest out": ("loadtest --root {none} --out {file}", "must be a directory"),
    "skew": ("skew --root {none}", "no finished run here"),
    "skew moved": ("skew --root {moved}", "names no splits of examples"),
    "compare-logs": ("compare-logs {none}", "Name what serve --shadow_log names"),
    "compare-logs other": ("compare-logs {there}", "no log here"),
    "compare-logs out": ("compare-logs {there} --out {file}", "must be a directory"),
    "serve shadow log": (
        "serve --models {models} --shadow 1 --share 1 --shadow_log {file}",
        "must be a directory",
    ),
    "serve": ("serve --root {none}", "no model here"),
    "serve models": ("serve --models {there}", "no model here"),
    "model show": ("model show {none}", "must hold a SavedModel"),
    "model show card": ("model show {there}", "must hold a SavedModel"),
    "inspect checkpoints": (
        "inspect --spec kuairand --checkpoints {none} --examples {days} --out {out}",
        "--checkpoints",
    ),
    "inspect other checkpoints": (
        "inspect --spec kuairand --checkpoints {there} --examples {days} --out {out}",
        "must hold one checkpoint at least",
    ),
    "inspect examples": (
        "inspect --spec kuairand --checkpoints {trained} --examples {none} --out {out}",
        "must hold folders Split-day-YYYYMMDD",
    ),
    "compare": (
        "compare --root {none} --presets single mmoe --out {out}",
        "no finished run here",
    ),
    "compare examples": (
        "compare --spec kuairand --examples {none} --presets single --out {out}",
        "must hold folders Split-day-YYYYMMDD",
    ),
    "compare spec": (
        "compare --spec kuairnd --examples {days} --presets single --out {out}",
        "Did you mean 'kuairand'?",
    ),
    "experiment arm": (
        "experiment --out {out} --control feed --treatment {there}",
        "must be one of oracle",
    ),
    "experiment logs": (
        "experiment --out {out} --control feed --treatment random --logs {none}",
        "must be what `trailrank simulate` wrote",
    ),
    "experiment out": (
        "experiment --out {file} --control feed --treatment random",
        "must be a directory",
    ),
    "tune": ("tune --root {none} --out {out}", "no finished run here"),
    "tune examples": (
        "tune --spec kuairand --examples {none} --out {out}",
        "must hold folders Split-day-YYYYMMDD",
    ),
    "tune preset": (
        "tune --spec kuairand --examples {days} --preset mmeo --out {out}",
        "Did you mean 'mmoe'?",
    ),
    "tune space": (
        "tune --spec kuairand --examples {days} --space {none} --out {out}",
        "must be a YAML file of keys",
    ),
    "weights": (
        "weights select --new_task share --root {none} --out {out}",
        "no finished run here",
    ),
    "weights examples": (
        "weights select --new_task share --spec kuairand --examples {none} --out {out}",
        "must hold folders Split-day-YYYYMMDD",
    ),
    "weights task": (
        "weights select --new_task shar --spec kuairand --examples {days} --out {out}",
        "--new_task 'shar': must be a task of spec 'kuairand'.",
    ),
    "train spec": (
        "train --spec kuairnd --examples {days} --checkpoints {out}",
        "Did you mean 'kuairand'?",
    ),
    "train examples": (
        "train --spec kuairand --examples {there} --checkpoints {out}",
        "must hold folders Split-day-YYYYMMDD",
    ),
    "train days": (
        "train --spec kuairand --examples {days} --checkpoints {out} --days 20200101",
        "It has day-20220408 to day-20220408",
    ),
    "train checkpoints": (
        "train --spec kuairand --examples {days} --checkpoints {file}",
        "must be a directory",
    ),
    "train warm start": (
        "train --spec kuairand --examples {days} --checkpoints {out} "
        "--warm_start {none}",
        "--warm_start",
    ),
    "train encoding": (
        "train --spec kuairand --examples {days} --checkpoints {out} --encoding {days}",
        "must hold encoding.json",
    ),
    "train export": (
        "train --spec kuairand --examples {days} --checkpoints {out} --export {out}",
        "Name it with --encoding",
    ),
    "pipeline spec": (
        "pipeline run --spec kuairnd --logs {there} --root {out}",
        "Did you mean 'kuairand'?",
    ),
    "pipeline logs": (
        "pipeline run --spec kuairand --logs {none} --root {out}",
        "does not exist. Give the directory with the logs",
    ),
    "pipeline other logs": (
        "pipeline run --spec kuairand --logs {there} --root {out}",
        "It holds notes.txt. Give the directory with the logs",
    ),
    "pipeline root": (
        "pipeline run --spec kuairand --logs {logs} --root {file}/run",
        "must be a directory",
    ),
    "pipeline bucket": (
        "pipeline run --spec kuairand --logs {logs} --root gs://b/run",
        "compile the pipeline for Vertex",
    ),
    "pipeline vertex": (
        "pipeline run --runner vertex --spec kuairand --logs {logs} --root gs://b/run "
        "--days 20220408:20220409 --project my-team --region europe-west4",
        "must lie in a bucket",
    ),
    "pipeline submit": (
        "pipeline submit {none} --project my-team --region europe-west4",
        "cannot be read (No such file or directory). Write it with",
    ),
    "pipeline schedule": (
        "pipeline schedule --cron 0_*_*_*_* --pipeline {none} --project my-team "
        "--region europe-west4",
        "cannot be read (No such file or directory). Write it with",
    ),
    "examples logs": (
        "examples --spec kuairand --logs {none} --out {out}",
        "does not exist. Give the directory with the logs",
    ),
    "examples sample": (
        "examples --spec kuairand --logs {none} --sample_rows 9",
        "does not exist. Give the directory with the logs",
    ),
    "spec check logs": (
        "spec check kuairand --logs {there}",
        "It holds notes.txt. Give the directory with the logs",
    ),
    "spec init logs": ("spec init {none} --out {out}", "Give the directory of the raw"),
    "trail-bias logs": (
        "trail-bias --spec kuairand --logs {none} --out {out}",
        "does not exist. Give the directory with the logs",
    ),
}

_HEAVY = ("tensorflow", "tfx", "apache_beam")

# One interpreter for all: none of them may load what the next one would not see anew.
_DRIVER = """
import contextlib, io, json, sys
from trailrank import cli
found = {}
for name, argv in json.load(sys.stdin).items():
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(["trailrank", *argv])
    loaded = [module for module in %r if module in sys.modules]
    found[name] = {"status": status, "told": told.getvalue(), "loaded": loaded}
print(json.dumps(found))
"""


def _places(folder: pathlib.Path) -> dict[str, str]:
    names = ("there", "days/Split-day-20220408", "trained", "logs", "moved")
    names += ("models/m/1",)
    for name in names:
        (folder / name).mkdir(parents=True)
    (folder / "there" / "notes.txt").write_text("nothing")
    (folder / "file").write_text("a file")
    (folder / "models/m/1/saved_model.pb").write_text("")
    (folder / "trained" / "ckpt-3.index").write_text("")
    (folder / "logs" / "log_standard_4_08.csv").write_text("user_id\n")
    spec = pathlib.Path(__file__).parents[2] / "feature_specs/specs/kuairand.yaml"
    record = {
        "spec": "kuairand",
        "spec_text": spec.read_text(),
        "spec_digest": "",
        "preset": "mmoe",
        "days": "20220408:20220409",
        "eval_splits": [],
        "logs": "",
        "rows": {},
        "examples": str(folder / "moved" / "examples"),
        "model": str(folder / "moved" / "model"),
        "pushed": True,
        "metrics": [],
        "slices": {},
        "versions": {},
    }
    (folder / "moved" / "run.json").write_text(json.dumps(record))
    known = ("there", "days", "trained", "logs", "moved", "models", "file", "none")
    known += ("out",)
    return {name: str(folder / name) for name in known}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Case -> exit status, what was told, and which heavy modules were loaded."""
    places = _places(tmp_path_factory.mktemp("places"))
    asked = {
        name: [word.replace("_*", " *") for word in text.format(**places).split(" ")]
        for name, (text, _) in _CASES.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER % (_HEAVY,)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", _CASES)
def test_a_wrong_path_is_told_before_anything_heavy_is_imported(answers, case):
    found = answers[case]
    assert found["status"] == 1
    assert _CASES[case][1] in " ".join(found["told"].split())
    assert "Traceback" not in found["told"]
    assert found["loaded"] == []
