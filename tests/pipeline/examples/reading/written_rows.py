"""The same rows written as CSV, JSON lines, TFRecord and Parquet, and read again.

path.write_bytes(csv_file(make_rows(seed=1)))
found = read_all(path, "csv")
"""

import dataclasses
import json
import random
import struct

import google_crc32c
import pyarrow as pa
import zstandard
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from feature_specs.moments import MomentSpec
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.readers import Source, plan_ranges, read_blocks
from pipeline.examples.reading.times import TimeUnit

COLUMNS = {"uid": "int64", "name": "string?", "score": "float64?", "ts": "int64"}
HEADER = b"uid,extra,name,score,ts\n"
# 2001-09-09 to 2033-05-18, so that seconds are no milliseconds.
FIRST_TS = 1_649_347_200_000  # 2022-04-08 in Shanghai

_FEATURES = {
    "uid": pa.int64(),
    "ts": pa.int64(),
    "name": pa.binary(),
    "score": pa.float32(),
}


@dataclasses.dataclass(frozen=True)
class Found:
    """What all ranges of the files gave, `lines` counted and the sums checked."""

    rows: list[dict]
    rejects: list[tuple[int, str, str]]  # line of its file from 0, reason, text
    lines: int
    blank: int
    broken: str

    @property
    def reasons(self):
        return [reason for _, reason, _ in self.rejects]


def make_rows(seed, count=200):
    """Rows of `COLUMNS`, `uid` counted from 0; an empty value is None."""
    draw = random.Random(seed)
    names = [None, "ann", "Xi'an, old town", 'the "film"', "müller", "x" * 50]
    return [
        {
            "uid": number,
            "name": draw.choice(names),
            "score": draw.choice([None, 0.5, -3.25, 1e6]),
            "ts": FIRST_TS + draw.randrange(10**9),
        }
        for number in range(count)
    ]


def csv_line(row):
    """A row as a line under `HEADER`."""
    name = row["name"] or ""
    if '"' in name or "," in name:
        name = '"' + name.replace('"', '""') + '"'
    score = "" if row["score"] is None else row["score"]
    return f"{row['uid']},x,{name},{score},{row['ts']}\n".encode()


def csv_file(rows):
    return HEADER + b"".join(map(csv_line, rows))


def json_line(row):
    return json.dumps({**row, "extra": "x"}, ensure_ascii=False).encode() + b"\n"


def json_file(rows):
    return b"".join(map(json_line, rows))


def example(row):
    """A row as a serialized tf.Example; an empty value is a missing feature."""
    given = {key: value for key, value in row.items() if value is not None}
    arrays = [pa.array([[v]], pa.list_(_FEATURES[key])) for key, v in given.items()]
    batch = pa.RecordBatch.from_arrays(arrays, list(given))
    return RecordBatchToExamplesEncoder().encode(batch)[0]


def record(data):
    """Bytes framed as TensorFlow's documentation has it."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def record_file(rows):
    return b"".join(record(example(row)) for row in rows)


def zstd(data):
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def source_of(path, form):
    return Source(
        "log",
        path.name,
        COLUMNS,
        ",",
        form,
        {"ts": TimeUnit("ms", "UTC")},
        begin=Begin(MomentSpec(column="ts", timezone="UTC")),
    )


def read_all(path, form, range_bytes=10**6):
    """Everything that the files of a path (or pattern) hold."""
    source = source_of(path, form)
    rows, rejects, blank, inner, broken, lines, before = [], [], 0, 0, "", {}, 0
    for part in plan_ranges(source, str(path.parent), range_bytes):
        before = lines.get(part.path, 0)
        for block in read_blocks(part, source):
            rows += block.rows.drop("_line", "_time_ms").to_dicts()
            rejects += [
                (before + reject.line, reject.reason, reject.text)
                for reject in block.rejects
            ]
            lines[part.path] = lines.get(part.path, 0) + block.lines
            blank += block.blank_lines
            inner += block.inner_lines
            broken = broken or block.broken
    total = sum(lines.values())
    assert len(rows) + len(rejects) + blank + inner == total
    return Found(rows, rejects, total, blank, broken)


def _masked_crc(data):
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17) % 2**32
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)
