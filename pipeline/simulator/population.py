"""The people and the videos of a simulated feed, with what a log shows of them.

Every latent cause (taste, topic, quality) has an observable trace: an id, a tag, an
author, a count or a one-hot feature. A ranker can therefore learn most of the truth,
but never all of it.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics

import numpy as np

from pipeline.arrays import Array

TOPICS = 16
TAGS_PER_TOPIC = 4
PERSONAS = 8
LATENT_DIM = 4  # taste that no tag shows: only ids and history reveal it
TABS = 15
GROUPS = ("new", "low", "high")
# What a user does besides watching, in the order of every interaction axis.
INTERACTIONS = (
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_profile_enter",
    "is_hate",
)
# Published: mean / median rows per user = 1.4, so sigma = sqrt(2 ln 1.4).
ACTIVITY_SIGMA = 0.82
# Heavy users are harder to please: the median user's valid play rate is 0.47, the
# rate over impressions 0.38.
BASELINE_STD = 0.78
BASELINE_ACTIVITY_CORRELATION = -0.6
# Share of the tabs, from the published order 1, 0, 4, 2, 6, ... 13 and 14 rare.
TAB_SHARE = np.array(
    [12, 68, 5, 0.8, 7, 0.6, 3, 0.8, 0.6, 0.5, 0.5, 0.4, 0.4, 0.2, 0.2]
)
MEDIAN_DURATION_S = 27.0
# Log-width below and above the median: p90 = 27 s * exp(1.2816 * 1.43) = 169 s.
# The lower side is narrower, else more than 14.3 % of plays would be complete.
DURATION_SIGMA = (0.65, 1.43)
DIRTY_DURATIONS_MS = (33, 32_400_000)  # the extremes of the real data: 33 ms, 9 h
HOT_SHARE_OF_VIDEOS = 0.01
HOT_WEIGHT = 0.39  # the feed's preference for quality lifts it to about 0.44


@dataclasses.dataclass(frozen=True, kw_only=True)
class Users:
    """Latent state of U users; row i is user_id i.

    Attributes:
        activity: [U] rows of this user over the mean user's rows; its mean is 1.
        presence: [U] probability to open the app on a day.
        group: [U] index into GROUPS.
        baseline: [U] log-odds to watch, relative to the mean user.
        depth: [U] log-seconds that a watch lasts, relative to the mean user.
        taste: [U, interactions] log-odds of each interaction.
        persona: [U] index of the user's persona.
        interest: [U, TOPICS] constant part of the interest in topics.
        latent: [U, LATENT_DIM] taste that no tag shows.
        tab_cdf: [U, TABS] cumulative share of each tab in the user's trails.
    """

    activity: Array
    presence: Array
    group: Array
    baseline: Array
    depth: Array
    taste: Array
    persona: Array
    interest: Array
    latent: Array
    tab_cdf: Array

    def __len__(self) -> int:
        return len(self.activity)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Videos:
    """Latent state of V videos, sorted by (topic, upload day).

    The order makes "uploaded by day d in topic k" a slice, so that the feed can draw
    from it with one binary search.

    Attributes:
        video_id: [V] public id, a permutation that hides the order.
        author_id: [V]
        topic, second_topic: [V] index of the topics.
        upload_day: [V] days after the first day of the log; negative for most.
        quality: [V] shared appeal, standard deviation about 1.
        appeal: [V, interactions] log-odds of each interaction.
        latent: [V, LATENT_DIM]
        duration_ms: [V]
        is_ad, is_hot, dirty_duration: [V] bool
        weight_cdf: [V + 1] cumulative popularity weight, starting at 0.
        topic_start: [TOPICS + 1] bounds of each topic.
        random_pool: rows of the videos that random exposure shows.
    """

    video_id: Array
    author_id: Array
    topic: Array
    second_topic: Array
    upload_day: Array
    quality: Array
    appeal: Array
    latent: Array
    duration_ms: Array
    is_ad: Array
    is_hot: Array
    dirty_duration: Array
    weight_cdf: Array
    topic_start: Array
    random_pool: Array

    def __len__(self) -> int:
        return len(self.video_id)

    def available_until(self, days: int) -> Array:
        """[TOPICS, days]: end of the slice that is uploaded by each day."""
        ends = [
            start + np.searchsorted(self.upload_day[start:stop], range(days), "right")
            for start, stop in itertools.pairwise(self.topic_start)
        ]
        return np.stack(ends)


def _stratified_normal(rng: np.random.Generator, size: int) -> Array:
    """Standard normal quantiles in random order: few users, still the right shape."""
    inverse_cdf = statistics.NormalDist().inv_cdf
    quantiles = np.array([inverse_cdf((i + 0.5) / size) for i in range(size)])
    return rng.permutation(quantiles)


def _draw_groups(rng: np.random.Generator, activity_z: Array) -> Array:
    """15 % new users; of the others the less active 35 % are `low`."""
    group = np.where(activity_z < np.quantile(activity_z, 0.35), 1, 2)
    group[rng.random(len(group)) < 0.15] = 0
    return group


def draw_users(rng: np.random.Generator, count: int) -> Users:
    """Draws `count` users."""
    activity_z = _stratified_normal(rng, count)
    activity = np.exp(ACTIVITY_SIGMA * activity_z)
    rho = BASELINE_ACTIVITY_CORRELATION
    baseline_z = rho * activity_z + np.sqrt(1 - rho**2) * _stratified_normal(rng, count)
    group = _draw_groups(rng, activity_z)
    persona = rng.integers(PERSONAS, size=count)
    centers = rng.normal(size=(PERSONAS, TOPICS))
    own = rng.normal(size=(count, TOPICS))
    expressive = rng.normal(size=(count, 1))  # who likes also comments
    tabs = rng.gamma(TAB_SHARE * 0.1, size=(count, TABS)) + 1e-9
    return Users(
        activity=activity / activity.mean(),
        presence=np.array([0.7, 0.75, 0.96])[group],
        group=group,
        baseline=BASELINE_STD * baseline_z,
        depth=0.2 * baseline_z + 0.2 * rng.normal(size=count),
        taste=0.75 * expressive + 0.6 * rng.normal(size=(count, len(INTERACTIONS))),
        persona=persona,
        interest=0.6 * centers[persona] + 0.8 * own,
        latent=rng.normal(size=(count, LATENT_DIM)),
        tab_cdf=np.cumsum(tabs / tabs.sum(axis=1, keepdims=True), axis=1),
    )


def _draw_durations_ms(rng: np.random.Generator, count: int) -> Array:
    z = rng.normal(size=count)
    sigma = np.where(z < 0, *DURATION_SIGMA)
    seconds = MEDIAN_DURATION_S * np.exp(sigma * z)
    lengths_ms: Array = np.clip(seconds * 1000, 1_000, 10_800_000).astype(np.int64)
    return lengths_ms


def _popularity(rng: np.random.Generator, is_hot: Array) -> Array:
    """A near-uniform tail and 1 % hot videos: the published Gini and top share."""
    weight: Array = np.exp(rng.normal(0, 0.1, len(is_hot)))
    rank = rng.permutation(int(is_hot.sum()))
    hot_weight = (rank + 10.0) ** -0.5
    tail_total = weight[~is_hot].sum()
    weight[is_hot] = (
        hot_weight / hot_weight.sum() * tail_total * HOT_WEIGHT / (1 - HOT_WEIGHT)
    )
    return weight


def _choose_hot(rng: np.random.Generator, quality: Array, upload_day: Array) -> Array:
    """The 1 % that already went viral: old enough, and good with some luck."""
    luck = quality + rng.normal(0, 1.5, len(quality))
    luck[upload_day >= 0] = -np.inf
    hot = np.zeros(len(quality), bool)
    hot[np.argsort(luck)[-max(1, round(HOT_SHARE_OF_VIDEOS * len(hot))) :]] = True
    return hot


def _draw_upload_days(rng: np.random.Generator, topic: Array, days: int) -> Array:
    """[V] upload days: three videos in four are there before the first day."""
    upload_day = np.ceil(-rng.exponential(20, len(topic))).astype(np.int64) - 1
    fresh = rng.random(len(topic)) < 0.25 * min(1.0, days / 30)
    upload_day[fresh] = rng.integers(days, size=int(fresh.sum()))
    # Each topic starts with an old video, so that the feed can always draw.
    upload_day[np.unique(topic, return_index=True)[1]] = -1
    return upload_day


def draw_videos(
    rng: np.random.Generator, count: int, *, days: int, pool: int, dirty_share: float
) -> Videos:
    """Draws `count` videos, of which `pool` also serve the random exposure."""
    topic = rng.integers(TOPICS, size=count)
    topic[: min(TOPICS, count)] = np.arange(min(TOPICS, count))
    upload_day = _draw_upload_days(rng, topic, days)
    order = np.lexsort((upload_day, topic))
    topic, upload_day = topic[order], upload_day[order]
    authors = max(1, count // 8)
    author = (authors * rng.random(count) ** 1.5).astype(np.int64)
    is_ad = rng.random(count) < 0.01
    quality = 0.7 * rng.normal(size=authors)[author] + 0.7 * rng.normal(size=count)
    is_hot = _choose_hot(rng, quality, upload_day)
    dirty = (rng.random(count) < dirty_share) & ~is_hot
    duration_ms = _draw_durations_ms(rng, count)
    duration_ms[dirty] = rng.choice(DIRTY_DURATIONS_MS, int(dirty.sum()))
    latent = rng.normal(size=(authors, LATENT_DIM))[author]
    old = np.flatnonzero(upload_day < 0)
    return Videos(
        video_id=rng.permutation(count),
        author_id=author,
        topic=topic,
        second_topic=rng.integers(TOPICS, size=count),
        upload_day=upload_day,
        quality=quality - 0.8 * is_ad,
        appeal=0.5 * rng.normal(size=(count, len(INTERACTIONS))),
        latent=0.8 * latent + 0.6 * rng.normal(size=(count, LATENT_DIM)),
        duration_ms=duration_ms,
        is_ad=is_ad,
        is_hot=is_hot,
        dirty_duration=dirty,
        weight_cdf=np.concatenate([[0.0], np.cumsum(_popularity(rng, is_hot))]),
        topic_start=np.searchsorted(topic, np.arange(TOPICS + 1)),
        random_pool=rng.choice(old, min(pool, len(old)), replace=False),
    )
