"""A training belongs to an encoding: the same one, one that extends it, or none."""

import dataclasses
import json
import shutil

import pytest

from feature_specs import read_preset, read_spec
from tests.trainer.conftest import PRESET, SPEC
from tpu_configs import SliceConfig
from trainer.days import loop
from trainer.days.checkpoints import finished_days
from trainer.days.encoding import (
    Appended,
    Encoding,
    Scale,
    counted,
    read_encoding,
    vocabulary_file,
)
from trainer.days.shards import DamagedExamplesError
from trainer.days.state import Position, TrainingState, check_files, files_digest
from trainer.errors import TrainingError
from trainer.train import load_ranker

_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=1)
_DAY = "20220408"
_SPLIT = f"day-{_DAY}"

# The rows of its table are known when the training days are encoded.
_AUTO = SPEC.replace("name: tab, group: context, kind: code, size: 4", "AUTO")
_AUTO = _AUTO.replace("AUTO", "name: tab, group: context, kind: category, size: auto")
_AGE = Scale("z", "none", 1.5, 2.0)


def _encoding(*values: str, room: int = 4, age: Scale = _AGE) -> Encoding:
    return Encoding(
        _DAY,
        vocabularies={"tab": values},
        room={"tab": room},
        base_sizes={"tab": len(values)},
        scales={"age": age},
        days=(_SPLIT,),
        history={"tab": (Appended(_SPLIT, len(values), 0, 10, 0),)},
    )


def _write(encoding: Encoding, graph) -> str:
    """What EncodingGen leaves of an encoding, without its graph."""
    assets = graph / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    for name, values in encoding.vocabularies.items():
        if values:
            lines = "".join(f"{value}\n" for value in values)
            (assets / vocabulary_file(name)).write_text(lines, newline="\n")
    encoding.write(str(graph))
    return str(graph)


@pytest.mark.parametrize("values", [(), ("a", "b"), (" ", "\u00e9", "\u2028", "\t")])
def test_it_is_read_as_it_was_written(tmp_path, values):
    encoding = _encoding(*values)
    assert read_encoding(_write(encoding, tmp_path / "graph")) == encoding
    assert Encoding.of_values(json.loads(json.dumps(encoding.to_values()))) == encoding


def test_base_and_digest_say_what_changed():
    one = _encoding("a", "b")
    longer = one.extended_by("day-20220409", {"tab": {"c": 1}})
    same = one.extended_by("day-20220409", {"tab": {"a": 5}})
    assert (longer.base, same.base) == (one.base, one.base)
    assert one.digest == same.digest != longer.digest
    others = [
        _encoding("b", "a"),
        _encoding("a", "b", room=5),
        _encoding("a", "b", age=Scale("z", "none", 1.5, 3.0)),
        _encoding("a,b"),
    ]
    assert len({one.base, *(other.base for other in others)}) == 5


def test_values_are_appended_by_frequency_then_text_while_there_is_room():
    counts = {"tab": {"z": 1, "y": 3, "x": 1, "a": 9, "": 4}}
    found = _encoding("a", "b").extended_by("day-20220409", counts)
    assert found.vocabularies["tab"] == ("a", "b", "y", "x")
    assert found.history["tab"][1] == Appended("day-20220409", 2, 1, 13, 1)
    assert found.extended_by("day-20220410", counts).vocabularies == found.vocabularies


def test_an_encoding_extends_one_whose_ids_all_mean_the_same():
    one, longer = _encoding("a", "b"), _encoding("a", "b", "c")
    assert longer.extends(one) and one.extends(one) and not one.extends(longer)
    assert not _encoding("b", "a", "c").extends(one)
    assert not _encoding("a", "b", "c", room=5).extends(one)  # others lie elsewhere
    other = Scale("minmax", "none", 1.5, 2.0)
    assert not _encoding("a", "b", "c", age=other).extends(one)


@pytest.mark.parametrize(
    "changes",
    [
        {"vocabularies": {"tab": ("a", "a")}},
        {"vocabularies": {"tab": ("a", "b", "c", "d", "e")}},
        {"vocabularies": {"tab": ("a",)}},
    ],
)
def test_what_would_give_two_meanings_to_an_id_is_refused(changes):
    with pytest.raises(ValueError, match="Encoding: 'tab' must have"):
        dataclasses.replace(_encoding("a", "b"), **changes)


@pytest.mark.parametrize("width", [-1.0, float("nan"), float("inf")])
def test_a_scale_is_finite(width):
    with pytest.raises(ValueError, match="must be finite"):
        Scale("z", "none", 0.0, width)


def test_differences_name_what_was_learned_otherwise():
    now = _encoding("b", "a", room=5, age=Scale("z", "log1p", 1.0, 2.0))
    told = _encoding("a", "b").differences(now)
    assert list(told) == ["room of tab", "scale of age", "vocabulary tab"]
    assert told["room of tab"] == "room of tab was 4 and is 5"
    assert told["scale of age"] == (
        "scale of age was mean 1.5, deviation 2.0 and is "
        "mean 1.0, deviation 2.0 of log1p"
    )
    assert told["vocabulary tab"].startswith("vocabulary tab was 2 values (a, b; ")


def test_a_counted_size_is_the_room_that_is_kept(caplog):
    spec = read_spec(_AUTO)
    with caplog.at_level("INFO", logger="absl"):
        assert counted(spec, _encoding("a", room=1234)).feature("tab").size == 1234
    assert "size: auto: tab has room for 1,234 values." in caplog.text
    assert counted(read_spec(SPEC), None) == read_spec(SPEC)  # nothing to count


