"""Days made one after another from states: the bytes of one pass over all of them."""

import dataclasses
import datetime
import pathlib
import shutil
import zoneinfo

import pytest

from feature_specs import read_spec
from feature_specs.errors import UsageError
from pipeline.day_state.errors import StateError
from pipeline.day_state.files import read_part
from pipeline.day_state.state import read_state
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.errors import ExamplesError, RequestError
from pipeline.examples.request import ExamplesRequest
from tests.pipeline.examples import full_spec
from tests.pipeline.examples.engaged_logs import engaged_logs, write_logs
from tests.pipeline.examples.events_reference import SPEC as EVENTS_SPEC
from tests.pipeline.examples.full_spec import LOG_TYPES
from tests.pipeline.examples.messy_logs import (
    DAYS,
    messy_events,
    messy_logs,
    write_csv,
    write_events,
)
from tests.tiny_spec import TINY_SPEC

_A_DAY = datetime.timedelta(days=1)


def _request(spec, logs, out, first, last, **changes):
    settings = {"shards": 3, "range_bytes": 200_000, "file_rows": 60, **changes}
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
        for files in ("Split-*/*", "summaries/*", "quantiles.json")
        for path in sorted(root.glob(files))
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
    text = text.replace(
        "min_day_share: 0", "min_day_share: 0\n  max_reject_share: 0.02"
    )
    return read_spec(text)


def _write_days(folder, rows, first, timezone):
    """A log file a day; gives day -> its file, to be put there when its day is over."""
    zone = zoneinfo.ZoneInfo(timezone)
    days = {}
    for row in rows:
        at = datetime.datetime.fromtimestamp(row["time_ms"] / 1000, zone).date()
        days.setdefault(at, []).append(row)
    (folder / "later").mkdir()
    for day, part in days.items():
        write_csv(folder / "later" / f"log_{day:%Y%m%d}.csv", list(LOG_TYPES), part)
    for path in folder.glob("log_*.csv"):
        path.unlink()


def _arrive(folder, until):
    """The files of all days up to one."""
    for path in sorted((folder / "later").iterdir()):
        if path.stem <= f"log_{until:%Y%m%d}":
            path.rename(folder / path.name)


def test_days_from_states_have_the_bytes_of_one_pass(tmp_path, any_seed):
    timezone, first = "America/New_York", datetime.date(2022, 3, 10)
    rows, _ = messy_logs(
        tmp_path,
        timezone=timezone,
        first_day=first,
        users=9,
        rows_per_user_day=8,
        seed=any_seed,
    )
    write_events(tmp_path, messy_events(rows, any_seed))
    _write_days(tmp_path, rows, first, timezone)
    spec, learned = _spec(timezone), first + _A_DAY
    state, found, reports = None, {}, []
    for begin, end, shards in ((0, 2, 4), (3, 3, 1), (4, 5, 2)):
        _arrive(tmp_path, first + end * _A_DAY)
        out, days = tmp_path / f"to-{end}", [first + n * _A_DAY for n in (begin, end)]
        changes = {"state_from": state, "state_to": f"{out}/state", "shards": shards}
        report = run_examples(_request(spec, tmp_path, out, *days, **changes))
        state, found = changes["state_to"], found | _files(out)
        reports.append(report)
    # Of the log only the new day's file was read, and nothing of it was lost.
    files = [path for path in reports[1]["files"] if "/log_" in path]
    assert files == [f"{tmp_path}/log_20220313.csv"]
    assert reports[1]["outside_days"] == reports[1]["context"] == 0
    assert reports[1]["evaluation_only"]["day-20220313"] > 0
    whole = tmp_path / "whole"
    last = first + (DAYS - 1) * _A_DAY
    run_examples(_request(spec, tmp_path, whole, first, last, learned_through=learned))
    wanted = _files(whole)
    assert found.keys() >= wanted.keys() > {"quantiles.json"}
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert sum("evaluation_only" in name for name in found) > 2


# --- what is refused, and what is told ------------------------------------------------

_TINY = TINY_SPEC.replace('files: "log_*.csv"', 'files: "log_{day}.csv"')
_DAY = datetime.date(2022, 4, 8)


def _write_tiny(folder):
    """Four days of 120 rows, a file each."""
    for number in range(4):
        day = _DAY + number * _A_DAY
        times = [_began_ms(day) + n * 1000 for n in range(120)]
        rows = [
            {"user": n % 3, "item": n, "time_ms": ms, "good": n % 2}
            for n, ms in enumerate(times)
        ]
        write_csv(folder / f"log_{day:%Y%m%d}.csv", list(rows[0]), rows)


