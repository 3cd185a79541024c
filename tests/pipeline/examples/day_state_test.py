"""Days made one after another from states: the bytes of one pass over all of them."""

import datetime
import pathlib

import pytest

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.request import ExamplesRequest
from tests.pipeline.examples import full_spec
from tests.pipeline.examples.messy_logs import (
    DAYS,
    messy_events,
    messy_logs,
    write_events,
)

_A_DAY = datetime.timedelta(days=1)
_FIRST = datetime.date(2022, 4, 8)


def _request(spec, logs, out, first, last, **changes):
    settings = {"shards": 3, "range_bytes": 200_000, "file_rows": 300, **changes}
    return ExamplesRequest(
        spec=spec,
        logs_dir=str(logs),
        examples_dir=str(out / "examples"),
        rejects_dir=str(out / "rejects"),
        report_path=str(out / "report.json"),
        days=DayRange(first, last),
        **settings,
    )


def _files(out):
    root = pathlib.Path(out) / "examples"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("Split-*/*"))
    }


def _spec(timezone):
    """The full spec without what sees beyond midnight."""
    ahead = ("trail_length", "trail_relative", "late_in_trail")
    lines = [
        line
        for line in full_spec.yaml_text(timezone).splitlines()
        if not any(f"name: {name}," in line for name in ahead)
        and "late_in_trail:" not in line
    ]
    text = "\n".join(lines).replace(", request_size]", "]")
    return read_spec(text)


@pytest.mark.parametrize("timezone", ["America/New_York"])
def test_days_from_states_have_the_bytes_of_one_pass(tmp_path, timezone, any_seed):
    first = datetime.date(2022, 3, 10)
    rows, _ = messy_logs(
        tmp_path,
        timezone=timezone,
        first_day=first,
        users=25,
        rows_per_user_day=8,
        seed=any_seed,
    )
    write_events(tmp_path, messy_events(rows, any_seed))
    spec, last = _spec(timezone), first + (DAYS - 1) * _A_DAY
    learned = first + _A_DAY
    whole = tmp_path / "whole"
    run_examples(_request(spec, tmp_path, whole, first, last, learned_through=learned))
    wanted = _files(whole)
    state = str(tmp_path / "state-2")
    changes = {"state_to": state, "shards": 5}
    run = _request(spec, tmp_path, tmp_path / "0", first, first + 2 * _A_DAY, **changes)
    run_examples(run)
    found = _files(tmp_path / "0")
    for number in range(3, DAYS):
        day, new = first + number * _A_DAY, str(tmp_path / f"state-{number}")
        out = tmp_path / str(number)
        changes = {"state_from": state, "state_to": new, "shards": 1 + number % 3}
        run_examples(_request(spec, tmp_path, out, day, day, **changes))
        found |= _files(out)
        state = new
    assert found.keys() >= wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
