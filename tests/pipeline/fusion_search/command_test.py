"""`trailrank fusion search` on the run that all tests share."""

import json
import os

import pytest
import yaml

from feature_specs import read_spec, views
from pipeline.fusion_search.command import run
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.run import fusion_search
from pipeline.run_record import read_record

_UTILITY = "watch_time + 5 * interact"


@pytest.fixture(scope="module")
def searched(shared_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("searched") / "out"
    flags = ["--root", str(shared_run.root), "--out", str(out), "--utility", _UTILITY]
    flags += ["--constraint", "skip <= 2%", "--evaluations", "60", "--length"]
    assert run(["search", *flags, "--pareto", "interact", "skip"]) == 0
    return out


@pytest.mark.slow
def test_everything_is_written(searched):
    names = "fusion.yaml pareto.png rates.png report.md search.json spec.yaml"
    assert sorted(n for n in os.listdir(searched) if n[0] != ".") == names.split()
    found = json.loads((searched / "search.json").read_text())
    assert found["by_users"]  # one evaluation day
    value = found["searched"]["value"]
    assert value["found"] >= value["default"]
    assert found["searched"]["rates"]["skip"]["change"]["mean"] <= 0.02
    assert found["verdict"] in (searched / "report.md").read_text()
    assert found["front"]["tasks"] == ["interact", "skip"]
    assert 55 <= found["trials"] <= 60
    judged, other = found["judged"], found["searched"]
    assert judged["users"] + other["users"] <= 45
    change = judged["value"]["change"]
    assert change["mean"] == pytest.approx(
        judged["value"]["found"] - judged["value"]["default"]
    )


@pytest.mark.slow
def test_the_spec_with_the_section_trains_nothing_anew(searched, shared_run):
    before = read_spec(read_record(shared_run.root).spec_text)
    after = read_spec((searched / "spec.yaml").read_text())
    found = json.loads((searched / "search.json").read_text())["found"]
    assert after.fusion.length.weight == found.pop("(length)")
    assert after.fusion.weights == found
    changed = {
        name
        for name in views.VIEWS
        if views.text(after, name) != views.text(before, name)
    }
    # The evaluation's gains go by the weights, too.
    assert changed == {views.SERVING, views.EVALUATION, views.EVERYTHING}
    section = yaml.safe_load((searched / "fusion.yaml").read_text())["fusion"]
    assert section["weights"] == after.fusion.weights
    assert section["transforms"] == before.fusion.transforms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"utility": "watch_tme"}, "which is no task"),
        ({"constraints": ["skip < 1%"]}, "must be like"),
        ({"pareto": ["skip"]}, "two or three of"),
        ({"days": ["20200101"]}, "the run has no day-20200101"),
        ({"evaluations": 1}, "must be 10 to"),
        ({"k": 0}, "must be 1 to"),
    ],
)
def test_mistakes_are_told_before_rows_are_scored(shared_run, tmp_path, settings, told):
    with pytest.raises(FusionSearchError, match=told):
        fusion_search(shared_run.root, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