def _began_ms(day):
    """When a day of UTC begins, unix milliseconds."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    return round(midnight.timestamp() * 1000)


@pytest.fixture
def tiny(tmp_path):
    """A request for some of four days, whose logs are in `tmp_path`."""
    _write_tiny(tmp_path)

    def request(first, last, spec=_TINY, **changes):
        days = (_DAY + first * _A_DAY, _DAY + last * _A_DAY)
        out = tmp_path / f"out-{first}-{last}"
        return _request(read_spec(spec), tmp_path, out, *days, **changes)

    return request


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """A state at the end of the second day; nobody changes it."""
    folder = tmp_path_factory.mktemp("two-days")
    _write_tiny(folder)
    state, days = str(folder / "state"), (_DAY, _DAY + _A_DAY)
    run_examples(_request(read_spec(_TINY), folder, folder, *days, state_to=state))
    return state


@pytest.fixture
def tiny_state(two_days, tmp_path):
    """A copy of it."""
    shutil.copytree(two_days, tmp_path / "state")
    return str(tmp_path / "state")


def test_only_files_of_new_days_are_read(tiny, tiny_state, tmp_path):
    report = run_examples(tiny(2, 2, state_from=tiny_state))
    assert [*report["files"]] == [f"{tmp_path}/log_20220410.csv"]
    assert report["rows_in"] == report["examples"]["day-20220410"] == 120
    assert report["learned_through"] == "20220408"


def test_a_row_in_the_file_of_the_day_before_is_carried(tiny, tmp_path):
    at = _began_ms(_DAY + 2 * _A_DAY)
    rows = [{"user": 7, "item": 5, "time_ms": at + n, "good": 1} for n in (7, 9)]
    with (tmp_path / "log_20220409.csv").open("a") as file:
        file.write("".join(",".join(map(str, r.values())) + "\n" for r in rows))
    text = _TINY.replace("timezone: UTC", "timezone: UTC\n  min_day_share: 0")
    small = {"spec": text, "file_rows": 30}
    for first, last in ((0, 1), (2, 2), (0, 2)):
        changes = {"state_to": str(tmp_path / f"state-{first}-{last}")}
        if first:
            changes["state_from"] = str(tmp_path / "state-0-1")
        if not first and last == 2:
            changes["learned_through"] = _DAY
        report = run_examples(tiny(first, last, **small, **changes))
        expected = {(0, 1): (242, 2), (2, 2): (122, 0), (0, 2): (362, 0)}[first, last]
        assert (report["rows_in"], report["outside_days"]) == expected
    day = {n: d for n, d in _files(tmp_path / "out-0-2").items() if "20220410" in n}
    assert _files(tmp_path / "out-2-2") == day


def test_all_days_after_a_state_may_be_trained_on(tiny, tiny_state):
    report = run_examples(tiny(2, 3, state_from=tiny_state, eval_days=0))
    assert report["train"] == ["day-20220410", "day-20220411"]
    assert report["evaluation"] == []
    with pytest.raises(UsageError, match="eval_days must be at least 1"):
        _ = tiny(2, 3, eval_days=0).plan


def test_yesterdays_file_again_is_counted_and_changes_nothing(tiny, tmp_path):
    state = str(tmp_path / "of-all-names")
    run_examples(tiny(0, 1, TINY_SPEC, state_to=state))
    first = run_examples(tiny(2, 2, TINY_SPEC, state_from=state))
    lines = (tmp_path / "log_20220409.csv").read_text()
    (tmp_path / "log_copied.csv").write_text(lines)
    again = tiny(2, 2, TINY_SPEC, state_from=state)
    out = tmp_path / "again"
    again = dataclasses.replace(again, examples_dir=str(out / "examples"))
    report = run_examples(again)
    assert _files(out) == _files(tmp_path / "out-2-2")
    assert report["of_earlier_days"] == first["of_earlier_days"] + 120
    assert report["examples"] == first["examples"] == {"day-20220410": 120}
    # The files of days that are over are not read again, the others are.
    assert [pathlib.Path(path).stem for path in report["files"]] == [
        "log_20220410",
        "log_20220411",
        "log_copied",
    ]


def test_a_day_that_was_told_to_be_empty_has_no_rows(tiny, tmp_path):
    state = str(tmp_path / "of-all-names")
    run_examples(tiny(0, 1, TINY_SPEC, state_to=state))
    day = _DAY + 2 * _A_DAY
    request = tiny(3, 3, TINY_SPEC, state_from=state, empty_days=(day,))
    with pytest.raises(ExamplesError, match=r"empty have rows: 20220410 \(120\)"):
        run_examples(request)


def test_what_a_state_does_not_fit_is_refused(tiny, tiny_state, tmp_path):
    def refused(match, *days, **changes):
        with pytest.raises(StateError, match=match):
            _ = tiny(*days, **{"state_from": tiny_state, **changes}).state

    other, learned = _TINY.replace("good = 1", "good = 0"), _DAY + _A_DAY
    refused("made for another spec", 2, 2, spec=other)
    refused("knows all days up to 20220409", 1, 2)
    refused("Make 20220410 first; or, .*--empty_days 20220410", 3, 3)
    refused("up to 20220408, not 20220409", 2, 2, learned_through=learned)
    refused("no state of a day here", 2, 2, state_from=str(tmp_path))
    # A comment, or a limit, makes no other examples.
    same = _TINY + "# as it was\n"
    assert tiny(2, 2, same, state_from=tiny_state).state.day == _DAY + _A_DAY
    empty = (_DAY + 2 * _A_DAY,)
    skipping = tiny(3, 3, state_from=tiny_state, empty_days=empty)
    assert run_examples(skipping)["examples"] == {"day-20220411": 120}
    with pytest.raises(RequestError, match="holds the state of a day already"):
        run_examples(tiny(2, 2, state_from=tiny_state, state_to=tiny_state))
    with pytest.raises(UsageError, match="with state_from no earlier day is read"):
        tiny(2, 2, state_from=tiny_state, context_days=1)
    with pytest.raises(
        UsageError, match="learned_through 20220412 must not come after"
    ):
        tiny(0, 1, learned_through=_DAY + 4 * _A_DAY)


def test_damaged_states_are_told(tiny, tiny_state):
    state = pathlib.Path(tiny_state)
    part = next((state / "users").iterdir())
    data, name = part.read_bytes(), f"users/{part.name}"
    part.write_bytes(data[: len(data) // 2])
    with pytest.raises(StateError, match=f"{name}: cannot be read"):
        run_examples(tiny(2, 2, state_from=tiny_state))
    part.unlink()
    with pytest.raises(StateError, match="cannot be read"):
        read_part(str(part), 3)
    part.write_bytes(data)
    with pytest.raises(StateError, match="rows, and 77 were written"):
        read_part(str(part), 77)
    head = state / "state.json"
    text = head.read_text()
    for other, match in (
        (text.replace('"format": 1', '"format": 2'), "has format 2, and this version"),
        (text[:50], "no head of a state any more"),
        ("[]", "no head of a state any more"),
    ):
        head.write_text(other)
        with pytest.raises(StateError, match=match):
            read_state(tiny_state)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "timezone: UTC",
            "timezone: UTC\n  days_per_split: 2",
            "log.days_per_split: 2",
        ),
        (
            "fusion:",
            "evaluation: {slices: [request_position]}\nfusion:",
            "log.request.column: request_position counts",
        ),
        (
            "fusion:",
            """counters: [{name: spent, measure: mean, value: "CAST(liked AS INT)"}]
