"""What a version on trial did, of the log that `trailrank serve` wrote.

report = compare_logs("LOG", out="comparison")
report.shadow.order["kendall"].value
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from feature_specs.errors import UsageError
from feature_specs.places import Place, check_directory, check_writable_directory
from serving.compare_logs.comparison import (
    CanaryReport,
    ShadowReport,
    compare_canary,
    compare_shadow,
)
from serving.compare_logs.logged import LogError, Logged, read_log, with_outcomes

DEFAULT_K = 10
REPORT, RESULTS, PICTURE = "report.md", "report.json", "report.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogReport:
    """What the log of one signature says.

    Attributes:
        directory: Of the log.
        model, signature: Which.
        requests: That were logged.
        users: Of those that name one; intervals go by them.
        since_ms, until_ms: Of the first and the last, since 1970, UTC.
        k: Of `overlap@k`.
        shadow: None without a shadow.
        canary: None without requests of a canary and of others.
    """

    directory: str
    model: str
    signature: str
    requests: int
    users: int
    since_ms: int
    until_ms: int
    k: int
    shadow: ShadowReport | None
    canary: CanaryReport | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all but what is there for the picture."""
        found = dataclasses.asdict(self)
        if found["shadow"]:
            del found["shadow"]["taus"]
        return found


def compare_logs(
    directory: Place,
    *,
    outcomes: Place | None = None,
    model: str | None = None,
    signature: str | None = None,
    k: int = DEFAULT_K,
    out: Place | None = None,
) -> LogReport:
    """Compares what a shadow or a canary said with what the served version did.

    >>> report = trailrank.compare_logs("log", k=2, out="comparison")
    >>> report.shadow.requests, report.shadow.failed
    (4, 0)
    >>> report.shadow.order["overlap@2"].value
    0.5

    Args:
        directory: What `trailrank serve --shadow_log` names; a server may write to it.
        outcomes: What came of the candidates: a Parquet or CSV file with `request_id`,
            `item` and a column a task, a directory of such Parquet files, or the
            examples of a run whose spec names `log.request`.
        model: Its name; needed if the log has several.
        signature: Its name; needed if there are several.
        k: How many of the best are compared.
        out: A directory for report.md, report.json and, with matplotlib, report.png.

    Raises:
        PlaceError: There is no such directory, or none can be made.
        LogError: It is no log, or the outcomes cannot be read.
        UsageError: Of which model or signature? Or k is below 1.
    """
    if k < 1:
        raise UsageError(f"k must be 1 or more. Got {k}.")
    check_directory("log", directory, "Name what serve --shadow_log names.")
    if out is not None:
        check_writable_directory("--out", out)
    logged = read_log(directory, model, signature)
    if outcomes is not None:
        logged = with_outcomes(logged, outcomes)
    report = _report(os.fspath(directory), logged, k)
    if out is not None:
        _write(report, pathlib.Path(out))
    return report


def _report(directory: str, logged: Logged, k: int) -> LogReport:
    shadow, canary = compare_shadow(logged, k), compare_canary(logged)
    if shadow is None and canary is None:
        raise LogError(
            f"{directory}: {logged.requests.height} requests of one arm of a canary. "
            "To compare, both are needed: wait for more of them, or take a larger "
            "--share."
        )
    times = logged.requests["time_ms"]
    return LogReport(
        directory=directory,
        model=logged.model,
        signature=logged.signature,
        requests=logged.requests.height,
        users=logged.requests["user"].drop_nulls().n_unique(),
        since_ms=int(times.min()),  # type: ignore[arg-type]
        until_ms=int(times.max()),  # type: ignore[arg-type]
        k=k,
        shadow=shadow,
        canary=canary,
    )


def _write(report: LogReport, out: pathlib.Path) -> None:
    from pipeline.reporting import figures
    from pipeline.reporting.files import to_json, write_bytes
    from serving.compare_logs.compare_logs_plot import draw
    from serving.compare_logs.compare_logs_text import markdown

    write_bytes(out / RESULTS, to_json(report.as_dict()))
    has_picture = figures.is_possible()
    if has_picture:
        write_bytes(out / PICTURE, figures.png(draw(report)))
    text = markdown(report, PICTURE if has_picture else None)
    write_bytes(out / REPORT, text.encode())
