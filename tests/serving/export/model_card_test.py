import dataclasses
import json
import math
import shutil

import pytest

from feature_specs import read_preset, read_spec, views
from serving.export.export import export
from serving.export.model_card import (
    Lineage,
    ModelCardError,
    Tensor,
    as_markdown,
    make_card,
    model_dir_of,
    read_card,
)
from serving.export.model_command import run
from tests.encoded_rows import as_examples
from tests.serving.conftest import PRESET

_METRICS = {"day": "day-20240102", "loss": 0.5}


@pytest.fixture(scope="module")
def model(ranker, tft_output, spec, rows, tmp_path_factory):
    """A model with everything that a training knows of it."""
    path = tmp_path_factory.mktemp("card") / "tiny" / "7"
    days = ("day-20240101", "day-20240102")
    lineage = Lineage(days=days, seed=3, metrics=_METRICS)
    examples = as_examples(rows)
    export(ranker, tft_output, spec, path, lineage=lineage, examples=examples)
    return path


def test_card_tells_formula_and_weights(model):
    card = read_card(model)
    assert card.formula == (
        "log_score =",
        "  +1 * log(long_view)",
        "  -0.5 * log(1 + max(0, watched))",
        "  +0.25 * log(1 + log(1 + max(0, seconds)))",
        "score = exp(log_score)",
    )
    assert card.weights == {"long_view": 1.0, "watched": -0.5}


def test_card_has_the_signatures_of_the_saved_model(model, spec):
    card = read_card(model)
    assert set(card.signatures) == {"serving_default", "rank", "score_examples"}
    rank = card.signatures["rank"]
    assert set(rank.inputs) == {f.name for f in spec.served_features} | {
        "weights",
        "top_k",
    }
    assert rank.inputs["user_id"] == Tensor(dtype="int64", shape=(1,))
    assert rank.inputs["cover"] == Tensor(dtype="float32", shape=(None, 2))
    assert str(rank.inputs["cover"]) == "float32 [?, 2]"
    for name, signature in card.signatures.items():
        assert signature.outputs["log_score"].dtype == "float64"
        own = {"positions"} if name == "rank" else set()
        tasks = {"long_view", "watched"}
        assert set(signature.outputs) == {*tasks, "score", "log_score", *own}


def test_card_tells_where_the_model_comes_from(model, tft_output):
    card = read_card(model)
    assert card.lineage.days == ("day-20240101", "day-20240102")
    assert (card.lineage.seed, card.lineage.metrics) == (3, _METRICS)
    assert card.encoding["learned_through"] == "20240101"
    assert len(card.encoding["digest"]) == 12


def test_spec_and_preset_of_the_card_can_be_read_again(model, spec):
    card = read_card(model)
    again = read_spec(card.spec)
    assert views.digest(again, views.SERVING) == card.views["serving"]
    assert card.views["serving"] == views.digest(spec, views.SERVING)
    assert read_preset(card.preset) == read_preset(PRESET)


def test_card_is_the_same_after_a_round_trip(model):
    card = read_card(model)
    assert json.loads(card.to_json())["format"] == 1
    text = (model / "assets.extra" / "model_card.md").read_text()
    assert text == as_markdown(card) + "\n"


def test_a_task_without_weight_is_in_no_formula(spec):
    fusion = dataclasses.replace(spec.fusion, weights={"watched": 2.0}, length=None)
    changed = dataclasses.replace(spec, fusion=fusion)
    card = make_card(changed, read_preset(PRESET), {}, {}, Lineage())
    assert card.formula[1:-1] == ("  +2 * log(1 + max(0, watched))",)
    assert "| long_view | long_view | 0 |" in as_markdown(card)
    assert "| days | not known |" in as_markdown(card)


def test_newest_version_is_shown(model, tmp_path):
    for number in ("2", "10"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()  # half-written
    assert model_dir_of(tmp_path) == str(tmp_path / "10")
    assert model_dir_of(model.parent) == str(model)


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(ModelCardError, match="must hold a SavedModel"):
        read_card(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelCardError, match="model_card.json: is missing"):
        read_card(tmp_path)
    (tmp_path / "assets.extra").mkdir()
    card = tmp_path / "assets.extra" / "model_card.json"
    for text in ("{", "[]", '{"format": 2}', '{"format": 1}'):
        card.write_text(text)
        with pytest.raises(ModelCardError, match="is no model card"):
            read_card(tmp_path)


def test_gates_of_a_pushed_version_are_shown(model, tmp_path, capsys):
    gates = [
        {"measure": "auc", "of": "like", "slice": "tab=1", "against": "", "value": 0.75,
         "limit": 0.7, "outcome": "passed"},
        {"measure": "rmse", "of": "stay", "slice": "", "against": "5", "value": None,
         "limit": 0.05, "outcome": "not judged"},
    ]  # fmt: skip
    version = tmp_path / "8"
    shutil.copytree(model, version)
    (version / "verdict.json").write_text(json.dumps({"gates": gates}))
    assert run(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "| auc of like, tab=1 | 0.7500 | 0.7000 | passed |" in shown
    assert "| rmse of stay against 5 |  | 0.0500 | not judged |" in shown
    assert run(["show", str(version), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gates"][1]["value"] is None
    (version / "verdict.json").write_text("[]")
    with pytest.raises(ModelCardError, match="is no verdict"):
        run(["show", str(version)])


def test_the_command_prints_the_page_or_json(model, capsys):
    assert run(["show", str(model.parent)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{model}\n\n# Model tiny\n")
    assert "  -0.5 * log(1 + max(0, watched))" in shown
    assert "| days | 2: day-20240101 to day-20240102 |" in shown
    assert run(["show", str(model), "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert math.isclose(weights["watched"], -0.5)
