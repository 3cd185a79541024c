"""Which impressions answered one request, and each one's place among them.

They are computed over all readable impressions, before any filter. Which columns there
are is in `feature_specs.past.REQUEST_COLUMNS`; no feature may read them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import REQUEST_POSITION, REQUEST_SIZE
from feature_specs.spec import NO_REQUEST, RequestSpec
from pipeline.arrays import Ints
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.hashing import hash_columns

REQUEST = "_request"  # a 64-bit hash as int64; `NO_REQUEST` for a row of none


def add_requests(frame: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Adds `REQUEST`, and the request's columns; null in a row of no request.

    Places go by begin, and among equal ones by the item, as the frame does.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without `log.request` the frame comes back as it is.
    """
    request, user = spec.log.request, spec.log.user
    if request is None:
        return frame
    rows = frame.select(user, request.key, TIME_MS).with_row_index("row")
    rows = rows.sort(user, request.key, maintain_order=True)
    firsts = np.flatnonzero(_begins(rows, user, request))  # [R]
    sizes = np.diff(firsts, append=rows.height)
    position = np.arange(rows.height) - np.repeat(firsts, sizes) + 1
    is_known = pl.col(request.key).is_not_null()
    found = rows.with_columns(
        pl.Series(REQUEST, np.repeat(_hashes(rows[firsts], user, request), sizes)),
        pl.Series(REQUEST_POSITION, position, pl.Int64),
        pl.Series(REQUEST_SIZE, np.repeat(sizes, sizes), pl.Int64),
    ).select(
        "row",
        pl.when(is_known).then(REQUEST).otherwise(NO_REQUEST),
        pl.when(is_known).then(REQUEST_POSITION),
        pl.when(is_known).then(REQUEST_SIZE),
    )
    return frame.hstack(found.sort("row").drop("row"))


def _begins(rows: pl.DataFrame, user: str, request: RequestSpec) -> pl.Series:
    """Where a new request begins among rows sorted by user, key and begin; bool [B]."""
    begins = pl.col(user).ne_missing(pl.col(user).shift())
    begins |= pl.col(request.key).ne_missing(pl.col(request.key).shift())
    begins |= pl.int_range(pl.len()) == 0
    if request.session:
        begins |= pl.col(TIME_MS).diff() > request.seconds * 1000
    return rows.select(begins.fill_null(True)).to_series()


def _hashes(firsts: pl.DataFrame, user: str, request: RequestSpec) -> Ints:
    """The hash of each request, of its first row [R], never `NO_REQUEST`; int64 [R].

    A session's requests differ by their begin.
    """
    key = firsts[request.key]
    columns = [firsts[user], key.fill_null("" if key.dtype == pl.String else 0)]
    if request.session:
        columns.append(firsts[TIME_MS])
    hashed: Ints = hash_columns(columns).view(np.int64)
    return np.where(hashed == NO_REQUEST, 1, hashed)