def test_a_vocabulary_that_is_cut_off_is_told(caplog):
    with caplog.at_level("WARNING", logger="absl"):
        counted(read_spec(_AUTO), _encoding("a", room=100_000))
    assert "tab: has room for 100,000 values, the most" in caplog.text


@pytest.mark.parametrize("encoding", [None, Encoding(_DAY)])
def test_a_size_that_nothing_tells_is_asked_for(encoding):
    with pytest.raises(TrainingError, match=r"'tab': size: auto needs the vocabulary"):
        counted(read_spec(_AUTO), encoding)


@pytest.mark.parametrize(
    "text", ["", '{"format": 1, "vocabu', "[]", '{"vocabularies": 1}', "DIGEST"]
)
def test_a_damaged_encoding_is_told(tmp_path, text):
    graph = _write(_encoding("a", "b"), tmp_path / "graph")
    if text == "DIGEST":  # the values of another one
        asset = tmp_path / "graph" / "transform_fn" / "assets" / vocabulary_file("tab")
        asset.write_text("b\na\n")
    else:
        (tmp_path / "graph" / "encoding.json").write_text(text)
    with pytest.raises(DamagedExamplesError, match=r"encoding\.json: is no encoding"):
        read_encoding(graph)


def test_a_directory_without_an_encoding_is_told(tmp_path):
    with pytest.raises(DamagedExamplesError, match=r"must hold encoding\.json"):
        read_encoding(str(tmp_path))


# --- a training -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(make_rows, tmp_path_factory):
    """A day, encoded three ways; a training on the first one's."""
    folder = tmp_path_factory.mktemp("run")
    ways = [
        _encoding("a", "b"),
        _encoding("b", "a"),
        _encoding("a", "b").extended_by("day-20220409", {"tab": {"c": 1}}),
    ]
    for number, encoding in enumerate(ways, 1):
        make_rows(64, seed=1).write(folder / "examples" / str(number) / "0.gz")
        _write(encoding, folder / "encodings" / str(number))
    _train(folder)
    return folder


def _train(folder, spec=_AUTO, number="1", **settings):
    examples = settings.pop("examples", folder / "examples" / number)
    return loop.train(
        read_spec(spec),
        read_preset(PRESET),
        [(_SPLIT, [str(examples / "*.gz")])],
        checkpoint_dir=str(settings.pop("checkpoints", folder / "checkpoints")),
        slice=_SLICE,
        **{"encoding": read_encoding(str(folder / "encodings" / number))} | settings,
    )


def test_another_vocabulary_is_refused_by_name(trained):
    rule = r"same encoding .* vocabulary tab was 2 values \(a, b; .* \(b, a; "
    with pytest.raises(ValueError, match=rule):
        _train(trained, number="2")


def test_an_encoding_that_extends_the_trainings_goes_on(trained, tmp_path):
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    found = _train(trained, number="3", checkpoints=tmp_path / "checkpoints")
    assert int(found.steps) == 1  # restored, not trained again


def test_examples_whose_encoding_nothing_tells_are_refused(trained):
    with pytest.raises(ValueError, match=r"not known here: .*\(--encoding names"):
        _train(trained, encoding=None)
    found = _train(trained)
    assert int(found.steps) == 1  # restored, not trained again
    tables = {v.name.split("/")[-1]: v for v in found.table_variables}
    assert tables["feature_tab:0"].shape[0] == 6  # room for 4, missing, others


def test_a_comment_and_a_fusion_weight_go_on(trained):
    changed = _AUTO.replace("{click: 1.0}", "{click: 2.0, like: 3.0}")
    changed += "# a comment\n"
    assert int(_train(trained, spec=changed).steps) == 1
    assert finished_days(str(trained / "checkpoints")) == [f"day-{_DAY}"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "loss_weight: 2",
            "loss_weight: 3",
            r"tasks.like.loss_weight was 2.0 and is 3",
        ),
        ('"is_click = 1"}', '"is_click > 0"}', r"tasks.click.label was "),
        (
            "kind: code, size: 6",
            "kind: code, size: 7",
            r"features.tag.size was 6",
        ),
    ],
)
def test_what_decides_the_weights_is_refused_by_name(trained, old, new, told):
    assert _AUTO.count(old) == 1
    with pytest.raises(ValueError, match=f"the same run. spec.{told}"):
        _train(trained, spec=_AUTO.replace(old, new))


def test_a_checkpoint_tells_the_size_too(trained):
    ranker = load_ranker(
        read_spec(_AUTO), read_preset(PRESET), trained / "checkpoints", slice=_SLICE
    )
    names = [v.name for v in ranker.table_variables if v.shape[0] == 6]
    assert any("feature_tab" in name for name in names)


def test_a_finished_day_made_again_is_told(trained, make_rows, tmp_path, caplog):
    make_rows(65, seed=1).write(tmp_path / "0.gz")
    with caplog.at_level("WARNING", logger="absl"):
        assert int(_train(trained, examples=tmp_path).steps) == 1  # as before
    assert "It is not trained again" in caplog.text


def test_a_half_trained_day_made_again_is_refused(make_rows, tmp_path):
    file = tmp_path / "0.gz"
    make_rows(65, seed=1).write(file)
    state = TrainingState({}, files={_DAY: files_digest([str(file)])})
    state.position = Position(_DAY, batch=1)
    check_files(state, {_DAY: [str(file)]})
    make_rows(66, seed=1).write(file)
    with pytest.raises(ValueError, match="must have the files that the checkpoint was"):
        check_files(state, {_DAY: [str(file)]})
