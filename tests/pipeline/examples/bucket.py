"""A bucket in memory, `bucket://NAME/...`, as strict as Beam's `gs://` and `s3://`.

Names are all there is: no directory exists, and none can be renamed. Importing this
module makes Beam know the scheme.
"""

import io
import pathlib

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)

SCHEME = "bucket"
_objects: dict[str, bytes] = {}


def upload(folder, target):
    """Puts the files below a directory into the bucket; returns the target."""
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            name = f"{target}/{path.relative_to(folder).as_posix()}"
            _objects[name] = path.read_bytes()
    return target


def download(prefix):
    """{name below the prefix: its bytes}."""
    start = prefix.rstrip("/") + "/"
    return {
        name.removeprefix(start): data
        for name, data in sorted(_objects.items())
        if name.startswith(start)
    }


def empty():
    """Removes everything."""
    _objects.clear()


class _Upload(io.BytesIO):
    """The object appears when it is closed."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            _objects[self._path] = self.getvalue()
        super().close()


class BucketFileSystem(FileSystem):
    """Beam's file system of `_objects`."""

    @classmethod
    def scheme(cls):
        return SCHEME

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        """Nothing to do: names need no directory."""

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for name, data in list(_objects.items()):
            if name.startswith(dir_or_prefix):
                yield FileMetadata(name, len(data), 0)

    def create(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        return self._wrapped(_Upload(path), path, compression_type)

    def open(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        return self._wrapped(io.BytesIO(_get(path)), path, compression_type)

    def _wrapped(self, raw, path, compression_type):
        kind = FileSystem._get_compression_type(path, compression_type)
        return (
            raw if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(raw, kind)
        )

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(
            source_file_names, destination_file_names, strict=True
        ):
            _objects[target] = _get(source)

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        for source in source_file_names:
            del _objects[source]

    def exists(self, path):
        return path in _objects

    def size(self, path):
        return len(_get(path))

    def last_updated(self, path):
        return 0.0

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), 0)

    def delete(self, paths):
        for path in paths:
            for found in self.match([path])[0].metadata_list:
                del _objects[found.path]


def _get(path):
    if path not in _objects:
        raise BeamIOError(f"{path}: no such object.")
    return _objects[path]
