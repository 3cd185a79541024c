"""Random bytes flipped, inserted and deleted: no exception, no lost and no false row."""

import bisect
import collections
import gzip
import itertools
import random

import pytest

from tests.pipeline.examples.reading.written_rows import (
    HEADER,
    csv_line,
    example,
    json_line,
    make_rows,
    read_all,
    record,
    zstd,
)

_VARIANTS = 300
_TEXTS = {"csv": (HEADER, csv_line), "jsonl": (b"", json_line)}
_COMPRESS = {"gzip": lambda data: gzip.compress(data, mtime=0), "zstd": zstd}


def _damage(draw, data, start, times):
    """(damaged bytes, positions in `data` that were touched), nothing before `start`."""
    touched = set()
    places = [draw.randrange(start, len(data)) for _ in range(times)]
    end = len(data)  # bytes from here on have been changed already
    for place in sorted(places, reverse=True):
        kind = draw.choice(["flip", "insert", "delete"])
        if kind == "flip":
            changed = data[place] ^ draw.randrange(1, 256)
            data = data[:place] + bytes([changed]) + data[place + 1 :]
            touched.add(place)
        elif kind == "insert":
            odd = draw.choice([b'"', b"\n", b"\r", b"\0", b",", b"\xff", b"7", b"{"])
            data = data[:place] + odd + data[place:]
            touched |= {place - 1, place}
        else:
            size = min(draw.randrange(1, 30), end - place)
            data = data[:place] + data[place + size :]
            touched |= set(range(place - 1, place + size + 1))
        end = place
    return data, touched


@pytest.mark.parametrize("form", _TEXTS)
def test_damaged_text_costs_the_touched_lines_only(tmp_path, form):
    draw = random.Random(form)
    rows = make_rows(form)
    head, write = _TEXTS[form]
    texts = [write(row) for row in rows]
    whole = head + b"".join(texts)
    path = tmp_path / "log"
    for _ in range(_VARIANTS):
        data, touched = _damage(draw, whole, len(head), draw.randrange(1, 6))
        path.write_bytes(data)
        found = read_all(path, form, draw.choice([4_000, 10**6]))
        assert not found.broken
        ended = data[len(head) :].count(b"\n")
        assert found.lines == ended + (not data.endswith(b"\n"))
        start, untouched = len(head), []
        for row, text in zip(rows, texts, strict=True):
            end = start + len(text)
            # A line is the worse for its own end and for that of the line before.
            if not touched & set(range(start - 1, end)):
                untouched.append(row)
            start = end
        read = collections.Counter(map(str, found.rows))
        assert all(read[str(row)] for row in untouched)


@pytest.mark.parametrize("form", _TEXTS)
@pytest.mark.parametrize("compression", _COMPRESS)
def test_damaged_compression_gives_no_false_row_unsaid(tmp_path, form, compression):
    draw = random.Random(form + compression)
    rows = make_rows(form)
    head, write = _TEXTS[form]
    whole = _COMPRESS[compression](head + b"".join(map(write, rows)))
    path = tmp_path / "log"
    outcomes = collections.Counter()
    for _ in range(_VARIANTS):
        path.write_bytes(_damage(draw, whole, 0, 1)[0])
        try:
            found = read_all(path, form)
        except ValueError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
            continue
        # Without its first bytes it is no compressed file, but lines of rubbish.
        rubbish = found.rejects and not found.rows
        assert found.broken or rubbish or found.rows == rows
        outcomes["broken" if found.broken else "whole"] += 1
    # zstd gives nothing of a damaged block, and here is one block only.
    assert outcomes["broken" if compression == "gzip" else "refused"] > _VARIANTS / 2


def test_damaged_records_cost_themselves_or_all_that_follow(tmp_path):
    draw = random.Random(5)
    rows = make_rows(5)
    records = [record(example(row)) for row in rows]
    whole, ends = b"".join(records), list(itertools.accumulate(map(len, records)))
    path = tmp_path / "log"
    outcomes = collections.Counter()
    for _ in range(_VARIANTS):
        data, touched = _damage(draw, whole, 12, 1)
        path.write_bytes(data)
        found = read_all(path, "tfrecord")
        assert all(row in rows for row in found.rows)
        assert set(found.reasons) <= {"checksum"}
        before = bisect.bisect_right(ends, min(touched))
        assert found.rows[:before] == rows[:before]
        if not found.broken:
            assert found.lines == len(rows) and len(found.rows) >= len(rows) - 1
        outcomes["broken" if found.broken else "one reject"] += 1
    assert min(outcomes["broken"], outcomes["one reject"]) > _VARIANTS / 10
