"""A training belongs to an encoding: the same vocabularies and scales, or none."""

import hashlib
import shutil

import pytest

from feature_specs import read_preset, read_spec
from tests.trainer.conftest import PRESET, SPEC
from tpu_configs import SliceConfig
from trainer.days.checkpoints import finished_days
from trainer.days.encoding import (
    Encoding,
    counted,
    find_encoding,
    graph_beside,
    read_encoding,
)
from trainer.days.shards import DamagedExamplesError
from trainer.days.state import Position, TrainingState, check_files, files_digest
from trainer.errors import TrainingError
from trainer.train import load_ranker, train

_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=1)
_DAY = "20220408"


# The rows of its table are known when the training days are encoded.
_AUTO = SPEC.replace("name: tab, group: context, kind: code, size: 4", "AUTO")
_AUTO = _AUTO.replace("AUTO", "name: tab, group: context, kind: category, size: auto")


def _graph(folder, *values: str, of: str = "tag") -> None:
    """What the Transform step leaves of a vocabulary."""
    assets = folder / "transform_fn" / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (assets / f"vocabulary_{of}").write_text("".join(f"{value}\n" for value in values))


def test_vocabularies_are_read_from_the_graph(tmp_path):
    _graph(tmp_path / "graph", "aa", "bb", "cc", "dd")
    digest = hashlib.sha256(b"aa\nbb\ncc\ndd\n").hexdigest()[:12]
    told = f"4 values (aa, bb, cc, ...; {digest})"
    assert read_encoding(str(tmp_path / "graph")).learned == {"vocabulary tag": told}


def test_an_encoding_is_the_same_wherever_it_lies(tmp_path):
    _graph(tmp_path / "a", "aa", "bb")
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    _graph(tmp_path / "b", "bb", "aa")
    one, copied, other = (
        read_encoding(str(tmp_path / name)) for name in ("a", "elsewhere", "b")
    )
    assert one == copied and one.digest == copied.digest != other.digest


def test_it_is_found_beside_the_examples(tmp_path):
    examples = tmp_path / "Transform" / "transformed_examples" / "4"
    examples.mkdir(parents=True)
    assert find_encoding(str(examples)) is None
    graph = tmp_path / "Transform" / "transform_graph" / "4"
    assert graph_beside(f"{examples}/") == str(graph)
    _graph(graph, "aa")
    beside = find_encoding(str(examples))
    assert beside == read_encoding(str(graph))
    named = Encoding({"age mean": "1.5"})
    named.write(str(examples))
    assert find_encoding(str(examples)) == named
    assert find_encoding(str(examples), str(graph)) == beside  # asked for by name


def test_differences_name_what_was_learned_otherwise():
    before = Encoding({"age mean": "1.5", "vocabulary tag": "a", "gone": "1"})
    now = Encoding({"age mean": "2.5", "vocabulary tag": "a"})
    assert before.differences(now) == {
        "age mean": "age mean was 1.5 and is 2.5",
        "gone": "gone was 1 and is not there",
    }


def test_a_size_is_counted_from_the_vocabulary(caplog):
    spec = read_spec(_AUTO)
    learned = {"vocabulary tab": "1234 values (a, b, c, ...; 0)", "age mean": "3.5"}
    with caplog.at_level("INFO", logger="absl"):
        assert counted(spec, learned).feature("tab").size == 1234
    assert "size: auto: tab has 1,234 values." in caplog.text
    assert counted(read_spec(SPEC), None) == read_spec(SPEC)  # nothing to count


def test_a_vocabulary_that_is_cut_off_is_told(caplog):
    learned = {"vocabulary tab": "100000 values (a, b, c, ...; 0)"}
    with caplog.at_level("WARNING", logger="absl"):
        counted(read_spec(_AUTO), learned)
    assert "tab: has 100,000 values or more, the most" in caplog.text


@pytest.mark.parametrize("learned", [None, {}, {"vocabulary tag": "3 values (a; 0)"}])
def test_a_size_that_nothing_tells_is_asked_for(learned):
    with pytest.raises(TrainingError, match=r"'tab': size: auto needs the vocabulary"):
        counted(read_spec(_AUTO), learned)


# --- a training -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(make_rows, tmp_path_factory):
    """A day, encoded by two transforms; a training on the first one's."""
    folder = tmp_path_factory.mktemp("run")
    for number, values in (("1", ["aa", "bb"]), ("2", ["bb", "aa"])):
        examples = folder / "transformed_examples" / number
        make_rows(64, seed=1).write(examples / f"Split-day-{_DAY}" / "0.gz")
        _graph(folder / "transform_graph" / number, *values)
        _graph(folder / "transform_graph" / number, *"abcd", of="tab")
    _train(folder)
    return folder


def _train(folder, spec=_AUTO, number="1", **settings):
    return train(
        read_spec(spec),
        read_preset(PRESET),
        settings.pop("transformed", folder / "transformed_examples" / number),
        checkpoints=folder / "checkpoints",
        slice=_SLICE,
        **settings,
    )


def test_another_vocabulary_is_refused_by_name(trained):
    rule = r"same encoding .* vocabulary tag was 2 values \(aa, bb; .* \(bb, aa; "
    with pytest.raises(ValueError, match=rule):
        _train(trained, number="2")


def test_examples_whose_encoding_nothing_tells_are_refused(trained, tmp_path):
    shutil.copytree(trained / "transformed_examples" / "1", tmp_path / "copied")
    with pytest.raises(
        ValueError, match=r"not known here: .*\(--transform_graph names"
    ):
        _train(trained, transformed=tmp_path / "copied")
    graph = trained / "transform_graph" / "1"
    found = _train(trained, transformed=tmp_path / "copied", transform_graph=graph)
    assert int(found.steps) == 1  # restored, not trained again
    tables = {v.name.split("/")[-1]: v for v in found.table_variables}
    assert tables["feature_tab:0"].shape[0] == 6  # a, b, c, d, missing, others


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
    folder = tmp_path / "transformed_examples" / "1"
    make_rows(65, seed=1).write(folder / f"Split-day-{_DAY}" / "0.gz")
    shutil.copytree(trained / "transform_graph", tmp_path / "transform_graph")
    with caplog.at_level("WARNING", logger="absl"):
        assert int(_train(trained, transformed=folder).steps) == 1  # as before
    assert "It is not trained again" in caplog.text


@pytest.mark.parametrize("text", ["", '{"learned": {"age me', "[]", '{"learned": 1}'])
def test_a_damaged_encoding_is_told(tmp_path, text):
    (tmp_path / "encoding.json").write_text(text)
    with pytest.raises(
        DamagedExamplesError, match=r"encoding\.json: is no encoding of"
    ):
        find_encoding(str(tmp_path))


def test_a_half_trained_day_made_again_is_refused(make_rows, tmp_path):
    file = tmp_path / "0.gz"
    make_rows(65, seed=1).write(file)
    state = TrainingState({}, files={_DAY: files_digest([str(file)])})
    state.position = Position(_DAY, batch=1)
    check_files(state, {_DAY: [str(file)]})
    make_rows(66, seed=1).write(file)
    with pytest.raises(ValueError, match="must have the files that the checkpoint was"):
        check_files(state, {_DAY: [str(file)]})
