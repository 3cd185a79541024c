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
from pipeline.examples.columns.carried import USER, VALUE, Carried, are_new
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.hashing import hash_columns

REQUEST = "_request"  # a 64-bit hash as int64; `NO_REQUEST` for a row of none


# What is carried of a session that may go on: when its request began, the request's
# impressions, and when the last one began.
START, ROWS, LAST = "request_start_ms", "request_rows", "last_begin_ms"


def add_requests(
    frame: pl.DataFrame, spec: Spec, carried: Carried | None = None
) -> pl.DataFrame:
    """Adds `REQUEST`, and the request's columns; null in a row of no request.

    Places go by begin, and among equal ones by the item, as the frame does.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without `log.request` the frame comes back as it is.
        carried: What earlier days left; its rows get null.
    """
    request, user = spec.log.request, spec.log.user
    if request is None:
        return frame
    rows = frame.select(_columns(user, request)).with_row_index("row")
    rows = rows.filter(pl.Series(are_new(frame, carried)))
    rows = rows.sort(user, request.key, maintain_order=True)
    firsts = np.flatnonzero(_begins(rows, user, request))  # [R]
    sizes = np.diff(firsts, append=rows.height)
    starts, earlier = _earlier(rows[firsts], user, request, carried)
    position = np.arange(rows.height) - np.repeat(firsts - earlier, sizes) + 1
    is_known = pl.col(request.key).is_not_null()
    found = rows.with_columns(
        pl.Series(REQUEST, np.repeat(_hashes(starts, user, request), sizes)),
        pl.Series(REQUEST_POSITION, position, pl.Int64),
        pl.Series(REQUEST_SIZE, np.repeat(sizes + earlier, sizes), pl.Int64),
    ).select(
        "row",
        pl.when(is_known).then(REQUEST).otherwise(NO_REQUEST),
        pl.when(is_known).then(REQUEST_POSITION),
        pl.when(is_known).then(REQUEST_SIZE),
    )
    if found.height < frame.height:
        all_rows = frame.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
        found = all_rows.join(found, on="row", how="left", maintain_order="left")
        return frame.hstack(found.drop("row"))
    return frame.hstack(found.sort("row").drop("row"))


def remember_sessions(
    frame: pl.DataFrame, spec: Spec, carried: Carried | None, next_ms: int
) -> pl.DataFrame | None:
    """The sessions that may go on when the next day begins, by `USER` and `VALUE`.

    Args:
        frame: Impressions, sorted by user and begin.
        spec: Of the run.
        carried: What earlier days left.
        next_ms: When the next day begins, unix milliseconds.

    Returns:
        None where no request of a later day needs any.
    """
    request, user = spec.log.request, spec.log.user
    if request is None or not request.session:
        return None
    rows = frame.filter(pl.Series(are_new(frame, carried)))
    rows = rows.select(_columns(user, request))
    rows = rows.sort(user, request.key, maintain_order=True).drop_nulls(request.key)
    firsts = np.flatnonzero(_begins(rows, user, request))
    sizes = np.diff(firsts, append=rows.height)
    starts, earlier = _earlier(rows[firsts], user, request, carried)
    made = starts.select(
        pl.col(user).alias(USER),
        pl.col(request.key).alias(VALUE),
        pl.col(TIME_MS).alias(START),
        pl.Series(ROWS, sizes + earlier, pl.Int64),
        rows[TIME_MS].gather(firsts + sizes - 1).alias(LAST),
    )
    if carried is not None and carried.sessions is not None:
        made = pl.concat([carried.sessions, made])
    newest = made.unique([USER, VALUE], keep="last", maintain_order=True)
    open_ones = newest.filter(pl.col(LAST) >= next_ms - request.seconds * 1000)
    return open_ones.sort(USER, VALUE)


def _columns(user: str, request: RequestSpec) -> list[str]:
    """What is read of a row; a session may be all that its user does."""
    return list(dict.fromkeys([user, request.key, TIME_MS]))


def _earlier(
    firsts: pl.DataFrame, user: str, request: RequestSpec, carried: Carried | None
) -> tuple[pl.DataFrame, Ints]:
    """(first rows of requests [R], from earlier days where these go on; how many
    impressions each had on these days [R])."""
    nothing = np.zeros(firsts.height, np.int64)
    if carried is None or carried.sessions is None or not request.session:
        return firsts, nothing
    asked = firsts.select(
        pl.col(user).alias(USER), pl.col(request.key).alias(VALUE), TIME_MS
    )
    found = asked.join(
        carried.sessions, on=[USER, VALUE], how="left", maintain_order="left"
    )
    pause = pl.col(TIME_MS) - pl.col(LAST)
    # Later requests of the session are further away than its first one.
    goes_on = found.select(
        (pause <= request.seconds * 1000).fill_null(False)
        & pl.struct(USER, VALUE).is_first_distinct()
    ).to_series()
    starts = pl.select(
        pl.when(goes_on).then(found[START]).otherwise(found[TIME_MS]).alias(TIME_MS)
    ).to_series()
    rows: Ints = found[ROWS].set(~goes_on, 0).fill_null(0).to_numpy()
    return firsts.with_columns(starts), rows


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
