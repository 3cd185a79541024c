"""What a run's directory remembers is read back as it was, and a newer word counts."""

import dataclasses
import json

import pytest

from pipeline.ledger import (
    LEDGER,
    Ledger,
    MadeDay,
    RunEntry,
    Version,
    read_ledger,
    write_ledger,
)
from pipeline.reporting.files import DamagedFileError


def _day(split: str, key: str = "k", **values) -> MadeDay:
    return MadeDay(split=split, key=key, examples=f"e/{split}", **values)


def _version(name: str, **values) -> Version:
    return Version(
        version=name,
        model=f"m/{name}",
        run="20220415-000000",
        trained=("day-20220408",),
        judged=("day-20220409",),
        checkpoints="c",
        encoding="g",
        **values,
    )


def test_a_ledger_is_read_back_as_it_was(tmp_path):
    run = RunEntry(
        id="20220415-000000",
        began="2022-04-15T00:00:00Z",
        made=("day-20220408", "day-20220409"),
        metrics={"like": {"auc": 0.75, "gauc": None}},
    )
    accepted = {"who": "ann", "why": "a holiday"}
    ledger = Ledger(
        days=(_day("day-20220408", accepted=accepted), _day("day-20220409")),
        versions=(_version("5"), _version("7", state="rolled_back")),
        runs=(run,),
    )
    write_ledger(tmp_path, ledger)
    assert read_ledger(tmp_path) == ledger


def test_a_directory_without_one_has_an_empty_ledger(tmp_path):
    assert read_ledger(tmp_path) == Ledger()
    assert read_ledger(tmp_path).serving is None


def test_days_of_another_key_are_not_a_runs(tmp_path):
    ledger = Ledger(days=(_day("day-2"), _day("day-1"), _day("day-1", "other")))
    assert [day.split for day in ledger.made("k")] == ["day-1", "day-2"]
    assert [day.key for day in ledger.without_days("k", "day-2").days] == ["k", "other"]


def test_a_day_made_again_replaces_the_first(tmp_path):
    again = dataclasses.replace(_day("day-1"), examples="e/again")
    assert Ledger(days=(_day("day-1"),)).with_day(again).days == (again,)


def test_versions_are_in_the_order_of_their_numbers_and_the_last_live_one_serves():
    ledger = Ledger().with_version(_version("10")).with_version(_version("9"))
    assert [version.version for version in ledger.versions] == ["9", "10"]
    ledger = ledger.with_version(_version("10", state="rolled_back"))
    assert ledger.serving == ledger.version("9")
    with pytest.raises(KeyError):
        ledger.version("11")


def test_what_became_of_a_run_replaces_its_beginning():
    begun = RunEntry(id="a", began="t")
    ended = dataclasses.replace(begun, ended="u", outcome="pushed")
    assert Ledger().with_run(begun).with_run(ended).runs == (ended,)


@pytest.mark.parametrize(
    "text", ["{", '{"format": 1}', '{"format": 2, "days": [], "versions": []}']
)
def test_a_damaged_ledger_is_told(tmp_path, text):
    (tmp_path / LEDGER).write_text(text)
    with pytest.raises(DamagedFileError, match=LEDGER):
        read_ledger(tmp_path)


def test_an_unknown_field_is_told_and_not_lost(tmp_path):
    write_ledger(tmp_path, Ledger(days=(_day("day-1"),)))
    values = json.loads((tmp_path / LEDGER).read_text())
    values["days"][0]["colour"] = "red"
    (tmp_path / LEDGER).write_text(json.dumps(values))
    with pytest.raises(DamagedFileError, match="colour"):
        read_ledger(tmp_path)
