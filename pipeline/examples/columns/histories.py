"""What other logs tell of a user's past (searches, purchases), seen from impressions.

The rule of time is that of `past`: what happened at a moment is known from the next
millisecond on, so that an impression never sees what began together with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.column_types import parse_types
from feature_specs.missing import evaluate_all
from feature_specs.past import history_column
from feature_specs.spec import LogHistorySpec
from pipeline.arrays import Ints
from pipeline.examples.columns.evaluate import number_values
from pipeline.examples.columns.history import lists_of, ranges
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.duplicates import plain_floats, repeated


def settle_events(events: pl.DataFrame, history: LogHistorySpec) -> pl.DataFrame:
    """Events in order, each once: by user, time, then by their other columns' values.

    So neither the order of rows nor of files decides which of two events of one moment
    is the newer one. A missing value stands last.

    Args:
        events: The declared columns and `TIME_MS`, in any order.
        history: Says who a row's user is.
    """
    key = [history.user, TIME_MS]
    ordered = events.select(*key, *sorted({*events.columns} - {*key})).sort(key)
    together = repeated(ordered, key)
    if not together.any():
        return ordered
    # Few come together: all others need no more than their place in time.
    several = plain_floats(ordered.filter(together))
    several = several.sort(several.columns, nulls_last=True)
    several = several.unique(maintain_order=True)
    settled = pl.concat([ordered.filter(~together), several])
    return settled.sort(key, maintain_order=True)


def add_histories(
    frame: pl.DataFrame, spec: Spec, events: Mapping[str, pl.DataFrame | None]
) -> pl.DataFrame:
    """Adds the list columns of `spec.histories`, the newest last.

    Args:
        frame: Impressions [B], in any order.
        spec: Without a `histories` section the frame comes back as it is.
        events: History -> its users' events as `settle_events` gives them; None if
            there are none.
    """
    for name, history in spec.histories.items():
        found = events[name]
        if found is None:
            found = _no_events(history, spec.log.timezone)
        start, stop = _known(frame, found, spec, history)
        values = evaluate_all(found, history.columns)
        frame = frame.with_columns(
            _newest(values[column], start, stop, history.length).alias(
                history_column(name, column)
            )
            for column in history.columns
        )
    return frame


def _no_events(history: LogHistorySpec, zone: str) -> pl.DataFrame:
    types = {c: kind.polars for c, kind in parse_types(history.types, zone).items()}
    return pl.DataFrame(schema={**types, TIME_MS: pl.Int64()})


def _known(
    frame: pl.DataFrame, events: pl.DataFrame, spec: Spec, history: LogHistorySpec
) -> tuple[Ints, Ints]:
    """The first event of each impression's user and the first it does not know of.

    Both are places among the events, int64 [B].
    """
    whose = pl.concat([frame[spec.log.user], events[history.user].alias(spec.log.user)])
    when = np.concatenate([frame[TIME_MS].to_numpy(), events[TIME_MS].to_numpy()])
    moments, places = np.unique(when, return_inverse=True)
    own = number_values(whose) * len(moments)  # one axis, a stretch of it for each user
    asked, told = np.split(own + places, [frame.height])
    start = np.searchsorted(told, own[: frame.height], side="left")
    return start, np.searchsorted(told, asked, side="left")


def _newest(values: pl.Series, start: Ints, stop: Ints, length: int) -> pl.Series:
    """The last `length` values of events `start` to `stop` - 1, as lists [B].

    Args:
        values: Of each event [E], one value or a list of them.
        start: Places among the events [B].
        stop: The same.
        length: Longest list.
    """
    sizes = np.ones(len(values), np.int64)
    if isinstance(values.dtype, pl.List):
        sizes = values.list.len().fill_null(0).to_numpy().astype(np.int64)
        values = values.filter(pl.Series(sizes > 0)).explode()
    edges = np.concatenate([[0], np.cumsum(sizes)])
    begin, end = edges[start], edges[stop]
    begin = np.maximum(begin, end - length)
    places = pl.Series(ranges(begin, end))
    return lists_of(values[places], np.concatenate([[0], np.cumsum(end - begin)]))
