"""CSV and JSON lines: files cut into ranges, ranges into blocks of whole records.

A plain file is cut into ranges of bytes, so that many workers read one huge file; a
range has the records that begin in it. A compressed file is one range, read as a
stream. A record is a line, or of CSV several: see `csv_records`.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Iterator
from typing import IO

import orjson

from pipeline.examples.errors import LogsError
from pipeline.examples.reading import csv_lines, json_lines
from pipeline.examples.reading.blocks import Block, Reject, shorten
from pipeline.examples.reading.compression import Chunks
from pipeline.examples.reading.csv_records import (
    RecordFinder,
    RecordForm,
    open_record,
    read_exactly,
)
from pipeline.examples.reading.file_heads import (
    BOM,
    Head,
    check_columns,
    preview,
    read_head,
)
from pipeline.examples.reading.lines import MAX_LINE_BYTES
from pipeline.examples.reading.sources import FileRange, Source, open_file
from pipeline.examples.reading.values import broken_block

BLOCK_BYTES = 1 << 24

_MAX_HEADER_BYTES = 1 << 17
_TAIL_BYTES = 1 << 16
_GROWTH = 5  # text bytes of a compressed byte, about


def plan(
    path: str, size: int, place: int, source: Source, range_bytes: int
) -> list[FileRange]:
    """The ranges of a file.

    Raises:
        ValueError: The file cannot be one of the source; see `read_head`.
    """
    head = read_head(path, source)
    is_csv = source.format == "csv"
    header: tuple[str, ...] = ()
    if is_csv:
        header = _given_header(path, head, source) or _read_header(path, head, source)
    if not is_csv:
        _check_json(path, head, source)
    whole = FileRange(
        source.name,
        path,
        place,
        number=0,
        start=0,
        end=size,
        header=header,
        first_line=int(is_csv and not source.header),
        text_bytes=size * _GROWTH,
        compression=head.compression,
    )
    if head.compression:
        return [whole]
    starts = range(0, size, range_bytes)
    ends = [*starts[1:], size]
    return [
        dataclasses.replace(
            whole, number=number, start=start, end=end, text_bytes=end - start
        )
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def read(part: FileRange, source: Source) -> Iterator[Block]:
    """The blocks of a range; a header is no line of it."""
    with open_file(part.path) as file:
        if part.compression:
            yield from _read_stream(file, part, source)
        else:
            yield _parse(_read_range(file, part, source), part, source)


def whole_lines(chunks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """Chunks of a stream as blocks of whole lines; the very last may have no end.

    A line longer than `MAX_LINE_BYTES` loses bytes, but stays longer than that.
    """
    buffer = bytearray()
    searched = 0  # the buffer has no line end before this
    for chunk in chunks:
        buffer += chunk
        if len(buffer) < block_bytes:
            continue
        end = buffer.rfind(b"\n", searched) + 1
        if end:
            yield bytes(memoryview(buffer)[:end])
            del buffer[:end]
        else:
            del buffer[MAX_LINE_BYTES + 1 :]
        searched = 0 if end else len(buffer)
    if buffer:
        yield bytes(buffer)


def whole_records(blocks: Iterable[bytes], form: RecordForm) -> Iterator[bytes]:
    """Blocks of whole lines as blocks of whole records."""
    rest = b""
    for data in blocks:
        data = rest + data
        end = open_record(data, form)
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def _form(part: FileRange, source: Source) -> RecordForm:
    return RecordForm(len(part.header), source.separator)


def _read_stream(file: IO[bytes], part: FileRange, source: Source) -> Iterator[Block]:
    chunks = Chunks(file, part.compression)
    content = _skip_line(chunks) if part.first_line else chunks
    before = part.first_line
    blocks = whole_lines(content, BLOCK_BYTES)
    if source.format == "csv":
        blocks = whole_records(blocks, _form(part, source))
    for data in blocks:
        # The data of a broken stream ends anywhere, and its last line with it.
        end = data.rfind(b"\n") + 1 if chunks.broken else len(data)
        block = _parse(data[:end], part, source)
        block = _add_cut_line(block, data[end:])
        before += block.lines
        yield block
    if chunks.broken:
        broken = f"{chunks.broken} after line {before}: copy the file again"
        yield broken_block(source, broken)


def _parse(data: bytes, part: FileRange, source: Source) -> Block:
    if not part.first_line:
        data = data.removeprefix(BOM)  # of the file; within it, no line begins so
    if source.format == "jsonl":
        return json_lines.parse_block(data, source.types, source.begin)
    return csv_lines.parse_block(
        data,
        part.header,
        source.types,
        source.separator,
        source.begin,
    )


def _add_cut_line(block: Block, line: bytes) -> Block:
    if not line:
        return block
    text = shorten(line.decode("utf-8", errors="backslashreplace"))
    rejects = (*block.rejects, Reject(block.lines, "cut off", text))
    return dataclasses.replace(block, rejects=rejects, lines=block.lines + 1)


def _skip_line(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What comes after the first line."""
    rest = iter(chunks)
    for chunk in rest:
        end = chunk.find(b"\n") + 1
        if end:
            yield chunk[end:]
            break
    yield from rest


