"""Retrieval, fatigue and returning: each rule as it is stated."""

import numpy as np
import pytest

from pipeline.experiment import viewers
from pipeline.experiment.design import Arm, Design
from pipeline.experiment.errors import ExperimentError
from pipeline.experiment.rankers import REFERENCES, Round, best_first
from pipeline.experiment.retrieval import Catalogue, retrieve
from pipeline.experiment.run import _own_world
from pipeline.experiment.watching import WORTH, watch
from pipeline.simulator import exposure, world
from pipeline.simulator.block import LOG_COLUMNS

_DAY = 2


@pytest.fixture(scope="module")
def made():
    settings = _own_world(
        users=40,
        days=4,
        seed=1,
        rows_per_user_day=20,
        videos=400,
        trail_effect=1.0,
    )
    return world.create_world(settings)


@pytest.fixture(scope="module")
def constants(made):
    return world.calibrate(made).feed


def _retrieved(made, seen=(), count=60):
    users = np.arange(10)
    return retrieve(
        np.random.default_rng(0),
        Catalogue.of(made.videos, made.settings.days),
        made.users,
        users,
        made.users.interest[users],
        _DAY,
        count,
        np.asarray(seen, np.int64),
    )


@pytest.fixture(scope="module")
def asked(made, constants):
    trails = exposure.Trails(
        user=np.arange(10),
        day=np.full(10, _DAY),
        start_ms=np.full(10, 86_340_000),  # a minute before midnight
        gap_ms=np.zeros(10, np.int64),
        length=np.arange(1, 11) * 5,
        tab=np.ones(10, np.int64),
        number=np.zeros(10, np.int64),
    )
    return Round(
        made=made,
        constants=constants,
        day=_DAY,
        trails=trails,
        candidates=_retrieved(made),
    )


def test_candidates_are_there_new_and_once(made):
    found = _retrieved(made)
    keys = found.request * len(made.videos) + found.video
    assert (np.diff(keys) > 0).all()  # sorted, none twice
    assert (made.videos.upload_day[found.video] <= _DAY).all()
    assert np.bincount(found.request).min() > 30  # of 60 draws, few the same
    seen = np.sort(keys[::2])
    again = _retrieved(made, seen)
    assert not np.isin(again.request * len(made.videos) + again.video, seen).any()
    # The same draws otherwise: what is left is the others.
    assert len(again) == len(keys) - len(seen)


def test_boredom_is_the_share_of_the_last_eight_with_the_topic():
    topic = np.array([1, 1, 2, 1, 1, 1])
    trail = np.array([0, 0, 0, 0, 0, 7])
    assert viewers.boredom(topic, trail).tolist() == [0, 1 / 8, 0, 2 / 8, 3 / 8, 0]
    eight = viewers.boredom(np.ones(20, int), np.zeros(20, int))
    assert eight.max() == 1 and eight[8] == 1 and eight[7] == 7 / 8


def test_users_leave_what_bores_them_and_stay_with_what_is_worth_it():
    position = np.zeros(20_000, np.int64)

    def rate(bored, worth, at=0):
        left = viewers.leaves(
            np.random.default_rng(0), position + at, bored + position, worth + position
        )
        return left.mean()

    usual = rate(0.0, 0.5)
    assert usual == pytest.approx(1 / (1 + np.exp(4)), abs=0.004)  # sigmoid(LEAVE)
    assert rate(1.0, 0.5) > 2 * usual
    assert rate(0.0, 0.5, at=256) > 1.5 * usual
    assert rate(0.0, 1.0) < usual / 2 < rate(0.0, 0.0) / 4


def test_content_users_return_and_memories_fade():
    content = np.array([0.2, 0.5, 0.8]).repeat(20_000)
    came = (
        viewers.returns(np.random.default_rng(0), content).reshape(3, -1).mean(axis=1)
    )
    expected = 1 / (1 + np.exp(-(1.5 + 4 * np.array([-0.3, 0, 0.3]))))
    assert came == pytest.approx(expected, abs=0.01)
    after = viewers.next_content(np.array([0.5, 0.9]), np.array([0.9, np.nan]))
    assert after == pytest.approx([0.5 + 0.25 * 0.4, 0.9 - 0.1 * 0.4])


def test_a_trail_is_watched_from_its_begin_until_the_user_leaves(asked):
    scores = np.random.default_rng(1).random(len(asked.candidates))
    places, position = best_first(scores, asked)
    counts = np.bincount(asked.candidates.request[places])
    there = np.bincount(asked.candidates.request)
    assert (counts == np.minimum(asked.trails.length, there)).all()
    for request in range(10):
        mine = asked.candidates.request[places] == request
        assert (np.diff(scores[places[mine]]) < 0).all()  # the best first
        assert position[mine].tolist() == list(range(mine.sum()))
    streams = np.random.default_rng(2), np.random.default_rng(3)
    found = watch(asked, places, position, 1_000_000_000, streams)
    assert {*LOG_COLUMNS, "video", WORTH} < {*found.log.columns}
    begin_ms = found.log["time_ms"].to_numpy() - 1_000_000_000
    assert (begin_ms < exposure.DAY_MS).all()
    for (user,), lines in found.log.group_by("user_id", maintain_order=True):
        mine = places[asked.candidates.request[places] == user]
        shown = asked.candidates.video[mine][: lines.height]
        assert lines["video"].to_list() == shown.tolist()  # none is left out
        assert lines["time_ms"].is_sorted()
        assert found.ends_ms[user] > lines["time_ms"].max() - 1_000_000_000
    assert found.log.height < len(places)  # somebody left, or midnight came


def test_reference_rankers_order_by_what_they_say(asked):
    rng = np.random.default_rng(0)
    scores = {name: score(rng, asked) for name, score in REFERENCES.items()}
    assert (scores["antioracle"] == -scores["oracle"]).all()
    weight = np.diff(asked.made.videos.weight_cdf)[asked.candidates.video]
    assert (scores["popular"] == weight).all()
    means = {}
    for name, values in scores.items():
        places, _ = best_first(values, asked)
        means[name] = scores["oracle"][places].mean()
    assert means["oracle"] > means["feed"] > means["random"] > means["antioracle"]
    # One in four candidates wins in the feed, and winners go first.
    first = scores["feed"] >= 1
    in_fours = -(-np.bincount(asked.candidates.request) // 4)
    assert (np.bincount(asked.candidates.request, first) == in_fours).all()


def test_users_are_split_by_a_hash_of_their_own(made):
    def design(count, seed=3, **changed):
        arms = tuple(Arm(name=str(n), kind="random") for n in range(count))
        values = {"days": 2, "pre_days": 2, "history_days": 0, "candidates": 9}
        values |= {"rows_per_user_day": 9.0, "settings": made.settings, "seed": seed}
        return Design(arms=arms, **(values | changed))

    ids = np.arange(30_000)
    found = design(3).assign(ids)
    assert np.bincount(found) == pytest.approx(10_000, abs=300)
    assert (found[17:40] == design(3).assign(ids[17:40])).all()  # whoever is beside
    assert (found != design(3, seed=4).assign(ids)).mean() > 0.6
    assert (design(3).serving(ids, 1) == 0).all()  # the control on the days before
    for changed in ({"days": 0}, {"candidates": 0}, {"rows_per_user_day": 0.0}):
        with pytest.raises(ExperimentError, match=f"--{next(iter(changed))}: must be"):
            design(2, **changed)
    with pytest.raises(ExperimentError, match="a control and 1 to"):
        design(1)
