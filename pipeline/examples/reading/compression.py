"""Which compression a file has, by its first bytes, and its contents as a stream.

A file's name says nothing: `log.csv` may be gzip, `log.csv.gz` may not be.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO, Any, Literal

import zstandard

Compression = Literal["", "gzip", "zstd"]

_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([n]) + b"\x2a\x4d\x18": "zstd" for n in range(0x50, 0x60)},  # skippable
}
_GZIP_HEADER_BITS = 16 + zlib.MAX_WBITS
_READ_BYTES = 1 << 18
# Fed to the decompressor at once. Where it finds damage, what it made of the whole
# slice is lost; and a slice can grow a thousandfold.
_SLICE_BYTES = 1 << 10


def compression_of(head: bytes) -> Compression:
    """The compression of a file that begins with `head`."""
    for magic, compression in _MAGIC.items():
        if head.startswith(magic):
            return compression
    return ""


class Chunks:
    """A file's contents in chunks of bytes, decompressed; to be read once.

    gzip files of several members and zstd files of several frames are one stream.

    Attributes:
        broken: When all chunks are read: why there are no more, "" at the file's end.
    """

    def __init__(self, file: IO[bytes], compression: Compression):
        self.broken = ""
        self._file, self._compression = file, compression

    def __iter__(self) -> Iterator[bytes]:
        if not self._compression:
            yield from iter(lambda: self._file.read(_READ_BYTES), b"")
            return
        try:
            yield from self._inflate()
        except (zlib.error, zstandard.ZstdError):
            self.broken = f"{self._compression} data is damaged"

    def _inflate(self) -> Iterator[bytes]:
        decoder = None
        for data in self._slices():
            while data:
                if decoder is None:
                    data = data.lstrip(b"\0")  # some tools pad a file with zeros
                    if not data:
                        break
                    decoder = _decoder(self._compression)
                yield decoder.decompress(data)
                data = b""
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
        if decoder is not None:
            self.broken = f"{self._compression} data ends early"

    def _slices(self) -> Iterator[bytes]:
        while data := self._file.read(_READ_BYTES):
            for start in range(0, len(data), _SLICE_BYTES):
                yield data[start : start + _SLICE_BYTES]


def _decoder(compression: Compression) -> Any:
    if compression == "gzip":
        return zlib.decompressobj(_GZIP_HEADER_BITS)
    return zstandard.ZstdDecompressor().decompressobj()