events:
  acts:
    {files: "acts_{day}.csv", types: {user: int64, item: int64, at: int64},
     key: [user, item], time: at, window: 1d, columns: {liked: "COUNT(*) > 0"}}
fusion:""",
            "counters.spent: its sum changes with events",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_by_its_key(tiny, old, new, match):
    text = _TINY.replace("outcomes: [good]", "outcomes: [good]\n  request: visit")
    text = text.replace("good: int64}", "good: int64, visit: int64}").replace(old, new)
    with pytest.raises(StateError, match=match):
        tiny(0, 1, text, state_to="anywhere")


# --- events of their own --------------------------------------------------------------


def test_events_over_midnight_have_the_bytes_of_one_pass(tmp_path, any_seed):
    rows, events = engaged_logs(any_seed, users=12, rows=1_200)
    write_logs(tmp_path, rows, events, damage=1)
    floats = ("mean_spent", "author_spent")  # their order cannot be carried
    lines = [x for x in EVENTS_SPEC.splitlines() if not any(n in x for n in floats)]
    spec = read_spec("\n".join(lines))
    state, found, went = None, {}, []
    for begin, end, shards in ((0, 2, 4), (3, 3, 1), (4, 5, 2)):
        out, days = tmp_path / f"to-{end}", [_DAY + n * _A_DAY for n in (begin, end)]
        changes = {"state_from": state, "state_to": f"{out}/state", "shards": shards}
        report = run_examples(_request(spec, tmp_path, out, *days, **changes))
        state, found = changes["state_to"], found | _files(out)
        went.append(report["events"])
    whole, last = tmp_path / "whole", _DAY + 5 * _A_DAY
    learned = _DAY + _A_DAY
    run_examples(_request(spec, tmp_path, whole, _DAY, last, learned_through=learned))
    wanted = _files(whole)
    assert [name for name in wanted if found.get(name) != wanted[name]] == []
    # Impressions of the first days met events of the next ones, which were carried.
    tables = pathlib.Path(tmp_path / "to-2" / "state")
    assert {f"events-{name}" for name in spec.events} <= {
        p.name for p in tables.iterdir()
    }
    assert all(section["joined"] for section in went[1].values())
