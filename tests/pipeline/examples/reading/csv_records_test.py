"""Records of several lines: what is read, where ranges are cut, what a stray quote costs.

What a file holds is told by Python's own `csv`, or by hand.
"""

import csv
import gzip
import io
import itertools
import random

import pytest

from feature_specs.column_types import parse_types
from pipeline.examples.reading import csv_records, text_ranges
from pipeline.examples.reading.csv_lines import parse_block
from pipeline.examples.reading.csv_records import RecordForm, open_record
from pipeline.examples.reading.readers import plan_ranges, read_blocks
from pipeline.examples.reading.sources import Source

_COLUMNS = {"id": "int64", "text": "string?", "n": "int64"}


def _parse(data):
    return parse_block(data, tuple(_COLUMNS), parse_types(_COLUMNS))


def _read(path, range_bytes=10**6):
    """(rows, (line of the file, reason) of each reject, lines) of all ranges."""
    source = Source("log", path.name, _COLUMNS)
    rows, rejects, before = [], [], 0
    for part in plan_ranges(source, str(path.parent), range_bytes):
        lines = 0
        for block in read_blocks(part, source):
            rows += block.rows.drop("_line").rows()
            rejects += [(before + r.line, r.reason) for r in block.rejects]
            lines += block.lines
        before += lines
    return rows, rejects, before


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b'"two\nlines"', "two\nlines"),
        (b'"two\r\nlines"', "two\nlines"),
        (b'"\n"', "\n"),
        (b'"\n\n\n"', "\n\n\n"),
        (b'"ends so\n"', "ends so\n"),
        (b'"\nbegins so"', "\nbegins so"),
        (b'"she said ""a\nb"""', 'she said "a\nb"'),
        (b'"a, b\n7,c,8\nd"', "a, b\n7,c,8\nd"),  # a row inside a field
        (b'"""\n"""', '"\n"'),
        (b'"m\xc3\xbcde\n\xe4\xbd\xa0"', "müde\n你"),
        (b'"no break"', "no break"),
        (b'""', None),  # a quoted empty field is as empty as one without quotes
        (b"", None),
    ],
)
def test_a_quoted_field_holds_line_breaks(field, text):
    block = _parse(b"1,a,2\n3," + field + b",4\n5,b,6\n")
    assert block.rows.drop("_line").rows() == [(1, "a", 2), (3, text, 4), (5, "b", 6)]
    assert (block.rejects, block.records) == ((), 3)
    inner = field.count(b"\n")
    assert block.rows["_line"].to_list() == [0, 1, 2 + inner]
    assert (block.lines, block.inner_lines) == (3 + inner, inner)


def test_two_fields_of_a_record_hold_line_breaks():
    columns = {"a": "string", "b": "string", "c": "int64"}
    block = parse_block(b'"x\ny","z\nw",1\n', tuple(columns), parse_types(columns))
    assert block.rows.drop("_line").rows() == [("x\ny", "z\nw", 1)]


@pytest.mark.parametrize(
    ("lines", "bad", "good"),
    [
        ([b'3,"open,4'], [1], []),
        ([b'3,"open,4', b'5,b"x,6'], [1, 2], []),
        # The next quote closes the field, but the record would be too short.
        ([b'3,"open,4', b'5,"b",6', b'7,shut"'], [1, 3], [5]),
        ([b'3,a"b,4', b'5,"two', b'lines",6'], [1], [5]),
        ([b'3,"open', b'5,"two', b'lines",6'], [1], [5]),
        ([b'3,"a"b', b'c",4'], [1, 2], []),
        ([b'"3,x,4', b"", b"5,c,6"], [1], [5]),
    ],
)
def test_a_stray_quote_costs_its_own_line(lines, bad, good):
    data = b"\n".join([b"1,a,2", *lines, b"9,z,9", b""])
    block = _parse(data)
    assert [reject.line for reject in block.rejects] == bad
    assert block.rows["id"].to_list() == [1, *good, 9]
    assert block.lines == len(lines) + 2


def test_a_reject_names_the_line_its_record_begins_on(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b'id,text,n\n1,"a\nb\nc",2\nx,"d\ne",3\n\n4,f,x\n5,g,6\n')
    for range_bytes in (1, 7, 20, 1000):
        rows, rejects, lines = _read(path, range_bytes)
        assert rows == [(1, "a\nb\nc", 2), (5, "g", 6)]
        assert rejects == [(3, "id: not a whole number"), (6, "n: not a whole number")]
        assert lines == 8


