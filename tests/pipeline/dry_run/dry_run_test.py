"""A dry run on small logs: what it copies, what it finds, what it tells.

One examples pass serves the tests here; the numbers are those of the rows below.
"""

import io
import os

import pytest
import rich.console

from feature_specs import read_spec
from feature_specs.errors import UsageError
from pipeline import examples_command, spec_command
from pipeline.dry_run.encoded import EncodedExample, some_examples
from pipeline.dry_run.run import dry_run
from pipeline.dry_run.sample_logs import sample_logs
from pipeline.dry_run.seen import constant_labels, seen_columns, seen_of
from pipeline.dry_run.tables import (
    check_tables,
    cost_line,
    example_tables,
    sample_lines,
    warning_lines,
)
from tests.encoded_rows import splitmix64

SPEC = """
name: dry
log:
  files: "log_{day}.csv"
  user: user
  item: item
  time: {column: ts, unit: s}
  timezone: UTC
  columns: {user: int64, item: int64, ts: int64, page: "string?", good: int64, never: int64}
  outcomes: [good, never]
  max_reject_share: 0.4
  joins: {items: {files: items.csv, key: item, columns: {item: int64, colour: "string?"}}}
filters:
  keep: {positive_item: "item > 0"}
  min_item_impressions: 1000
tables: {user: {buckets: 10, dim: 8}, item: {buckets: 10, dim: 8}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: colour, group: candidate, kind: category, size: 4}
tasks:
  - {name: good, kind: binary, label: "good = 1"}
  - {name: never, kind: binary, label: "never = 1"}
  - {name: good_at_home, kind: binary, label: "good = 1", sample_space: "page = 'home'"}
fusion: {weights: {good: 1.0}}
"""
_MIDNIGHT = 1_700_006_400  # 2023-11-15 00:00 UTC
_HEADER = "user,item,ts,page,good,never\n"


