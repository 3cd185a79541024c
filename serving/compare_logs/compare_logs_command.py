"""`trailrank compare-logs`: what a version on trial would have said, or did say.

    trailrank serve --root RUN --shadow 12 --share 0.01 --shadow_log LOG
    trailrank compare-logs LOG --out comparison
    trailrank compare-logs LOG --outcomes outcomes.parquet

Of a shadow, on the same candidates of the same requests: how alike the orders are
(Kendall's tau, Spearman's rho, the overlap of the best), how each prediction moved
(its mean, its quantiles, the PSI), the latencies of both, and what the shadow failed
at. Of a canary: its requests beside as many of others, who are other users. Intervals
go by users where the log knows them. With --outcomes, also how well both are
calibrated, and what the canary's users did.

--out gets report.md, report.json and report.png. The last line printed is that JSON.

exit status: 0 compared; 1 no such log, or outcomes that cannot be read; 2 usage.
"""

from __future__ import annotations

from collections.abc import Sequence

import rich.console

from feature_specs.errors import Status
from feature_specs.flags import ArgumentParser
from serving.compare_logs.compare_logs import DEFAULT_K, LogReport, compare_logs


def run(argv: Sequence[str]) -> int:
    """`trailrank compare-logs ...`; returns the exit status."""
    args = parser().parse_args(argv)
    report = compare_logs(
        args.log,
        outcomes=args.outcomes,
        model=args.model,
        signature=args.signature,
        k=args.k,
        out=args.out,
    )
    _show(report)
    from pipeline.reporting.files import to_json

    print(to_json(report.as_dict(), indent=None).decode(), end="")
    return int(Status.DONE)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank compare-logs", description=__doc__)
    add = found.add_argument
    add("log", metavar="LOG", help="what serve --shadow_log names")
    add(
        "--outcomes",
        metavar="PLACE",
        help="Parquet or CSV with request_id, item and a column a task; or the "
        "examples of a run whose spec names log.request",
    )
    add("--model", help="its name, if the log has several")
    add("--signature", help="its name, if the log has several")
    add("--k", type=int, default=DEFAULT_K, help=f"of overlap@k ({DEFAULT_K})")
    add("--out", metavar="DIR", help="gets report.md, report.json and report.png")
    return found


def _show(report: LogReport) -> None:
    from pipeline.reporting.tables import new_table
    from serving.compare_logs.compare_logs_text import notes, sections, title

    console = rich.console.Console()
    for line in (title(report), *notes(report)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for section in sections(report):
        table = new_table(section.title, section.heads[: section.brief])
        for row in section.rows:
            table.add_row(*row[: section.brief])
        console.print(table)
