"""The search on servers whose latency is a formula."""

import asyncio
import math

import pytest

from serving.load.knee import CLOSE, ERRORS, GENERATOR, LATENCY, Knee, find_knee


def search(missed_at_rate, first, most_rate=10_000.0, budget=1000):
    tried = []

    async def measure(rate):
        if len(tried) == budget:
            return None
        tried.append(rate)
        return missed_at_rate(rate)

    return asyncio.run(find_knee(measure, first, most_rate)), tried


def mm1(service_rate, p99_s):
    """A queue M/M/1: the time in it is exponential with mean 1 / (mu - lambda), so its
    99th percentile is ln(100) / (mu - lambda)."""

    def missed(rate):
        if rate >= service_rate or math.log(100) / (service_rate - rate) > p99_s:
            return LATENCY
        return ""

    return missed, service_rate - math.log(100) / p99_s


@pytest.mark.parametrize("first", [1.0, 37.0, 300.0, 4000.0])
@pytest.mark.parametrize("p99_s", [0.02, 0.5])
def test_the_knee_of_a_queue_is_found_within_a_tenth(first, p99_s):
    missed, exact = mm1(service_rate=500, p99_s=p99_s)  # 269.7 and 490.8 requests/s
    knee, tried = search(missed, first)
    assert knee.rate <= exact < knee.missed_at
    assert knee.missed_at <= CLOSE * knee.rate
    assert knee.missed == LATENCY
    assert len(tried) <= 4 + 12


def test_rates_are_doubled_then_parted_at_the_middle_of_their_logarithms():
    _, tried = search(lambda rate: LATENCY if rate > 170 else "", first=50)
    # 50, 100 kept, 200 missed; sqrt(100 200) = 141.4 kept; sqrt(141.4 200) = 168.2
    # kept; sqrt(168.2 200) = 183.4 missed, and 183.4 / 168.2 < 1.1
    expected = [50, 100, 200, 100 * 2**0.5, 100 * 2**0.75, 100 * 2**0.875]
    assert tried == pytest.approx(expected)


def test_a_server_that_keeps_every_rate_has_no_knee_below_the_highest():
    knee, tried = search(lambda rate: "", first=300, most_rate=1000)
    assert knee == Knee(rate=1000, missed_at=None, missed="")
    assert tried == [300, 600, 1000]


def test_a_server_that_keeps_no_rate():
    knee, tried = search(lambda rate: ERRORS, first=100)
    assert knee == Knee(rate=None, missed_at=100 / 2**10, missed=ERRORS)
    assert tried == [100 / 2**n for n in range(11)]


def test_what_ended_the_search_is_told():
    knee, _ = search(lambda rate: GENERATOR if rate > 300 else "", first=100)
    assert knee.missed == GENERATOR and knee.rate <= 300 < knee.missed_at


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_what_is_known_is_the_result_when_nothing_more_may_be_tried(budget):
    knee, tried = search(
        lambda rate: LATENCY if rate > 170 else "", first=50, budget=budget
    )
    assert len(tried) == budget
    assert knee.rate == max(rate for rate in tried if rate <= 170)
    assert knee.missed_at == (200 if budget > 2 else None)
