"""Which rows a comparison takes: of a run, or of a directory."""

import pytest

from pipeline.compare.examples import examples_of_folder, examples_of_run
from pipeline.run_record import NoRunError, RunRecord, write_record

_ALL = tuple(f"day-2022040{day}" for day in range(1, 7))


def _transform(root, number, days=_ALL, text="rows"):
    folder = root / "artifacts/Transform/transformed_examples" / str(number)
    for day in days:
        (folder / f"Split-{day}").mkdir(parents=True)
        (folder / f"Split-{day}" / "data.gz").write_text(text)
    return folder


@pytest.fixture
def run_dir(tmp_path, spec_text):
    """A finished run of six days, of which the last two were for evaluation."""
    record = RunRecord(
        spec="small",
        spec_text=spec_text,
        spec_digest="",
        preset="mmoe",
        days="20220401:20220406",
        eval_splits=_ALL[4:],
        logs="",
        rows={"train": list(_ALL[:4])},
        examples="",
        model="",
        pushed=True,
        metrics=[],
        slices={},
        versions={},
    )
    write_record(str(tmp_path), record)
    return tmp_path


def test_the_runs_days_and_newest_examples_are_taken(run_dir, spec):
    for number in (9, 10):
        _transform(run_dir, number)
    _transform(run_dir, 11, _ALL[:3])  # was stopped
    found = examples_of_run(str(run_dir))
    assert found.folder.endswith("transformed_examples/10")
    assert found.train_days == list(_ALL[:4])
    assert found.evaluation_days == list(_ALL[4:])
    assert found.train[0][1] == [f"{found.folder}/Split-{_ALL[0]}/*.gz"]
    assert found.spec == spec
    assert found.notes == ()


def test_days_and_evaluation_days_can_be_chosen(run_dir):
    _transform(run_dir, 3)
    found = examples_of_run(
        str(run_dir), ["day-20220401", "20220403:20220405"], eval_days=1
    )
    assert found.train_days == [_ALL[0], _ALL[2], _ALL[3]]
    assert found.evaluation_days == [_ALL[4]]
    assert found.notes == ()


def test_evaluation_on_a_training_day_of_the_run_is_told(run_dir):
    _transform(run_dir, 3)
    found = examples_of_run(str(run_dir), eval_days=3)
    assert found.evaluation_days == list(_ALL[3:])
    assert found.notes[0].startswith(f"{_ALL[3]}: a training day of the run")


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(NoRunError, match="no finished run here"):
        examples_of_run(str(tmp_path))


def test_a_run_without_examples_is_refused(run_dir):
    with pytest.raises(ValueError, match="--root .*: must have an output of the Trans"):
        examples_of_run(str(run_dir))
    _transform(run_dir, 3, _ALL[:2])
    with pytest.raises(ValueError, match="Got 1 without all of them. Run `trailrank"):
        examples_of_run(str(run_dir))


def test_a_folder_keeps_its_last_day_for_evaluation(run_dir, spec):
    folder = str(_transform(run_dir, 1))
    found = examples_of_folder(spec, folder)
    assert (found.train_days, found.evaluation_days) == (list(_ALL[:5]), [_ALL[5]])


@pytest.mark.parametrize("eval_days", [6, 7])
def test_a_day_to_train_on_must_be_left(run_dir, spec, eval_days):
    folder = str(_transform(run_dir, 1))
    with pytest.raises(ValueError, match=f"--eval_days {eval_days}: .* leave one of"):
        examples_of_folder(spec, folder, eval_days=eval_days)


def test_days_that_are_not_there_are_refused(run_dir, spec):
    folder = str(_transform(run_dir, 1))
    with pytest.raises(ValueError, match="--days 20220501: .* It has day-20220401 to"):
        examples_of_folder(spec, folder, ["20220402", "20220501"])
    with pytest.raises(ValueError, match="--days 'x': must be FIRST:LAST"):
        examples_of_folder(spec, folder, ["x"])
    with pytest.raises(ValueError, match="--transformed .*nothing: must hold folders"):
        examples_of_folder(spec, f"{run_dir}/nothing")


def test_the_fingerprint_follows_the_files_not_their_place(run_dir, spec):
    def fingerprint(number, **settings):
        folder = str(_transform(run_dir, number, **settings))
        return examples_of_folder(spec, folder).fingerprint

    assert fingerprint(1) == fingerprint(2)
    assert fingerprint(3, text="other rows") != fingerprint(4)
    assert fingerprint(5, days=_ALL[1:]) != fingerprint(6)
