"""Which rows a comparison takes: of a run, or of a directory."""

import dataclasses
import shutil

import pytest

from pipeline.compare.examples import examples_of_folder, examples_of_run
from pipeline.run_record import NoRunError, RunRecord, read_record, write_record

_ALL = tuple(f"day-2022040{day}" for day in range(1, 7))


def _examples(root, number, days=_ALL, text="rows"):
    folder = root / "artifacts/DayExampleGen/examples" / str(number)
    for day in days:
        (folder / f"Split-{day}").mkdir(parents=True)
        (folder / f"Split-{day}" / "data_tfrecord-0.gz").write_text(text)
    return folder


@pytest.fixture
def run_dir(tmp_path, spec_text):
    """A run of six days, the last two for evaluation; its second half came later."""
    first, second = _examples(tmp_path, 9, _ALL[:3]), _examples(tmp_path, 30, _ALL[3:])
    graph = tmp_path / "graph"
    graph.mkdir()
    places = dict.fromkeys(_ALL[:3], str(first)) | dict.fromkeys(_ALL[3:], str(second))
    record = RunRecord(
        spec="small",
        spec_text=spec_text,
        spec_digest="",
        preset="mmoe",
        days="20220401:20220406",
        eval_splits=_ALL[4:],
        logs="",
        rows={"train": list(_ALL[:4])},
        examples=str(second),
        example_dirs=places,
        transform_graph=str(graph),
        model="",
        pushed=True,
        metrics=[],
        slices={},
        versions={},
    )
    write_record(str(tmp_path), record)
    return tmp_path


def test_each_day_of_a_run_is_taken_from_where_it_lies(run_dir, spec):
    found = examples_of_run(str(run_dir))
    assert found.encoding == str(run_dir / "graph")
    assert found.train_days == list(_ALL[:4])
    assert found.evaluation_days == list(_ALL[4:])
    folders = [patterns[0].split("/")[-3] for _, patterns in found.train]
    assert folders == ["9", "9", "9", "30"]
    assert found.train[0][1][0].endswith(f"/examples/9/Split-{_ALL[0]}/*.gz")
    assert found.spec == spec
    assert found.notes == ()


def test_days_of_a_run_that_are_gone_are_left_out_but_for_those_that_judge(run_dir):
    shutil.rmtree(run_dir / "artifacts/DayExampleGen/examples/9")
    assert examples_of_run(str(run_dir)).train_days == [_ALL[3]]
    shutil.rmtree(run_dir / "artifacts/DayExampleGen/examples/30" / f"Split-{_ALL[4]}")
    with pytest.raises(ValueError, match=f"--root .*: .* Got none of {_ALL[4]}. Run"):
        examples_of_run(str(run_dir))


def test_an_older_record_knows_one_directory_of_examples(run_dir):
    record = read_record(run_dir)
    whole = _examples(run_dir, 40)
    older = dataclasses.replace(record, example_dirs={}, examples=str(whole))
    write_record(str(run_dir), older)
    assert examples_of_run(str(run_dir)).train_days == list(_ALL[:4])


def test_days_and_evaluation_days_can_be_chosen(run_dir):
    found = examples_of_run(
        str(run_dir), ["day-20220401", "20220403:20220405"], eval_days=1
    )
    assert found.train_days == [_ALL[0], _ALL[2], _ALL[3]]
    assert found.evaluation_days == [_ALL[4]]
    assert found.notes == ()


def test_evaluation_on_a_training_day_of_the_run_is_told(run_dir):
    found = examples_of_run(str(run_dir), eval_days=3)
    assert found.evaluation_days == list(_ALL[3:])
    assert found.notes[0].startswith(f"{_ALL[3]}: a training day of the run")


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(NoRunError, match="no finished run here"):
        examples_of_run(str(tmp_path))


def test_a_run_without_its_encoding_is_refused(run_dir):
    (run_dir / "graph").rmdir()
    with pytest.raises(
        ValueError, match="--root .*: must have the encoding of the run"
    ):
        examples_of_run(str(run_dir))


def test_a_folder_keeps_its_last_day_for_evaluation(run_dir, spec):
    folder = str(_examples(run_dir, 1))
    found = examples_of_folder(spec, folder)
    assert (found.train_days, found.evaluation_days) == (list(_ALL[:5]), [_ALL[5]])


@pytest.mark.parametrize("eval_days", [6, 7])
def test_a_day_to_train_on_must_be_left(run_dir, spec, eval_days):
    folder = str(_examples(run_dir, 1))
    with pytest.raises(ValueError, match=f"--eval_days {eval_days}: .* leave one of"):
        examples_of_folder(spec, folder, eval_days=eval_days)


def test_days_that_are_not_there_are_refused(run_dir, spec):
    folder = str(_examples(run_dir, 1))
    with pytest.raises(ValueError, match="--days 20220501: .* It has day-20220401 to"):
        examples_of_folder(spec, folder, ["20220402", "20220501"])
    with pytest.raises(ValueError, match="--days 'x': must be FIRST:LAST"):
        examples_of_folder(spec, folder, ["x"])
    with pytest.raises(ValueError, match="--examples .*nothing: must hold folders"):
        examples_of_folder(spec, f"{run_dir}/nothing")


def test_the_fingerprint_follows_the_files_not_their_place(run_dir, spec):
    def fingerprint(number, **settings):
        folder = str(_examples(run_dir, number, **settings))
        return examples_of_folder(spec, folder).fingerprint

    assert fingerprint(1) == fingerprint(2)
    assert fingerprint(3, text="other rows") != fingerprint(4)
    assert fingerprint(5, days=_ALL[1:]) != fingerprint(6)