def write_logs(folder):
    """Two days, four users with 10 rows a day each; a row of user 3 is damaged.

    Of a user's rows of a day: items 0 to 9, `good` for even ones, page home for the
    first four and missing for the last; only items below 5 have a colour.
    """
    for day in range(2):
        rows = []
        for user in range(4):
            for n in range(10):
                page = "" if n == 9 else "home" if n < 4 else "other"
                ts = _MIDNIGHT + day * 86_400 + user * 60 + n
                rows.append(f"{user},{n},{ts},{page},{(n + 1) % 2},0\n")
            if user == 3:
                rows.append(f"3,oops,{_MIDNIGHT + day * 86_400},home,0,0\n")
        name = f"log_202311{15 + day}.csv"
        (folder / name).write_text(_HEADER + "".join(rows))
    items = "".join(f"{n},{'red' if n < 5 else ''}\n" for n in range(10))
    (folder / "items.csv").write_text("item,colour\n" + items)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_logs(folder)
    (folder / "dry.yaml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def spec():
    return read_spec(SPEC)


@pytest.fixture(scope="module")
def found(spec, logs):
    """(the dry run of all rows, what was seen, its columns, its folder while it ran)."""
    with dry_run(spec, logs, rows=1000) as run:
        return run, seen_of(run), seen_columns(run), os.path.isdir(run.examples)


def test_users_are_whole_and_those_of_the_smallest_hashes(spec, logs, tmp_path):
    sample = sample_logs(spec, str(logs), str(tmp_path), 20)
    assert sample.users == 1
    assert 20 <= sample.rows <= 24  # a user's 20 rows, and damaged ones
    assert sample.rows_in_all == 82
    days = [(tmp_path / f"log_202311{day}.csv").read_text() for day in (15, 16)]
    for text in days:
        header, *rows = text.splitlines(keepends=True)
        assert header == _HEADER
        assert len({row.split(",")[0] for row in rows if "oops" not in row}) == 1


def test_the_same_users_are_sampled_whatever_the_order_of_rows(spec, logs, tmp_path):
    for name in ("a", "b", "turned"):
        (tmp_path / name).mkdir()
    sample_logs(spec, str(logs), str(tmp_path / "a"), 20)
    for path in logs.glob("log_*.csv"):
        header, *rows = path.read_text().splitlines(keepends=True)
        (tmp_path / "turned" / path.name).write_text(header + "".join(rows[::-1]))
    (tmp_path / "turned" / "items.csv").write_text((logs / "items.csv").read_text())
    sample_logs(spec, str(tmp_path / "turned"), str(tmp_path / "b"), 20)
    users = [
        {
            row.split(",")[0]
            for row in (tmp_path / name / "log_20231115.csv")
            .read_text()
            .splitlines()[1:]
        }
        for name in ("a", "b")
    ]
    assert users[0] == users[1]


def test_a_day_without_a_row_of_the_sample_keeps_a_file_with_one(spec, logs, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "copy").mkdir()
    write_logs(tmp_path / "logs")
    first = tmp_path / "logs" / "log_20231114.csv"
    rows = [f"{user},1,{_MIDNIGHT - 9},home,0,0\n" for user in range(50, 90)]
    first.write_text(_HEADER + "".join(rows))
    sample = sample_logs(spec, str(tmp_path / "logs"), str(tmp_path / "copy"), 20)
    kept = [
        len((tmp_path / "copy" / f"log_202311{day}.csv").read_text().splitlines()) - 1
        for day in (14, 15, 16)
    ]
    assert min(kept) >= 1
    assert sum(kept) == sample.rows


def test_side_rows_of_a_large_file_are_those_of_the_sampled_items(
    spec, logs, tmp_path, monkeypatch
):
    """As if 20 bytes were large."""
    monkeypatch.setattr("pipeline.dry_run.sample_logs._SIDE_BYTES", 20)
    sample = sample_logs(spec, str(logs), str(tmp_path), 20)
    text = (tmp_path / "items.csv").read_text().splitlines()
    assert text == ["item,colour", "0,red"]  # 20 bytes hold one row
    assert any("log.joins.items" in bias for bias in sample.biases)


def test_every_row_of_the_sample_is_accounted_for(found):
    run, *_ = found
    assert run.failure == ""
    assert run.report["rows_in"] == 82
    assert run.report["rejected"] == 2
    # Items 0 are dropped: 4 users, 2 days. min_item_impressions would drop all others.
    assert run.report["filtered"]["positive_item"] == 8
    assert run.report["filtered"]["min_item_impressions"] == 0
    assert sum(run.report["examples"].values()) == 72


def test_rejects_have_a_sample_with_its_file(found):
    run, *_ = found
    reject = run.rejects[0]
    assert reject.reason == "item: not a whole number"
    assert reject.file.startswith("log_202311")
    assert reject.text.startswith("3,oops,")


def test_label_means_masks_and_missing_shares(found):
    """Of items 1 to 9 the even ones are good: 2, 4, 6, 8; at home are 1, 2 and 3."""
    _, seen, _, _ = found
    assert seen.means["good"] == pytest.approx(4 / 9)
    assert seen.means["good_at_home"] == pytest.approx(1 / 3)
    assert seen.known == pytest.approx({"good": 1, "never": 1, "good_at_home": 1 / 3})
    assert seen.missing == pytest.approx({"user": 0, "item": 0, "colour": 5 / 9})
    assert seen.values == {"user": 4, "item": 9, "colour": 2}


def test_columns_lack_what_the_rows_lack(found):
    _, _, columns, _ = found
    lacking = {(c.where, c.name): c.missing for c in columns if c.missing}
    assert lacking == {
        ("log", "page"): pytest.approx(0.1),
        ("items", "colour"): pytest.approx(0.5),
    }


def test_labels_that_never_come_are_told(found):
    run, seen, *_ = found
    assert constant_labels(run.spec, seen) == {"never": "its label is 0 in all of them"}
    assert any("task never" in line for line in warning_lines(run, seen))


def test_a_side_file_is_small_and_whole(found):
    run, *_ = found
    assert run.report["joins"]["items"] == {
        "rows": 10, "rejected": 0, "reject_share": 0.0, "duplicate_keys": 0, "unmatched": 0,
    }  # fmt: skip


def test_nothing_is_left_behind(found):
    run, _, _, was_there = found
    assert was_there
    assert not os.path.exists(run.examples)


def test_tables_tell_rows_rejects_days_and_tasks(found):
    run, seen, columns, _ = found
    console = rich.console.Console(width=160, record=True, file=io.StringIO())
    console.print(*check_tables(run, columns, seen))
    text = " ".join(console.export_text().split())
    assert "item: not a whole number 2 log_202311" in text
    assert "20231115 40 40 0" in text  # by the zone, by the folder, on another day
    assert "page log string? 10.00%" in text
    assert "good_at_home binary 0.3333 33.3%" in text


def test_examples_of_training_days_are_encoded_as_a_run_encodes_them(spec, logs):
    """Colours of items 1 to 4 are red, the vocabulary's one value; the others' none."""
    with dry_run(spec, logs, rows=1000) as run:
        examples = some_examples(run)
    assert len(examples) == 3
    for example in examples:
        raw, encoded = example.raw, example.encoded
        assert encoded["user"] == 1 + splitmix64(raw["user"]) % 9
        assert encoded["item"] == 1 + splitmix64(raw["item"]) % 9
        assert encoded["colour"] == int(1 <= raw["item"] < 5)
        assert encoded["key_item"] == raw["key_item"]
    assert {example.encoded["colour"] for example in examples} == {0, 1}


def test_an_example_is_shown_before_and_after_encoding(found):
    run, *_ = found
    raw = {"key_user": 2, "key_item": 6, "key_time_ms": 1700006526000}
    raw |= {"user": 2, "item": 6, "colour": ""}
    raw |= {f"label_{t.name}": 1.0 for t in run.spec.tasks}
    raw |= {f"mask_{t.name}": float(t.name == "good") for t in run.spec.tasks}
    example = EncodedExample(raw, {"user": 7, "item": 3, "colour": 0})
    console = rich.console.Console(width=160, file=io.StringIO())
    console.print(*example_tables(run, [example]))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert "Example 1: user 2, video 6, 1700006526000 ms" in lines
    assert "item candidate 6 3" in lines
    assert "colour candidate missing 0" in lines
    assert "good task 1 trains" in lines
    assert "good_at_home task 1 masked" in lines


def test_lines_tell_what_a_sample_is_not(found):
    run, *_ = found
    lines = " ".join(sample_lines(run))
    assert "Looked at 82 of about 82 rows, those of 4 users" in lines
    assert "min_item_impressions and min_user_events were not asked" in lines
    assert "reads 2 files" in cost_line(run)


def test_a_run_that_would_fail_ends_with_status_1(logs, tmp_path, capsys):
    text = SPEC.replace("max_reject_share: 0.4", "max_reject_share: 0.001")
    (tmp_path / "strict.yaml").write_text(text)
    status = spec_command.run(
        ["check", str(tmp_path / "strict.yaml"), "--logs", str(logs)]
    )
    assert status == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "A run on these rows would fail: 2.44% of the rows of the log are" in told
    assert "log.columns.item: rows are rejected: not a whole number" in told
    assert "Such as oops (2 rows)." in told


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--sample_rows", "0"], "must be at least 1"),
        (
            ["--sample_rows", "9", "--replace", "20231115"],
            "--replace is of a run on all",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_refused(logs, argv, told):
    spec = ["--spec", str(logs / "dry.yaml"), "--logs", str(logs)]
    with pytest.raises(UsageError, match=told):
        examples_command.run([*spec, *argv])


def test_without_a_sample_the_examples_need_a_place(logs, capsys):
    with pytest.raises(SystemExit) as caught:
        examples_command.run(["--spec", str(logs / "dry.yaml"), "--logs", str(logs)])
    assert caught.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_rows_without_logs_are_refused(logs):
    with pytest.raises(UsageError, match="--logs"):
        spec_command.run(["show", str(logs / "dry.yaml"), "--rows", "7"])


def test_a_proposal_does_not_overwrite(logs):
    with pytest.raises(UsageError, match="is there already"):
        spec_command.run(["init", str(logs), "--out", str(logs / "dry.yaml")])
