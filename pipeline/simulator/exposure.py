"""Who sees what, when in a watch trail: the feed and its random slice.

A trail is one sitting in one tab. The feed retrieves candidates by topic and
popularity and shows the best of several, of fewer and fewer as the trail goes on:
this is how position confounds quality. A random exposure shows any video of a small
pool, whatever the position.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from pipeline.arrays import Array
from pipeline.simulator import population

DAY_MS = 86_400_000
TRAIL_GAP_MS = 30 * 60_000  # a watch trail ends after this much silence
WEEKEND_FACTOR = 1.2  # published: weekends are 10-30 % above weekdays
HOLIDAY_FACTOR = 1.25  # 30 April - 4 May
# Share of the trails that start in each hour of the day (China time).
HOUR_SHARE = np.array(
    [
        *(3, 1.6, 1, 0.7, 0.6, 0.9, 2, 3.2, 4, 4.2, 4.5, 5.2),
        *(6.5, 5.8, 4.8, 4.6, 4.8, 5.3, 6.2, 7.2, 8, 8.2, 6.5, 4.2),
    ]
)
INTEREST_MEMORY = 0.9  # day-to-day correlation of the drifting part of the interest
INTEREST_DRIFT = 0.6  # its standard deviation; the constant part has about 1
RETRIEVAL_SHARPNESS = 0.35
CANDIDATES = 4
FEED_QUALITY = 0.3  # weight of quality beside match in the feed's own ranker
FEED_NOISE = 0.5  # the feed's own ranker is not perfect
# How each group (new, low, high) answers to (topics, quality and popularity).
GROUP_MATCH = np.array([0.3, 0.8, 1.15])
GROUP_QUALITY = np.array([1.5, 1.0, 0.65])
TAB_JOIN_SHARE = 0.06  # trails that follow at once after a change of tab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trails:
    """T planned trails, sorted by user, then time.

    Attributes:
        user: [T] user_id.
        day: [T] planned day, 0 is the first.
        start_ms: [T] planned start after the first midnight; joined trails have 0.
        gap_ms: [T] least silence before it, counted from the end of the last play.
        length: [T] impressions, at least 1.
        tab: [T]
        number: [T] count of the user's trails before this one.
    """

    user: Array
    day: Array
    start_ms: Array
    gap_ms: Array
    length: Array
    tab: Array
    number: Array

    def __len__(self) -> int:
        return len(self.user)

    def take(self, keep: Array) -> Trails:
        """The trails where `keep` [T] is true."""
        return Trails(**{k: v[keep] for k, v in vars(self).items()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impressions:
    """N impressions in the order of their trails.

    Attributes:
        trail: [N] row of the trail in Trails.
        position: [N] place in the trail, 0 is the first.
        video: [N] row of the video in Videos (not its id).
        match: [N] how well the video's topics fit the user on that day.
        is_random: [N] bool
    """

    trail: Array
    position: Array
    video: Array
    match: Array
    is_random: Array

    def __len__(self) -> int:
        return len(self.trail)


def day_factors(start: datetime.date, days: int) -> Array:
    """[days] traffic relative to a weekday."""
    factors = np.ones(days)
    for offset in range(days):
        day = start + datetime.timedelta(days=offset)
        if (4, 30) <= (day.month, day.day) <= (5, 4):
            factors[offset] = HOLIDAY_FACTOR
        elif day.weekday() >= 5:
            factors[offset] = WEEKEND_FACTOR
    return factors


def _rows_per_user_day(
    rng: np.random.Generator, users: population.Users, rows: float, factors: Array
) -> Array:
    """[U, days] impressions; `rows` is the mean over all users and days."""
    shape = (len(users), len(factors))
    mean = rows * np.outer(users.activity, factors / factors.mean())
    mean *= np.exp(rng.normal(-0.02, 0.2, shape))
    present = rng.random(shape) < users.presence[:, np.newaxis]
    drawn: Array = rng.poisson(mean / users.presence[:, np.newaxis]) * present
    return drawn


def _draw_tabs(rng: np.random.Generator, cdf: Array, joined: Array) -> Array:
    """[T] tabs; a joined trail is in another tab than the one before it."""
    tab = (rng.random((len(cdf), 1)) > cdf[:, :-1]).sum(axis=1)
    before = np.roll(tab, 1)
    return np.where(joined & (tab == before), np.where(before == 1, 0, 1), tab)


def _draw_lengths(rng: np.random.Generator, rows: Array, count: Array) -> Array:
    """Splits `rows` [M] over `count` [M] trails with lognormal shares -> [sum]."""
    owner = np.repeat(np.arange(len(rows)), count)
    share = np.exp(rng.normal(0, 1, len(owner)))
    share /= np.bincount(owner, share, minlength=len(rows))[owner]
    lengths: Array = np.maximum(1, np.rint(share * rows[owner])).astype(np.int64)
    return lengths


def plan_trails(
    rng: np.random.Generator,
    users: population.Users,
    members: Array,
    *,
    rows_per_user_day: float,
    factors: Array,
) -> Trails:
    """Plans the trails of the users `members` [M] (user ids, ascending)."""
    chosen = population.Users(**{k: v[members] for k, v in vars(users).items()})
    rows = _rows_per_user_day(rng, chosen, rows_per_user_day, factors)
    owner, day = np.nonzero(rows)
    rows = rows[owner, day]
    # A day has room for few sittings: who watches more watches longer at a time.
    count = np.minimum(1 + rng.poisson(0.25 * rows**0.55), np.minimum(rows, 14))
    length = _draw_lengths(rng, rows, count)
    owner, day = np.repeat(owner, count), np.repeat(day, count)
    hour = rng.choice(24, len(owner), p=HOUR_SHARE / HOUR_SHARE.sum())
    start_ms = ((day * 24 + hour + rng.random(len(owner))) * 3_600_000).astype(np.int64)
    order = np.lexsort((start_ms, owner))
    owner, day, start_ms = owner[order], day[order], start_ms[order]
    first = np.searchsorted(owner, owner)  # row of the user's first trail
    number = np.arange(len(owner)) - first
    # Odd trails only: two joined in a row could come back to the first one's tab.
    joined = (number % 2 == 1) & (rng.random(len(owner)) < 2 * TAB_JOIN_SHARE)
    pause_ms = rng.exponential(60_000, len(owner)).astype(np.int64)
    return Trails(
        user=members[owner],
        day=day,
        start_ms=np.where(joined, 0, start_ms),
        gap_ms=np.where(joined, 3_000, TRAIL_GAP_MS + 60_000) + pause_ms // 4,
        length=length[order],
        tab=_draw_tabs(rng, chosen.tab_cdf[owner], joined),
        number=number,
    )


def draw_interests(rng: np.random.Generator, interest: Array, days: int) -> Array:
    """[M, TOPICS] constant part -> [M, days, TOPICS] with a drift from day to day."""
    drift = rng.normal(size=interest.shape)
    result = np.empty((len(interest), days, population.TOPICS), np.float32)
    for day in range(days):
        result[:, day] = interest + INTEREST_DRIFT * drift
        step = rng.normal(size=interest.shape)
        drift = INTEREST_MEMORY * drift + np.sqrt(1 - INTEREST_MEMORY**2) * step
    return result


def topic_cdf(interests: Array, supply: Array) -> Array:
    """[M, days, TOPICS], supply [days, TOPICS] -> cumulative retrieval shares."""
    weight = supply * np.exp(RETRIEVAL_SHARPNESS * interests)
    cdf = np.cumsum(weight, axis=-1, dtype=np.float64)
    return cdf / cdf[..., -1:]


def retrieve(
    rng: np.random.Generator,
    videos: population.Videos,
    cdf: Array,
    until: Array,
    cell: Array,
    day: Array,
) -> Array:
    """Draws one candidate for each impression -> [N] rows of Videos.

    `cdf` [cells, TOPICS] holds the topic shares of each (user, day) cell. Adding the
    cell's number makes all of them one sorted array, so that one search serves all.
    `until` [TOPICS, days] bounds the uploaded videos; cell and day are [N].
    """
    flat = (cdf + np.arange(len(cdf))[:, np.newaxis]).ravel()
    draw = cell + rng.random(len(cell)) * (1 - 1e-9)
    topic = np.searchsorted(flat, draw, "right") - cell * population.TOPICS
    topic = np.clip(topic, 0, population.TOPICS - 1)
    start, stop = videos.topic_start[topic], until[topic, day]
    low, high = videos.weight_cdf[start], videos.weight_cdf[stop]
    target = low + rng.random(len(topic)) * (high - low)
    row = np.searchsorted(videos.weight_cdf, target, "right") - 1
    places: Array = np.clip(row, start, stop - 1)
    return places


def match_of(
    users: population.Users,
    videos: population.Videos,
    user: Array,
    video: Array,
    interests: Array,
    cell: Array,
) -> Array:
    """[N] fit of videos to users; interests [cells, TOPICS]. Deviation about 1."""
    first = interests[cell, videos.topic[video]]
    second = interests[cell, videos.second_topic[video]]
    hidden = np.einsum("nd,nd->n", users.latent[user], videos.latent[video])
    match: Array = 0.65 * first + 0.35 * second + 0.27 * hidden
    return match


def _slots(position: Array) -> Array:
    """[N] candidates that compete for a position: 4, 3, 2, then a single one."""
    return CANDIDATES - np.digitize(position, [6, 16, 40])


def show(
    rng: np.random.Generator,
    users: population.Users,
    videos: population.Videos,
    trails: Trails,
    *,
    days: int,
    random_share: float,
) -> Impressions:
    """Fills the planned trails with videos."""
    trail = np.repeat(np.arange(len(trails)), trails.length)
    begins = np.cumsum(trails.length) - trails.length
    position = np.arange(len(trail)) - begins[trail]
    is_random = rng.random(len(trail)) < random_share
    video, match = _pick(
        rng,
        users,
        videos,
        user=trails.user[trail],
        day=trails.day[trail],
        position=position,
        is_random=is_random,
        days=days,
    )
    return Impressions(
        trail=trail,
        position=position,
        video=video,
        match=match,
        is_random=is_random,
    )


def _pick(
    rng: np.random.Generator,
    users: population.Users,
    videos: population.Videos,
    *,
    user: Array,
    day: Array,
    position: Array,
    is_random: Array,
    days: int,
) -> tuple[Array, Array]:
    """The video [N] of each impression, and its match [N]."""
    members, owner = np.unique(user, return_inverse=True)
    cell = owner * days + day
    interests = draw_interests(rng, users.interest[members], days)
    until = videos.available_until(days)
    supply = videos.weight_cdf[until] - videos.weight_cdf[videos.topic_start[:-1, None]]
    cdf = topic_cdf(interests, supply.T).reshape(-1, population.TOPICS)
    interests = interests.reshape(-1, population.TOPICS)
    group = users.group[user]

    video = rng.choice(videos.random_pool, len(user))
    match = match_of(users, videos, user, video, interests, cell)
    best = np.where(is_random, np.inf, -np.inf)  # a random video has no rival
    for slot in range(CANDIDATES):
        rival = retrieve(rng, videos, cdf, until, cell, day)
        rival_match = match_of(users, videos, user, rival, interests, cell)
        score = GROUP_MATCH[group] * rival_match
        score += FEED_QUALITY * GROUP_QUALITY[group] * videos.quality[rival]
        score += rng.normal(0, FEED_NOISE, len(user))
        wins = (score > best) & (slot < _slots(position))
        video[wins], match[wins] = rival[wins], rival_match[wins]
        best[wins] = score[wins]
    return video, match


def schedule(
    rng: np.random.Generator,
    trails: Trails,
    impressions: Impressions,
    play_time_ms: Array,
) -> Array:
    """[N] start of every impression in ms after the first midnight.

    A trail starts as planned, or later when the one before it lasted too long:
    start_j = max(planned_j, start_{j-1} + span_{j-1} + gap_j), solved for all users
    at once as a running maximum.
    """
    swipe_ms = 200 + rng.exponential(900, len(impressions)).astype(np.int64)
    step = play_time_ms + np.minimum(swipe_ms, 60_000)
    elapsed = np.cumsum(step)
    ends = np.cumsum(trails.length) - 1
    span = np.diff(elapsed[ends], prepend=0)
    inside: Array = elapsed - step - (elapsed[ends] - span)[impressions.trail]

    first = np.searchsorted(trails.user, trails.user)
    spent: Array = np.cumsum(np.roll(span, 1) + trails.gap_ms)
    spent -= spent[first]
    slack = trails.start_ms - spent
    owner = np.unique(trails.user, return_inverse=True)[1]
    offset = owner * (int(slack.max()) - int(slack.min()) + 1)
    start: Array = np.maximum.accumulate(slack + offset) - offset + spent
    return start[impressions.trail] + inside
