"""However a run ends, the ledger says so, and what it has made counts."""

import dataclasses
import pathlib

import pytest

from feature_specs.errors import Status, TrailrankError
from pipeline.ledger import RunEntry, Version, read_ledger, write_ledger
from pipeline.run_book import RunBook
from pipeline.run_plan import PlanError

_SPLITS = {"day-20220408": "20220408", "day-20220409": "20220409"}


class _RefusedError(TrailrankError):
    exit_status = Status.REFUSED


def _run(book: RunBook, error: BaseException | None = None, run: str = "1"):
    state = pathlib.Path(book.root) / "state"
    outputs = {"DayExampleGen": {"examples": "e/1", "state": str(state)}}
    with book.run(RunEntry(id=run, began="t"), _SPLITS, "k") as writing:
        writing.made(outputs, passed=error is None)
        if error:
            raise error
        writing.end("measured", "", trained=("day-20220408",))


def test_a_run_that_ends_is_in_the_ledger_with_its_days(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").touch()
    _run(RunBook.opened(str(tmp_path)))
    ledger = read_ledger(tmp_path)
    (run,) = ledger.runs
    assert (run.outcome, run.trained) == ("measured", ("day-20220408",))
    assert run.made == tuple(_SPLITS)
    assert run.ended.endswith("Z")
    first, last = ledger.made("k")
    # Of the last day alone.
    assert (first.state, last.state) == ("", str(tmp_path / "state"))


def test_a_day_whose_state_cannot_be_kept_has_none(tmp_path):
    _run(RunBook.opened(str(tmp_path)))
    assert {day.state for day in read_ledger(tmp_path).days} == {""}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (_RefusedError("too unlike"), "refused"),
        (KeyboardInterrupt("now"), "stopped"),
        (ValueError("odd"), "failed"),
    ],
)
def test_a_run_that_fails_leaves_its_days_and_says_why(tmp_path, error, outcome):
    with pytest.raises(type(error)):
        _run(RunBook.opened(str(tmp_path)), error)
    ledger = read_ledger(tmp_path)
    assert ledger.runs[0].outcome == outcome
    assert ledger.runs[0].message == str(error)
    assert len(ledger.days) == 2
    assert not ledger.made("k")  # nobody has let them pass


def test_a_day_that_was_stopped_is_accepted_by_name_and_stays_so(tmp_path):
    book = RunBook.opened(str(tmp_path))
    with pytest.raises(PlanError, match="--accept_day 20220409: has not been made"):
        book.accept("day-20220409", "k", {"who": "ann"})
    with pytest.raises(_RefusedError):
        _run(book, _RefusedError("too unlike"))
    book.accept("day-20220409", "k", {"who": "ann"})
    assert book.acceptances("k", _SPLITS) == [{"who": "ann"}]
    _run(book, run="2")
    first, last = read_ledger(tmp_path).made("k")
    assert (first.accepted, last.accepted) == (None, {"who": "ann"})


def test_a_run_that_was_killed_is_told_by_the_next(tmp_path):
    book = RunBook.opened(str(tmp_path))
    write_ledger(tmp_path, book.ledger.with_run(RunEntry(id="1", began="t")))
    (run,) = RunBook.opened(str(tmp_path)).ledger.runs
    assert run.outcome == "stopped"
    assert "killed" in run.message


def test_days_from_the_cache_stay_those_of_the_run_that_made_them(tmp_path):
    _run(RunBook.opened(str(tmp_path)))
    _run(RunBook.opened(str(tmp_path)), run="2")
    assert {day.run for day in read_ledger(tmp_path).days} == {"1"}


def test_runs_have_names_that_grow(tmp_path):
    book = RunBook.opened(str(tmp_path))
    book.write(book.ledger.with_run(RunEntry(id="29991231-235959", began="t")))
    assert book.next_id() == "30000101-000000"


def test_a_model_is_no_baseline_of_itself(tmp_path):
    def version(name, trained, checkpoints="run/checkpoints/a-1"):
        return Version(
            version=name,
            model="m",
            run="1",
            trained=trained,
            judged=(),
            checkpoints=checkpoints,
            encoding="g",
        )

    book = RunBook.opened(str(tmp_path))
    one, two = ("day-1",), ("day-1", "day-2")
    ledger = book.ledger.with_version(version("1", one))
    ledger = ledger.with_version(version("2", two))
    ledger = ledger.with_version(version("3", two, "run/checkpoints/b-1"))
    back = dataclasses.replace(version("4", one), state="rolled_back")
    book.write(ledger.with_version(back))

    def names(count, checkpoints, trained):
        found = book.baselines(count, checkpoints, trained)
        return [version.version for version in found]

    assert names(5, "run/checkpoints/a", two) == ["3", "1"]
    assert names(5, "run/checkpoints/a", (*two, "day-3")) == ["3", "2", "1"]
    assert names(2, "run/checkpoints/c", two) == ["3", "2"]
    assert names(0, "run/checkpoints/c", two) == []