def _read_range(file: IO[bytes], part: FileRange, source: Source) -> bytes:
    """The bytes of all records that begin in a range of a plain file."""
    data, begin, end = _read_lines(file, part)
    if source.format != "csv" or begin == end:
        return data
    known = data if len(data) == end - begin else b""  # of a long line bytes are lost
    finder = RecordFinder(file, _form(part, source), known, begin)
    first = finder.record_at(begin) if part.start else begin
    last = finder.record_at(end)
    if first >= last:  # all in one record of an earlier range
        return b""
    file.seek(end)
    return data[first - begin :] + read_exactly(file, last - end)


def _read_lines(file: IO[bytes], part: FileRange) -> tuple[bytes, int, int]:
    """(the lines that begin in a range of a plain file, where they begin and end)."""
    before = 1 if part.start else 0  # a line begins after a newline
    file.seek(part.start - before)
    data = read_exactly(file, part.end - part.start + before)
    begin = 0
    if part.start or part.first_line:  # in a line of the range before, or the header
        begin = data.find(b"\n") + 1
        if begin in (0, len(data)):
            return b"", part.end, part.end
    start = part.start - before
    rest, used = _rest_of_line(file, data)
    return data[begin:] + rest, start + begin, start + len(data) + used


def _rest_of_line(file: IO[bytes], data: bytes) -> tuple[bytes, int]:
    """(what follows `data` in the file up to its line's end, how many bytes that is).

    Of a line that is too long bytes are lost, as in `whole_lines`.
    """
    length = len(data) - data.rfind(b"\n") - 1
    parts, used = [], 0
    while length:
        more = file.read(_TAIL_BYTES)
        end = more.find(b"\n") + 1
        used += end or len(more)
        if length <= MAX_LINE_BYTES:
            parts.append(more[:end] if end else more)
        elif end:
            parts.append(b"\n")
        if end or not more:
            break
        length += len(more)
    return b"".join(parts), used


def _given_header(path: str, head: Head, source: Source) -> tuple[str, ...]:
    """The spec's names of the columns, if it has them.

    Raises:
        ValueError: The first line has another number of columns, or names them.
    """
    line = head.data.removeprefix(BOM).partition(b"\n")[0]
    text = line.removesuffix(b"\r").decode("utf-8", errors="replace")
    if not source.header or not text.strip() or line.count(b'"') % 2:
        return source.header
    fields = next(csv.reader([text], delimiter=source.separator))
    if {name.strip() for name in fields} >= set(source.columns):
        raise LogsError(
            f"{path}: its first line names the columns. Remove {source.key}.header "
            "from the spec."
        )
    if len(fields) != len(source.header):
        raise LogsError(
            f"{path}: its first line, {preview(line)}, has {len(fields)} columns, but "
            f"{source.key}.header names {len(source.header)}. Name them all, in their "
            "order, or check log.separator."
        )
    return source.header


def _read_header(path: str, head: Head, source: Source) -> tuple[str, ...]:
    """The column names of a file's first line, checked against what is declared."""
    line, end, _ = head.data.removeprefix(BOM).partition(b"\n")
    text = line.removesuffix(b"\r").decode("utf-8", errors="replace")
    if not text.strip():
        raise LogsError(
            f"{path} is empty: its first line must name the columns. Remove the file "
            "or restore it."
        )
    if head.broken and not end:
        raise LogsError(f"{path}: {head.broken} in its first line. Copy it again.")
    if "\r" in text or "\0" in text:
        raise LogsError(
            f"{path}: the first line, {preview(line)}, holds a lone carriage return or "
            "a NUL byte. It must name the columns and end in LF or CRLF."
        )
    if len(line) > _MAX_HEADER_BYTES:
        raise LogsError(
            f"{path}: the first line is longer than {_MAX_HEADER_BYTES} bytes. It must "
            "name the columns."
        )
    if line.count(b'"') % 2:
        raise LogsError(
            f"{path}: the first line, {preview(line)}, holds a quote without a "
            "partner. It must name all columns; a name may hold no line break."
        )
    fields = next(csv.reader([text], delimiter=source.separator))
    names = tuple(name.strip() for name in fields)
    check_columns(path, names, source)
    return names


def _check_json(path: str, head: Head, source: Source) -> None:
    """ValueError if a file begins with anything but objects, a line each."""
    *lines, _ = head.data.removeprefix(BOM).split(b"\n")
    first = next((line for line in lines if line.strip()), b"{")
    if first.startswith(b"{") or any(map(_is_object, lines)):
        return
    raise LogsError(
        f"{path} holds no JSON lines: its first line is {preview(first)}. Write one "
        f'object a line, as {{"column": value}}, or change {source.key}.format.'
    )


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
