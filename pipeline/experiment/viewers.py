"""What makes users leave a trail, come back, and find their time well spent.

All of it follows from one hidden value of an impression, its *worth* in (0, 1): how
well the video suits the user, less what has worn out. No label, no feature shows it.

    worth = sigmoid(WORTH_MATCH * match + WORTH_QUALITY * quality - WORTH_BORED * bored)

`match` and `quality` are the simulator's, scaled for the user's group as in behaviour.
`bored` is fatigue: the share of the last `MEMORY` impressions of the trail that had the
same main topic. It also lowers the log-odds to watch (`WATCH_BORED`).

    P(leave after an impression)
        = sigmoid(LEAVE + LEAVE_LONG * g(position) + LEAVE_BORED * bored
                  - LEAVE_WORTH * (worth - 1/2))
    P(open the app on a planned day)
        = sigmoid(RETURN + RETURN_CONTENT * (content - 1/2))

g is the trail's curve of `behaviour`. `content` is a running mean of the worth of the
days that the user came; on a day away it moves towards 1/2, as memories fade.

The long-term measure, *overall enjoyment*, is the mean over all days, 0 for a day away,
of log(1 + minutes well spent), where a minute of watching counts by its worth. So it
rises when users come back and when their time is well spent, and the first minutes of a
day count most.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Array, Bools, Ints
from pipeline.simulator import behaviour, exposure, population

WORTH_MATCH = 1.2
WORTH_QUALITY = 0.5
WORTH_BORED = 1.0
WATCH_BORED = 0.5
MEMORY = 8
LEAVE = -4.0
LEAVE_LONG = 1.0
LEAVE_BORED = 1.5
LEAVE_WORTH = 3.0
RETURN = 1.5
RETURN_CONTENT = 4.0
CONTENT_AT_FIRST = 0.5
CONTENT_STEP = 0.25  # how far a day moves it
FADING = 0.1  # how far a day away does


def boredom(topic: Ints, trail: Ints) -> Array:
    """[N] share of the `MEMORY` impressions before with the same topic.

    Args:
        topic: [N] main topic, in the order of trails.
        trail: [N] number of the trail.
    """
    found = np.zeros(len(topic))
    for back in range(1, min(MEMORY, len(topic) - 1) + 1):
        found[back:] += (topic[back:] == topic[:-back]) & (
            trail[back:] == trail[:-back]
        )
    return found / MEMORY


def worth(
    users: population.Users,
    videos: population.Videos,
    user: Ints,
    video: Ints,
    match: Array,
    bored: Array | float = 0.0,
) -> Array:
    """[N] worth of watching; user, video and match are [N]."""
    group = users.group[user]
    value = WORTH_MATCH * exposure.GROUP_MATCH[group] * match
    value += WORTH_QUALITY * exposure.GROUP_QUALITY[group] * videos.quality[video]
    return behaviour.sigmoid(value - WORTH_BORED * bored)


def leaves(
    rng: np.random.Generator, position: Ints, bored: Array, worth_: Array
) -> Bools:
    """[N] whether the user would leave after each impression."""
    curve = behaviour.trail_curve(position)
    logits = LEAVE + LEAVE_LONG * curve + LEAVE_BORED * bored
    logits -= LEAVE_WORTH * (worth_ - 0.5)
    left: Bools = rng.random(len(position)) < behaviour.sigmoid(logits)
    return left


def returns(rng: np.random.Generator, content: Array) -> Bools:
    """[U] whether each user opens the app on a day planned for it."""
    chance = behaviour.sigmoid(RETURN + RETURN_CONTENT * (content - 0.5))
    opened: Bools = rng.random(len(content)) < chance
    return opened


def next_content(content: Array, mean_worth: Array) -> Array:
    """[U] after a day; `mean_worth` [U] is NaN for those who were away."""
    away = np.isnan(mean_worth)
    towards = np.where(away, CONTENT_AT_FIRST, mean_worth)
    return content + np.where(away, FADING, CONTENT_STEP) * (towards - content)


def enjoyment(minutes: Array) -> Array:
    """[U] of a day, of minutes well spent [U]."""
    enjoyed: Array = np.log1p(minutes)
    return enjoyed
