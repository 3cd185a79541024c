"""The analysis of the trail from Python: logs to curves, figure and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_specs import Spec
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import Place, absolute, check_writable_directory
from pipeline.examples.ownership import sole_making
from pipeline.log_places import check_logs
from pipeline.quiet import load_beam
from pipeline.reporting.figures import require_matplotlib
from pipeline.trail_bias.study import Study, plan_study, require_trail

if TYPE_CHECKING:
    from pipeline.trail_bias.findings import Findings

_NAME = "trail_bias"


def trail_bias(
    spec: SpecLike,
    logs: Place,
    out: Place,
    *,
    days: str | None = None,
    tasks: Sequence[str] = (),
    bins: int = 10,
    min_length: int = 10,
    beam_args: Sequence[str] = (),
) -> Findings:
    """How behaviours move along a watch trail, at random exposure and on the feed.

    `out` gets `trail_bias.png`, `.csv` (every point) and `.json`.

    >>> found = trailrank.trail_bias(
    ...     "kuairand", "logs/data", "out", days="20220408:20220409",
    ...     tasks=["long_view"], bins=4,
    ... )
    >>> curve = found.curves["feed"]["long_view"]
    >>> float(curve.relative.ratio[0])  # a point is compared with the first one
    1.0

    Args:
        spec: What the logs hold: a shipped name, a file or a spec; with a `trail`.
        logs: Directory of the raw logs; may lie in a bucket.
        out: Directory for the figure and the tables.
        days: First and last day, `20220408:20220414`; by default all in the logs.
        tasks: Binary tasks; by default all that the log alone can tell.
        bins: Parts of a trail.
        min_length: Fewest impressions of a trail, at least `bins`.
        beam_args: Beam's options; without `--runner` it runs in this process.

    Raises:
        RuntimeError: matplotlib is missing.
        PlaceError: There are no logs.
        LockedError: Another command writes to `out`.
        ValueError: The spec has no trails, a task cannot be studied, or no trail is
            long enough.
    """
    require_matplotlib()
    found = as_spec(spec)
    require_trail(found)
    check_logs(found, absolute(logs))
    check_writable_directory("--out", out)
    with sole_making(out):
        load_beam()
        from pipeline.trail_bias.collect import collect
        from pipeline.trail_bias.findings import find

        directory = absolute(out)
        study, read = _study(found, logs, days, tasks, bins=bins, min_length=min_length)
        findings = find(collect(study, read, directory, beam_args), study)
        _write(findings, directory)
    return findings


def _study(
    spec: Spec, logs: Place, days: str | None, tasks: Sequence[str], **settings: int
) -> tuple[Study, str]:
    """(what is asked, directory of the logs)."""
    from pipeline.examples.days import DayRange
    from pipeline.examples.reading.log_files import find_logs
    from pipeline.examples.reading.readers import discover_days

    found = find_logs(spec, absolute(logs))
    asked = DayRange.parse(days) if days else discover_days(spec, found)
    return plan_study(spec, asked, tasks, **settings), found


def _write(findings: Findings, out: str) -> None:
    from pipeline.examples.tfrecords import write_whole
    from pipeline.reporting.figures import png
    from pipeline.reporting.files import to_json
    from pipeline.trail_bias.plot import draw
    from pipeline.trail_bias.report import curves_csv, summary

    contents = {
        "csv": curves_csv(findings).encode(),
        "json": to_json(summary(findings)),
        "png": png(draw(findings)),
    }
    for suffix, content in contents.items():
        write_whole(f"{out.rstrip('/')}/{_NAME}.{suffix}", iter([content]))
