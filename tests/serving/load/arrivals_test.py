"""Poisson times against arithmetic, and open-loop sending on the real clock."""

import asyncio

import numpy as np
import pytest

from serving.load.arrivals import TIMEOUT, arrival_times, send_when_due


def test_times_are_sums_of_the_generators_exponential_gaps():
    """Inter-arrival times of a Poisson process: exponential with mean 1 / rate."""
    expected = np.cumsum(np.random.default_rng(7).exponential(1 / 50, 600))
    found = arrival_times(rate=50, seconds=10, most=10_000, seed=7)
    assert found.tolist() == expected[expected <= 10].tolist()
    assert arrival_times(50, 10, 3, 7).tolist() == pytest.approx(expected[:3].tolist())


def test_a_long_time_has_as_many_arrivals_as_the_rate_says():
    """Their number is Poisson's: mean and variance 100,000. Six deviations."""
    found = arrival_times(rate=1000, seconds=100, most=10**9, seed=1)
    assert abs(len(found) - 100_000) < 6 * np.sqrt(100_000)
    gaps = np.diff(found)
    assert (gaps >= 0).all() and found[-1] <= 100
    # an exponential's standard deviation is its mean
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_times_go_on_after_a_draw_that_ended_too_early():
    """Draws are taken by the hundred; where the first fall short, more follow."""
    for seed in range(200):
        found = arrival_times(rate=1, seconds=1000, most=10**6, seed=seed)
        assert 1000 - found[-1] < 40  # exp(-40) is the chance of a longer gap
    assert len(arrival_times(rate=1000, seconds=100, most=77, seed=0)) == 77


def _sent(send, due_s, most_in_flight=10**6):
    return asyncio.run(send_when_due(send, np.array(due_s), most_in_flight))


def test_a_latency_counts_from_when_the_request_was_due():
    """The first blocks the generator for 0.3 s; the second was due long before."""

    async def send(number):
        if number == 0:
            end = asyncio.get_running_loop().time() + 0.3
            while asyncio.get_running_loop().time() < end:
                pass
        return ""

    found = _sent(send, [0.0, 0.01])
    assert found.answered == 2
    assert found.latency_s[1] >= 0.29 - 1e-6
    assert found.lag_s[1] >= 0.29 - 1e-6
    assert found.lag_s[0] < found.lag_s[1]


def test_requests_do_not_wait_for_each_other():
    """Ten that all wait until the tenth was sent: a closed loop would wait for ever."""
    all_sent = asyncio.Event()

    async def send(number):
        if number == 9:
            all_sent.set()
        await asyncio.wait_for(all_sent.wait(), 60)
        return ""

    found = _sent(send, np.linspace(0, 0.02, 10))
    assert (found.answered, found.not_sent, found.errors) == (10, 0, {})


def test_those_due_while_too_many_wait_are_counted_and_not_sent():
    release = asyncio.Event()
    sent = []

    async def send(number):
        sent.append(number)
        if len(sent) == 3:
            asyncio.get_running_loop().call_later(0.2, release.set)
        await release.wait()
        return ""

    found = _sent(send, [0.0, 0.001, 0.002, 0.003, 0.004], most_in_flight=3)
    assert sent == [0, 1, 2]
    assert (found.answered, found.not_sent) == (3, 2)
    assert len(found.lag_s) == len(found.latency_s) == 3


def test_errors_are_counted_by_kind_and_only_time_outs_have_a_latency():
    kinds = ["", "HTTP 503", TIMEOUT, "HTTP 503", "connect"]

    async def send(number):
        return kinds[number]

    found = _sent(send, [0.0] * 5)
    assert found.errors == {"HTTP 503": 2, TIMEOUT: 1, "connect": 1}
    assert (found.answered, len(found.latency_s)) == (1, 2)


def test_nothing_due_is_nothing_sent():
    found = _sent(None, [])
    assert (found.answered, found.seconds) == (0, 0.0)
