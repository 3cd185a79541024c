"""Do the off-policy bands cover what an order would truly bring, 95 times in 100?

    python benchmarks/study_off_policy.py [--quick]

Each seed is a world of the simulator: users, videos, trails, positions, true behaviour.
Random impressions stand in its trails. Two fused scores, of predictions that know the
true probabilities (at the start of a trail, as served) up to noise by user and video,
order the candidates. A log has some users' random impressions, and
`pipeline.fusion_search.off_policy` says of it what showing the best of K would bring:
under each score, and how much more under the one, by all sets (SNIPS) and by replay.

The truth: for each random place of *all* users of that world K videos are drawn from
the pool, the first by the score is shown, and its true probabilities there count, with
the trail's effect. So it is the policy itself, not the estimator on more rows.

Prints a table, and as the last line one JSON object. No TensorFlow.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence

import measured
import numpy as np
import rich.console
from rich.table import Table

from pipeline.arrays import Array
from pipeline.fusion_search import off_policy
from pipeline.fusion_search.judging import difference
from pipeline.fusion_search.off_policy import Outcomes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import new_table
from pipeline.simulator import behaviour, exposure, world
from pipeline.simulator.world import World

_K, _OTHERS = (
    10,
    40,
)  # candidates of a set; those scored beside each, as the command has
_NOISE = 1.0  # of the predictions, in log-odds
_SIGNALS = ("is_click", "long_view", "skip", "is_like")
_WORTH = {"long_view": 1.0, "is_like": 5.0, "skip": -0.5}  # the utility
_ORDERS = {
    "default": {"is_click": 0.5, "long_view": 1.0, "skip": -0.3},
    "found": {"long_view": 0.5, "is_like": 0.3, "skip": -1.5},
}
_VALUE, _CHANGE = "value", "change"


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """How large all is.

    Attributes:
        seeds: Worlds.
        users: Of a world, whose mean is the truth.
        logged: Of these, those of the log.
        rows: A user's, feed and random; three of ten are random.
    """

    seeds: int
    users: int
    logged: int
    rows: float


_FULL = _Sizes(seeds=100, users=3_000, logged=150, rows=60)
_QUICK = _Sizes(seeds=4, users=400, logged=60, rows=40)


def main() -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="four small worlds")
    args = parser.parse_args()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    found = [measure(seed, sizes) for seed in range(sizes.seeds)]
    rich.console.Console(width=measured.COLUMNS).print(_table(found, sizes))
    print(json.dumps(_summary(found, sizes, time.process_time() - began)))


# --- one world ------------------------------------------------------------------------


class Slice:
    """The random places of a world's trails, N of them.

    Args:
        seed: Of the world.
        users: In it.
        rows: Of a user, three of ten at random.
    """

    def __init__(self, seed: int, users: int, rows: float):
        settings = world.Settings(
            users=users,
            days=1,
            seed=seed,
            start=datetime.date(2022, 4, 8),
            rows_per_user_day=rows,
            videos=None,
            random_share=0.3,
            dirty_share=0.0,
            trail_effect=1.0,
        )
        self._made: World = world.create_world(settings)
        self._constants = world.calibrate(self._made).random
        self.pool = self._made.videos.random_pool
        self._trails = self._made.plan(0, np.arange(users))
        draw = np.random.default_rng([seed, 100])
        trail = np.repeat(np.arange(len(self._trails)), self._trails.length)
        begins = np.cumsum(self._trails.length) - self._trails.length
        position = np.arange(len(trail)) - begins[trail]
        is_random = draw.random(len(trail)) < settings.random_share
        self._trail, self._position = trail[is_random], position[is_random]
        self.user = self._trails.user[self._trail]
        people = self._made.users
        self._interests = exposure.draw_interests(draw, people.interest, 1)[:, 0]
        noise = draw.normal(0, _NOISE, (len(_SIGNALS), users, len(self.pool)))
        self._noise = noise.astype(np.float32)

    def causes(self, place: Array, item: Array) -> behaviour.Utilities:
        """Those of items of the pool [N] at places [N]."""
        video, user = self.pool[item], self.user[place]
        made = self._made
        match = exposure.match_of(
            made.users, made.videos, user, video, self._interests, user
        )
        shown = exposure.Impressions(
            trail=self._trail[place],
            position=self._position[place],
            video=video,
            match=match,
            is_random=np.ones(len(place), bool),
        )
        return made.causes(self._trails, shown)

    def truth(self, place: Array, item: Array) -> dict[str, Array]:
        """True probabilities, with the effect of the trail."""
        return behaviour.probabilities(self.causes(place, item), self._constants)

    def scores(self, place: Array, item: Array) -> dict[str, Array]:
        """Order -> log scores, of noisy predictions at the start of a trail."""
        causes = self.causes(place, item).without_trail()
        known = behaviour.probabilities(causes, self._constants)
        logs = {}
        for row, name in enumerate(_SIGNALS):
            chance = np.clip(known[name], 1e-9, 1 - 1e-9)
            noise = self._noise[row, self.user[place], item]
            logs[name] = np.log(
                behaviour.sigmoid(np.log(chance / (1 - chance)) + noise)
            )
        return {
            order: sum(weight * logs[name] for name, weight in weights.items())
            for order, weights in _ORDERS.items()
        }

    def outcomes(self, place: Array, item: Array, seed: int) -> dict[str, Array]:
        """What users did, drawn by the behaviour model."""
        draw = np.random.default_rng([seed, 101])
        causes = self.causes(place, item)
        play = behaviour.play_law(causes, self._constants).sample_ms(draw)
        labels = behaviour.play_labels(play, causes.duration_ms)
        coins = behaviour.interaction_given_play(causes, self._constants)
        labels |= behaviour.sample_interactions(draw, coins, labels["is_click"])
        return labels


def with_value(signals: Mapping[str, Array]) -> dict[str, Array]:
    """The signals of the utility [N], and the utility."""
    found = {name: np.asarray(signals[name], np.float64) for name in _WORTH}
    value = sum(weight * found[name] for name, weight in _WORTH.items())
    return {_VALUE: value, **found}


def true_means(made: Slice, seed: int) -> dict[str, dict[str, float]]:
    """Order -> outcome -> its mean if the first of K were shown."""
    draw = np.random.default_rng([seed, 102])
    places = np.repeat(np.arange(len(made.user)), _K)
    items = draw.integers(0, len(made.pool), len(places))
    found = {}
    for order, scores in made.scores(places, items).items():
        best = np.argmax(scores.reshape(-1, _K), axis=1)
        chosen = items.reshape(-1, _K)[np.arange(len(best)), best]
        shown = with_value(made.truth(np.arange(len(best)), chosen))
        found[order] = {name: float(p.mean()) for name, p in shown.items()}
    return found


def measure(seed: int, sizes: _Sizes) -> dict[str, dict[str, dict[str, float]]]:
    """Way -> order or change -> outcome -> whether it is covered, and its error."""
    made = Slice(seed, sizes.users, sizes.rows)
    truths = true_means(made, seed)
    truths[_CHANGE] = {
        name: truths["found"][name] - truths["default"][name]
        for name in truths["default"]
    }
    draw = np.random.default_rng([seed, 103])
    chosen = draw.choice(sizes.users, sizes.logged, replace=False)
    place = np.flatnonzero(np.isin(made.user, chosen))
    item = draw.integers(0, len(made.pool), len(place))
    values = with_value(made.outcomes(place, item, seed))
    outcomes = Outcomes(
        users=np.unique(made.user[place], return_inverse=True)[1],
        values=values,
        known=dict.fromkeys(values, np.ones(len(place))),
    )
    others = item[draw.integers(0, len(item), (len(item), _OTHERS))]
    found = {}
    for way, beside in (("SNIPS", others), ("replay", others[:, : _K - 1])):
        weights = _weights(made, place, item, beside)
        bands = _bands(outcomes, weights)
        found[way] = {
            which: {
                name: _judged(band, truths[which][name]) for name, band in own.items()
            }
            for which, own in bands.items()
        }
        found[way]["size"] = {
            "rows": float(len(place)),
            "ess": float(np.mean([off_policy.effective(w) for w in weights.values()])),
        }
    return found


def _weights(made: Slice, place: Array, item: Array, others: Array) -> dict[str, Array]:
    """Order -> importance weights [N] of what was logged."""
    items = np.concatenate([item[:, np.newaxis], others], axis=1)
    places = np.repeat(place, items.shape[1])
    scored = made.scores(places, items.ravel())
    both = {order: scores.reshape(items.shape) for order, scores in scored.items()}
    return {
        order: off_policy.set_weights(scores[:, 0], scores[:, 1:], _K)
        for order, scores in both.items()
    }


def _bands(
    outcomes: Outcomes, weights: Mapping[str, Array]
) -> dict[str, dict[str, Gain]]:
    bands = {
        order: {n: off_policy.estimate(outcomes, n, own) for n in outcomes.values}
        for order, own in weights.items()
    }
    bands[_CHANGE] = {
        name: difference(
            *(outcomes.by_user(name, weights[order]) for order in ("found", "default"))
        )
        for name in outcomes.values
    }
    return bands


def _judged(band: Gain, truth: float) -> dict[str, float]:
    return {
        "covered": float(band.low <= truth <= band.high),
        "error": band.mean - truth,
        "half": band.half,
        "truth": truth,
    }


# --- all of them ----------------------------------------------------------------------


def _table(found: Sequence[dict], sizes: _Sizes) -> Table:
    heads = ("estimate", "of", "truth", "bias", "sd of error", "half width", "covered")
    table = new_table(f"95 % bands over {sizes.seeds} seeds", heads, texts=("of",))
    for (way, which, name), own in _told(found).items():
        table.add_row(
            way,
            f"{which}: {name}",
            *(f"{own[key]:.4f}" for key in ("truth", "bias", "sd", "half")),
            f"{own['covered']:.0f}",
        )
    return table


def _told(found: Sequence[dict]) -> dict[tuple[str, str, str], dict[str, float]]:
    """(way, order or change, outcome) -> what came out over all seeds."""
    told = {}
    for way, orders in found[0].items():
        for which, outcomes in orders.items():
            if which == "size":
                continue
            for name in outcomes:
                own = [one[way][which][name] for one in found]
                errors = np.array([o["error"] for o in own])
                told[way, which, name] = {
                    "truth": float(np.mean([o["truth"] for o in own])),
                    "bias": float(errors.mean()),
                    "bias_se": float(errors.std(ddof=1) / np.sqrt(len(own))),
                    "sd": float(errors.std(ddof=1)),
                    "half": float(np.mean([o["half"] for o in own])),
                    "covered": sum(o["covered"] for o in own),
                }
    return told


def _summary(found: Sequence[dict], sizes: _Sizes, seconds: float) -> dict:
    mean: Callable[[str, str], float] = lambda way, key: round(  # noqa: E731
        float(np.mean([one[way]["size"][key] for one in found])), 1
    )
    return {
        "study": "off_policy",
        "seeds": sizes.seeds,
        "users": sizes.logged,
        "random_rows": mean("SNIPS", "rows"),
        "candidates": _K,
        "ess": {way: mean(way, "ess") for way in found[0]},
        "covered": {" ".join(key): own["covered"] for key, own in _told(found).items()},
        "bias_in_se": {
            " ".join(key): round(own["bias"] / own["bias_se"], 2)
            for key, own in _told(found).items()
        },
        "cpu_s": round(seconds),
        "machine": measured.machine(),
        "commit": measured.commit(),
    }


if __name__ == "__main__":
    main()