def test_a_record_longer_than_a_mebibyte_has_a_stray_quote(monkeypatch):
    monkeypatch.setattr(csv_records, "MAX_RECORD_BYTES", 30)
    fits = b'1,"' + b"a\n" * 12 + b'",2\n'  # 3 + 24 + 4 = 31 with the last line end
    assert not RecordForm(3, ",").is_record(fits)
    assert RecordForm(3, ",").is_record(fits.replace(b"a\n", b"\n", 1))


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"1,a,2\n3,b,4\n", b""),
        (b'1,a,2\n3,"b\n', b'3,"b\n'),
        (b'1,"a\nb",2\n3,"b\n4,c,5\n', b'3,"b\n4,c,5\n'),
        (b'1,"a\r\nb",2\r\n3,"b\r\n', b'3,"b\r\n'),
        (b'1,"a\nb",2\n', b""),
    ],
)
def test_the_record_that_is_not_whole_yet(data, rest):
    assert data[open_record(data, RecordForm(3, ",")) :] == rest


def _random_file(draw, records, end):
    """A file with line breaks, quotes and separators in its texts; rows by `csv`."""
    parts = ["a", "\n", ",", '"', "", "\n\n", "b c", '",1\n', "9,x,9\n", "ü"]
    out = io.StringIO()
    write = csv.writer(out, lineterminator=end, quoting=draw.choice([0, 1]))
    write.writerow(_COLUMNS)
    for number in range(records):
        text = "".join(draw.choices(parts, k=draw.randrange(5)))
        write.writerow([number, text, draw.randrange(100)])
    text = out.getvalue()
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    # An empty text is a missing one.
    return text.encode(), [(int(i), t or None, int(n)) for i, t, n in rows]


@pytest.mark.parametrize("seed", range(6))
def test_ranges_are_cut_between_records(tmp_path, monkeypatch, seed):
    draw = random.Random(seed)
    monkeypatch.setattr(csv_records, "_STEP_BYTES", draw.choice([5, 40, 1 << 16]))
    data, rows = _random_file(draw, 40, end="\n")
    path = tmp_path / "log.csv"
    path.write_bytes(data.removesuffix(b"\n") if seed % 2 else data)
    for range_bytes in (1, 3, 11, 64, 500, 10**6):
        found, rejects, lines = _read(path, range_bytes)
        assert (found, rejects) == (rows, [])
        assert lines == data.count(b"\n") - 1


@pytest.mark.parametrize("block_bytes", [1, 30, 200, 10**6])
def test_blocks_of_a_compressed_file_are_cut_between_records(
    tmp_path, monkeypatch, block_bytes
):
    monkeypatch.setattr(text_ranges, "BLOCK_BYTES", block_bytes)
    data, rows = _random_file(random.Random(9), 60, end="\n")
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress(data))
    assert _read(path)[:2] == (rows, [])


def test_windows_files_give_the_same_rows(tmp_path):
    data, rows = _random_file(random.Random(3), 40, end="\r\n")
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbf" + data)
    for range_bytes in (11, 200, 10**6):
        assert _read(path, range_bytes)[:2] == (rows, [])


def test_ranges_agree_on_stray_quotes(tmp_path):
    draw = random.Random(4)
    lines = [b"1,a,2", b'3,"b', b'c",4', b'5,d"e,6', b'"', b'7,"",8', b'",9,1', b'",""']
    path = tmp_path / "log.csv"
    for _ in range(16):
        data = b"id,text,n\n" + b"\n".join(draw.choices(lines, k=12))
        path.write_bytes(data)
        whole = _read(path)
        assert all(_read(path, size) == whole for size in (1, 4, 13))


def test_many_records_of_several_lines_are_read_by_all_threads_alike():
    # Large enough for Polars to cut the text for its threads, rows inside of fields.
    record = b'%d,"x, ""y""\n8,z,8\n""",1\n'
    block = _parse(b"".join(record % n for n in range(60_000)))
    assert block.rejects == ()
    assert block.rows["id"].to_list() == list(range(60_000))
    assert set(block.rows["text"]) == {'x, "y"\n8,z,8\n"'}
    assert block.rows["_line"].to_list() == list(
        itertools.islice(itertools.count(0, 3), 60_000)
    )


def test_a_line_break_in_a_columns_name_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b'id,text,n,"odd\nname"\n1,a,2,3\n')
    with pytest.raises(ValueError, match="holds a quote without a partner"):
        _read(path)
