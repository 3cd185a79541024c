"""Which videos compete for a trail: simple, the same for every arm, and stated.

Of a request's draws, `INTEREST_SHARE` choose a topic by the user's interest of the day
times its supply, then a video of it by popularity, as the simulator's own feed does;
`FRESH_SHARE` choose among the videos uploaded that day or the day before; the others
any video that is there. Videos drawn twice and those that the user has been shown since
the experiment began drop out.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.arrays import Array, Bools, Ints
from pipeline.simulator import exposure, population

INTEREST_SHARE = 0.8
FRESH_SHARE = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates:
    """N candidates of Q requests, by request and then by video.

    Attributes:
        request: [N] row of the request.
        video: [N] row in Videos.
        match: [N] how well the video's topics fit the user on that day.
    """

    request: Ints
    video: Ints
    match: Array

    def __len__(self) -> int:
        return len(self.video)

    def take(self, keep: Bools) -> Candidates:
        """The candidates where `keep` [N] is true, or those at places."""
        return Candidates(**{name: v[keep] for name, v in vars(self).items()})


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The videos as retrieval sees them.

    Attributes:
        videos: All of the world.
        until: [TOPICS, days] end of the slice that is uploaded by each day.
    """

    videos: population.Videos
    until: Array

    @classmethod
    def of(cls, videos: population.Videos, days: int) -> Catalogue:
        return cls(videos, videos.available_until(days))

    def there(self, day: int, newest: int | None = None) -> Ints:
        """Rows of the videos uploaded by a day; of the `newest` days only."""
        upload = self.videos.upload_day
        found = upload <= day
        if newest is not None:
            found &= upload > day - newest
        return np.flatnonzero(found)


def retrieve(
    rng: np.random.Generator,
    catalogue: Catalogue,
    users: population.Users,
    user: Ints,
    interests: Array,
    day: int,
    count: int,
    seen: Ints,
) -> Candidates:
    """At most `count` candidates for each of Q requests.

    Args:
        rng: Of this retrieval alone.
        catalogue: The videos.
        users: Of the world.
        user: [Q] id of who asks.
        interests: [Q, TOPICS] theirs on that day.
        day: Of the world.
        count: Draws a request.
        seen: Sorted keys `user * videos + video` of what was shown before.
    """
    videos = catalogue.videos
    request = np.repeat(np.arange(len(user)), count)
    video = _by_interest(rng, catalogue, interests, request, day)
    chance = rng.random(len(request))
    fresh, any_ = catalogue.there(day, 2), catalogue.there(day)
    for low, pool in ((INTEREST_SHARE, fresh), (INTEREST_SHARE + FRESH_SHARE, any_)):
        drawn = rng.random(len(request))
        chosen = chance >= low
        if len(pool):
            places = (drawn[chosen] * len(pool)).astype(np.int64)
            video[chosen] = pool[places]
    keys = np.unique(request * len(videos) + video)
    request, video = np.divmod(keys, len(videos))
    asked = user[request] * len(videos) + video
    place = np.minimum(np.searchsorted(seen, asked), max(len(seen) - 1, 0))
    is_new = seen[place] != asked if len(seen) else np.ones(len(asked), bool)
    request, video = request[is_new], video[is_new]
    match = exposure.match_of(users, videos, user[request], video, interests, request)
    return Candidates(request=request, video=video, match=match)


def _by_interest(
    rng: np.random.Generator,
    catalogue: Catalogue,
    interests: Array,
    request: Ints,
    day: int,
) -> Ints:
    """A video [N] for each draw, by topic and popularity."""
    videos, until = catalogue.videos, catalogue.until
    begins = videos.weight_cdf[videos.topic_start[:-1]]
    supply = videos.weight_cdf[until[:, day]] - begins  # [TOPICS]
    cdf = exposure.topic_cdf(interests, supply)
    days = np.full(len(request), day)
    return exposure.retrieve(rng, videos, cdf, until, request, days)
