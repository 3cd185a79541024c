"""A checkpoint on another encoding predicts, and trains on, as it did on its own."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import read_preset, read_spec
from tests.trainer.conftest import PRESET, SPEC
from tpu_configs import SliceConfig
from trainer.days import loop
from trainer.days.checkpoints import find, newest_state
from trainer.days.encoding import Encoding, Scale
from trainer.days.mapping import check_mappable, feature_of, row_maps
from trainer.days.state import Position, ResumeError, TrainingState
from trainer.errors import TrainingError

_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
_SPEC = read_spec(
    SPEC.replace(
        "name: tab, group: context, kind: code, size: 4",
        "name: tab, group: context, kind: category, size: auto",
    )
)
_CONFIG = read_preset(PRESET)


def _encoding(*values, room, deviation=2.0):
    return Encoding(
        "20220408",
        vocabularies={"tab": values},
        room={"tab": room},
        base_sizes={"tab": len(values)},
        scales={"age": Scale("z", "none", 1.0, deviation)},
    )


_BEFORE = _encoding("a", "b", "c", "d", room=4)
_NOW = _encoding("d", "new", "b", "a", "c", room=5)
# Rows: missing, a, b, c, d, all others.
_IDS = np.array([0, 4, 3, 5, 1, 6], np.int32)


@pytest.fixture(scope="module")
def days(make_rows, tmp_path_factory):
    """(rows, files of two days as `_BEFORE` has them, as `_NOW` has them)."""
    folder = tmp_path_factory.mktemp("rows")
    found = {"before": [], "now": []}
    for seed, day in enumerate(("d1", "d2")):
        rows = make_rows(256, seed=seed)
        mapped = dataclasses.replace(rows, features=_mapped(rows.features))
        for name, encoded in (("before", rows), ("now", mapped)):
            path = folder / f"{name}-{day}.gz"
            encoded.write(path)
            found[name].append((day, [str(path)]))
    return rows, found["before"], found["now"]


def _mapped(features):
    return {**features, "tab": _IDS[features["tab"]]}


@pytest.fixture(scope="module")
def before(days, tmp_path_factory):
    """The checkpoints of a training on the first day."""
    directory = tmp_path_factory.mktemp("before")
    _train(days[1][:1], directory, _BEFORE)
    return directory


def _train(days, directory, encoding, **options):
    return loop.train(
        _SPEC,
        _CONFIG,
        days,
        checkpoint_dir=str(directory),
        slice=_SLICE,
        encoding=encoding,
        options=loop.LoopOptions(**options),
    )


def _assert_alike(one, other, rows):
    expected = one({k: tf.constant(v) for k, v in rows.features.items()})
    found = other({k: tf.constant(v) for k, v in _mapped(rows.features).items()})
    for task, values in expected.items():
        np.testing.assert_allclose(found[task], values, atol=1e-6, err_msg=task)


@pytest.fixture(scope="module")
def mapped(days, before, tmp_path_factory):
    """Checkpoints that were mapped after the first day and trained on the second; the
    rankers of both days."""
    directory = tmp_path_factory.mktemp("mapped") / "checkpoints"
    shutil.copytree(before, directory)
    first = _train(days[2][:1], directory, _NOW, map_encoding=True)
    second = _train(days[2], directory, _NOW, map_encoding=True)
    return directory, first, second


def test_a_mapped_checkpoint_predicts_alike_and_trains_on_alike(
    days, before, mapped, tmp_path
):
    """The second day moves by the slots of the first: they are mapped, too."""
    _, first, second = mapped
    restored = loop.load(_SPEC, _CONFIG, str(before), _SLICE).ranker
    _assert_alike(restored, first, days[0])
    shutil.copytree(before, tmp_path / "same")
    whole = _train(days[1], tmp_path / "same", _BEFORE)
    _assert_alike(whole, second, days[0])
    features = days[0].features
    assert not np.allclose(  # or nothing above could fail
        restored(features)["click"], whole(features)["click"], atol=1e-3
    )


def test_it_goes_on_as_the_new_encoding_and_no_longer_as_the_old(days, mapped):
    state = newest_state(str(mapped[0]))
    assert state and state[1].encoding == _NOW.to_values()
    with pytest.raises(ResumeError, match="room of tab was 5 and is 4"):
        _train(days[1], mapped[0], _BEFORE)


def test_mapped_without_a_day_to_train_it_goes_on_by_itself(
    days, before, mapped, tmp_path
):
    """What was mapped is on the disk: it need not be asked for again."""
    directory = tmp_path / "checkpoints"
    shutil.copytree(before, directory)
    _train(days[2][:1], directory, _NOW, map_encoding=True)
    state = newest_state(str(directory))
    assert state and state[1].encoding == _NOW.to_values()
    again = _train(days[2], directory, _NOW)
    for one, other in zip(again.variables, mapped[2].variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_older_checkpoint_of_the_old_encoding_is_not_read_as_the_new(
    days, mapped, tmp_path
):
    shutil.copytree(mapped[0], tmp_path / "mapped")
    # The one of the mapping, and that of the second day; the first day's is left.
    for mapped_one in find(str(tmp_path / "mapped"))[:2]:
        (data,) = (tmp_path / "mapped").glob(f"{mapped_one.rsplit('/', 1)[-1]}.data*")
        data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ResumeError, match="room of tab was 4 and is 5"):
        _train(days[2], tmp_path / "mapped", _NOW)
    with pytest.raises(ResumeError, match="room of tab was 4 and is 5"):
        loop.load(_SPEC, _CONFIG, str(tmp_path / "mapped"), _SLICE)


def test_a_warm_start_maps_as_well(days, before, tmp_path):
    rows, _, as_now = days
    restored = loop.load(_SPEC, _CONFIG, str(before), _SLICE).ranker
    warm = {"warm_start": str(before), "sample": 1e-9}  # no row of the day is trained
    with pytest.raises(ResumeError, match="room of tab was 4 and is 5.*--map_encoding"):
        _train(as_now[1:], tmp_path / "refused", _NOW, **warm)
    found = _train(as_now[1:], tmp_path / "new", _NOW, **warm, map_encoding=True)
    _assert_alike(restored, found, rows)


def test_rows_go_by_value_and_the_last_one_is_that_of_all_others():
    now = dataclasses.replace(_NOW, room={"tab": 7})
    (found,) = row_maps(_BEFORE, now).values()
    assert found.sizes == (6, 9)
    table = np.arange(6.0)[:, np.newaxis]
    fresh = -np.ones((9, 1))
    # missing, d, (new), b, a, c, no value yet, no value yet, all others
    expected = [0, 4, -1, 2, 1, 3, -1, -1, 5]
    assert found.moved(table, fresh)[:, 0].tolist() == expected


def test_a_room_that_makes_the_table_wider_is_refused(days, before, tmp_path):
    """8 rows or more have 8 columns by the rule of `TableSpec.width`, 6 have 4."""
    shutil.copytree(before, tmp_path / "mapped")
    wider = dataclasses.replace(_NOW, room={"tab": 7})
    with pytest.raises(
        TrainingError, match=r"Got none of .*feature_tab.* made its table wider"
    ):
        _train(days[2], tmp_path / "mapped", wider, map_encoding=True)


@pytest.mark.parametrize(
    ("key", "feature"),
    [
        ("ranker/networks/0/embeddings/feature_tab/.ATTRIBUTES/VARIABLE_VALUE", "tab"),
        ("ranker/a/feature_tab/.OPTIMIZER_SLOT/ranker/o/m/.ATTRIBUTES/V", "tab"),
        ("average/averages/networks.S0.Sembeddings.Sfeature_tab/.ATTRIBUTES/V", "tab"),
        ("ranker/networks/0/embeddings/user/.ATTRIBUTES/VARIABLE_VALUE", None),
    ],
)
def test_the_feature_of_a_key(key, feature):
    assert feature_of(key) == feature


def test_another_scale_is_refused_with_the_way_out():
    state = TrainingState({}, encoding=_BEFORE.to_values())
    other = _encoding("a", "b", room=4, deviation=3.0)
    rule = r"age had mean 1.0, deviation 2.0 and has .*3.0.*with the scales of the ear"
    with pytest.raises(TrainingError, match=rule):
        check_mappable(state, other, "here")


def test_a_half_trained_day_is_refused():
    state = TrainingState({}, encoding=_BEFORE.to_values())
    state.position = Position("day-20220409", batch=3)
    with pytest.raises(TrainingError, match="must be at the end of a day. Got batch 3"):
        check_mappable(state, _NOW, "here")


@pytest.mark.parametrize("text", [{}, {"vocabulary tab": "2 values (a, b; 1)"}])
def test_an_encoding_of_an_earlier_release_is_refused(text):
    state = TrainingState({}, encoding=text)
    with pytest.raises(TrainingError, match="Got none of the checkpoint"):
        check_mappable(state, _NOW, "here")
