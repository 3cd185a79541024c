"""What users do with what they see, with known probabilities.

A play time is drawn from two log-logistic laws: with log-odds `watch` the user stays
(median `exp(depth)` seconds), else swipes away (median about a second). The labels are
thresholds on that play time, so their true probabilities are values of its survival
function: no sampling, no approximation. Interactions are coins whose probability is
known too; all but hate need a valid play.

The trail moves every behaviour by one curve, g(position) in [0, 1], times a known
coefficient. `u_` probabilities are those at g = 0, the start of a trail.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.arrays import Array
from pipeline.simulator import exposure, population

# P(play >= t) = 1 / (1 + (t / median) ** shape). Shapes 4 and 2 have closed forms for
# the mean of a capped play; a staying law of shape 2 would reach the published long
# views only with 1.5 times the published complete plays.
STAY_SHAPE = 4
SWIPE_SHAPE = 2
SKIP_MEDIAN_S = 1.3
PLAY_CAP_S = 1500.0  # the player stops here; below the 30 minutes that end a trail
COMPLETION_CAP = 3.0
TRAIL_LAST_POSITION = 256  # the curve is flat from here on
# Log-odds (of staying, of interactions) or log-seconds at the end of the curve.
TRAIL_EFFECT = {
    "watch": -0.7,
    "depth": -0.2,
    "swipe": -0.25,
    "is_like": -0.8,
    "is_follow": -0.9,
    "is_comment": -0.6,
    "is_forward": -0.4,
    "is_profile_enter": -0.7,
    "is_hate": 0.8,
}
TAB_EFFECT = np.array(
    [-0.5, 0, 0.3, 0, -0.25, 0.1, 0.25, 0, 0, -0.2, 0, 0.2, 0, -0.6, 0.4]
)
MATCH_EFFECT = 0.9
QUALITY_EFFECT = 0.35
DEPTH_APPEAL = 0.15  # log-seconds for one unit of log-odds of appeal
HOT_EFFECT = 0.2
LENGTH_EFFECT = 0.35  # log-odds to stay, for each log-unit of length
HOUR_EFFECT = 0.15  # people stay longest at 22:00
# Log-odds of an interaction for one unit of match and of quality (hate: dislike).
INTERACTION_MATCH = np.array([0.6, 0.6, 0.4, 0.4, 0.5, -0.7])
INTERACTION_QUALITY = np.array([0.4, 0.4, 0.2, 0.5, 0.3, -0.4])
SIGNALS = (
    "is_click",
    "long_view",
    "complete",
    "skip",
    *population.INTERACTIONS,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intercepts:
    """The calibrated constants of one kind of exposure (feed or random).

    Each is one number, or one for each of N impressions (`mixed`).

    Attributes:
        watch: Log-odds to stay for the mean impression.
        depth: Log-seconds of the median watch of a 27 s video.
        length_exponent: Growth of log-seconds with the log of the video's length.
        interactions: [interactions] log-odds of each of population.INTERACTIONS.
    """

    watch: float | Array
    depth: float | Array
    length_exponent: float | Array
    interactions: Array

    @classmethod
    def mixed(
        cls, feed: Intercepts, random: Intercepts, is_random: Array
    ) -> Intercepts:
        """The constants of each impression; is_random [N] bool."""
        return cls(
            watch=np.where(is_random, random.watch, feed.watch),
            depth=np.where(is_random, random.depth, feed.depth),
            length_exponent=np.where(
                is_random, random.length_exponent, feed.length_exponent
            ),
            interactions=np.where(
                is_random[:, np.newaxis], random.interactions, feed.interactions
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Utilities:
    """Causes of behaviour of N impressions, before intercepts and trail effect.

    Attributes:
        watch: [N] log-odds to stay.
        depth: [N] log-seconds.
        log_length: [N] log of the length over 27 s, of the length as perceived.
        swipe: [N] log-seconds of the swipe-away time.
        interactions: [N, interactions] log-odds.
        duration_ms: [N]
        trail: [N] g(position) in [0, 1], times the simulation's `trail_effect`.
    """

    watch: Array
    depth: Array
    log_length: Array
    swipe: Array
    interactions: Array
    duration_ms: Array
    trail: Array

    @classmethod
    def concatenate(cls, parts: list[Utilities]) -> Utilities:
        """All impressions of all parts, in order."""
        fields = [field.name for field in dataclasses.fields(cls)]
        return cls(
            **{n: np.concatenate([getattr(p, n) for p in parts]) for n in fields}
        )

    def without_trail(self) -> Utilities:
        """The same impressions, each at the start of a trail."""
        return dataclasses.replace(self, trail=np.zeros_like(self.trail))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayLaw:
    """Law of the play times of N impressions; all attributes are [N].

    Attributes:
        stay: Probability of the first law.
        stay_s, swipe_s: Medians of the two laws in seconds.
    """

    stay: Array
    stay_s: Array
    swipe_s: Array

    def survival(self, seconds: Array) -> Array:
        """P(play time >= seconds) [N]; zero beyond the cap of the player."""
        stay = 1 / (1 + (seconds / self.stay_s) ** STAY_SHAPE)
        swipe = 1 / (1 + (seconds / self.swipe_s) ** SWIPE_SHAPE)
        alive = self.stay * stay + (1 - self.stay) * swipe
        return np.where(seconds <= PLAY_CAP_S, alive, 0.0)

    def mean_capped(self, seconds: Array) -> Array:
        """E[min(play time, seconds)] [N]: the integral of the survival function."""
        upto = np.minimum(seconds, PLAY_CAP_S)
        stay = self.stay_s * _integral_shape_4(upto / self.stay_s)
        swipe = self.swipe_s * np.arctan(upto / self.swipe_s)
        mean: Array = self.stay * stay + (1 - self.stay) * swipe
        return mean

    def sample_ms(self, rng: np.random.Generator) -> Array:
        """[N] play times in whole milliseconds, rounded down.

        Rounding down keeps P(play_time_ms >= k) exact for every whole k.
        """
        stays = rng.random(len(self.stay)) < self.stay
        uniform = rng.random(len(self.stay))
        seconds = np.where(stays, self.stay_s, self.swipe_s)
        shape = np.where(stays, STAY_SHAPE, SWIPE_SHAPE)
        seconds *= (uniform / (1 - uniform)) ** (1 / shape)
        return (np.minimum(seconds, PLAY_CAP_S) * 1000).astype(np.int64)


def _integral_shape_4(x: Array) -> Array:
    """Integral of 1 / (1 + t ** 4) over t from 0 to x."""
    root = np.sqrt(2)
    logarithm = np.log((x * x + root * x + 1) / (x * x - root * x + 1)) / 2
    integral: Array = (
        logarithm + np.arctan(root * x + 1) + np.arctan(root * x - 1)
    ) / (2 * root)
    return integral


def sigmoid(logits: Array) -> Array:
    """Log-odds -> probability."""
    shares: Array = 1 / (1 + np.exp(-logits))
    return shares


def trail_curve(position: Array) -> Array:
    """g: 0 at the first position, 1 from TRAIL_LAST_POSITION on, concave."""
    capped = np.minimum(position, TRAIL_LAST_POSITION)
    curve: Array = np.log1p(capped) / np.log1p(TRAIL_LAST_POSITION)
    return curve


def valid_play_from_ms(duration_ms: Array) -> Array:
    """Least play time that is a valid play: the whole video, or more than 7 s."""
    return np.where(duration_ms <= 7_000, duration_ms, 7_001)


def long_view_from_ms(duration_ms: Array) -> Array:
    """Least play time that is a long view: the whole video, or 18 s."""
    return np.where(duration_ms <= 18_000, duration_ms, 18_000)


def skip_below_ms(duration_ms: Array) -> Array:
    """Play times below this are short plays."""
    return np.minimum(duration_ms, 3_000)


def play_labels(play_time_ms: Array, duration_ms: Array) -> dict[str, Array]:
    """The labels that are functions of play time and length, as 0 / 1 [N]."""
    labels = {
        "is_click": play_time_ms >= valid_play_from_ms(duration_ms),
        "long_view": play_time_ms >= long_view_from_ms(duration_ms),
        "complete": play_time_ms >= duration_ms,
        "skip": play_time_ms < skip_below_ms(duration_ms),
    }
    return {name: label.astype(np.int64) for name, label in labels.items()}


def utilities(
    users: population.Users,
    videos: population.Videos,
    trails: exposure.Trails,
    shown: exposure.Impressions,
    day_effect: Array,
) -> Utilities:
    """Gathers the causes of every impression; day_effect [days] is log-odds."""
    user, video = trails.user[shown.trail], shown.video
    group = users.group[user]
    match = exposure.GROUP_MATCH[group] * shown.match
    quality = exposure.GROUP_QUALITY[group] * videos.quality[video]
    hour = (trails.start_ms / 3_600_000 % 24)[shown.trail]
    length_s = np.clip(videos.duration_ms[video] / 1000, 2, 900)
    log_length = np.log(length_s / population.MEDIAN_DURATION_S)
    appeal = MATCH_EFFECT * match + QUALITY_EFFECT * quality
    watch = users.baseline[user] + appeal + LENGTH_EFFECT * log_length
    watch += HOT_EFFECT * videos.is_hot[video]
    watch += TAB_EFFECT[trails.tab[shown.trail]]
    watch += HOUR_EFFECT * np.cos((hour - 22) / 24 * 2 * np.pi)
    watch += day_effect[trails.day[shown.trail]]
    interactions = users.taste[user] + videos.appeal[video]
    interactions += np.outer(match, INTERACTION_MATCH)
    interactions += np.outer(quality, INTERACTION_QUALITY)
    return Utilities(
        watch=watch,
        depth=users.depth[user] + DEPTH_APPEAL * appeal,
        log_length=log_length,
        swipe=np.log(SKIP_MEDIAN_S) + 0.15 * users.baseline[user],
        interactions=interactions,
        duration_ms=videos.duration_ms[video],
        trail=trail_curve(shown.position),
    )


def play_law(causes: Utilities, constants: Intercepts) -> PlayLaw:
    """The law of play times under the trail effect that `causes` carries."""
    depth = constants.depth + causes.depth + TRAIL_EFFECT["depth"] * causes.trail
    depth = depth + constants.length_exponent * causes.log_length
    watch = constants.watch + causes.watch + TRAIL_EFFECT["watch"] * causes.trail
    swipe = causes.swipe + TRAIL_EFFECT["swipe"] * causes.trail
    return PlayLaw(stay=sigmoid(watch), stay_s=np.exp(depth), swipe_s=np.exp(swipe))


def plays_from_s(duration_ms: Array) -> dict[str, Array]:
    """The least play time [N] in seconds of each label that a long play has."""
    return {
        "is_click": valid_play_from_ms(duration_ms) / 1000,
        "long_view": long_view_from_ms(duration_ms) / 1000,
        "complete": duration_ms / 1000,
    }


def play_probabilities(law: PlayLaw, duration_ms: Array) -> dict[str, Array]:
    """True probability [N] of every label that play time decides."""
    found = {name: law.survival(s) for name, s in plays_from_s(duration_ms).items()}
    return {**found, "skip": 1 - law.survival(skip_below_ms(duration_ms) / 1000)}


def interaction_given_play(causes: Utilities, constants: Intercepts) -> Array:
    """[N, interactions] probability of each, given a valid play (hate: given any)."""
    effect = np.array([TRAIL_EFFECT[name] for name in population.INTERACTIONS])
    logits = causes.interactions + constants.interactions
    return sigmoid(logits + np.outer(causes.trail, effect))


def probabilities(causes: Utilities, constants: Intercepts) -> dict[str, Array]:
    """True probability [N] of every signal, and the expected `completion`.

    completion = E[min(play / duration, 3)]; the rounding of play times to whole
    milliseconds, at most 0.5 ms over the duration, is left out.
    """
    law = play_law(causes, constants)
    result = play_probabilities(law, causes.duration_ms)
    coins = interaction_given_play(causes, constants)
    for column, name in enumerate(population.INTERACTIONS):
        reached = 1.0 if name == "is_hate" else result["is_click"]
        result[name] = reached * coins[:, column]
    duration_s = causes.duration_ms / 1000
    result["completion"] = law.mean_capped(COMPLETION_CAP * duration_s) / duration_s
    return result


def sample_interactions(
    rng: np.random.Generator, coins: Array, is_click: Array
) -> dict[str, Array]:
    """Tosses the coins [N, interactions]; all but hate need a valid play."""
    tossed = (rng.random(coins.shape) < coins).astype(np.int64)
    tossed[:, :-1] *= is_click[:, np.newaxis]  # is_hate is the last one
    return {name: tossed[:, i] for i, name in enumerate(population.INTERACTIONS)}
