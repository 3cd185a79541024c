"""Reports of gates as files, one a day, on any of Beam's file systems."""

from __future__ import annotations

from collections.abc import Iterable

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from feature_specs.places import is_bucket
from pipeline.gates.errors import GateError
from pipeline.gates.findings import PREFIX, GateReport
from pipeline.reporting.files import write_bytes

_PLAIN = CompressionTypes.UNCOMPRESSED


def report_path(folder: str, day: str) -> str:
    """Where the report of a day, `YYYYMMDD`, or of its split lies."""
    name = f"{PREFIX}{day.removeprefix(PREFIX)}.json"
    path: str = FileSystems.join(folder, name)
    return path


def write_reports(folder: str, reports: Iterable[GateReport]) -> None:
    """Writes each report; an older one of its day is replaced."""
    for report in reports:
        path, content = report_path(folder, report.day), report.to_json()
        if not is_bucket(path):
            write_bytes(path, content)
            continue
        with FileSystems.create(path, compression_type=_PLAIN) as file:
            file.write(content)  # buckets show an object when it is whole


def read_report(folder: str, day: str) -> GateReport:
    """The last report of a day, `YYYYMMDD`.

    Raises:
        GateError: The day was never judged, or the report is damaged.
    """
    path = report_path(folder, day)
    if not FileSystems.exists(path):
        raise GateError(
            f"{day}: has not been judged yet (no {path}); what was not seen cannot be "
            "accepted. Run without --accept_day first."
        )
    with FileSystems.open(path, compression_type=_PLAIN) as file:
        return GateReport.from_json(file.read(), path)
