"""The pool: in order, bounded, and what is cancelled is forgotten at once."""

import gc
import threading
import weakref

import pytest

from serving.server.workers import Workers
from tests.serving.http_service import until


@pytest.fixture
def one():
    """A worker, two that may wait, and what the worker waits for."""
    workers, go_on = Workers(threads=1, max_waiting=2), threading.Event()
    workers.submit(go_on.wait)
    until(lambda: workers.load() == (1, 0))
    yield workers, go_on
    go_on.set()
    workers.close()


def test_results_and_errors_come_back(one):
    workers, go_on = one
    go_on.set()
    assert workers.submit(int, "7").result() == 7
    with pytest.raises(ValueError, match="invalid literal"):
        workers.submit(int, "x").result()


def test_first_come_first_served(one):
    workers, go_on = one
    order = []
    futures = [workers.submit(order.append, number) for number in range(2)]
    go_on.set()
    for future in futures:
        future.result()
    assert order == [0, 1]


def test_one_too_many_is_not_taken(one):
    workers, _ = one
    assert workers.submit(int) and workers.submit(int)
    assert workers.submit(int) is None


def test_who_leaves_makes_room(one):
    workers, go_on = one
    first, second = workers.submit(int, "1"), workers.submit(int, "2")
    assert first.cancel()
    assert workers.load() == (1, 1)
    third = workers.submit(int, "3")
    go_on.set()
    assert (second.result(), third.result()) == (2, 3)


def test_what_is_cancelled_is_freed_while_the_worker_is_still_at_work(one):
    class Body:
        pass

    workers, body = one[0], Body()
    watched = weakref.ref(body)
    future = workers.submit(id, body)
    del body
    future.cancel()
    gc.collect()
    assert watched() is None


def test_many_that_come_and_go_leave_nothing_behind(one):
    workers, go_on = one
    for _ in range(1000):
        workers.submit(int).cancel()
    assert workers._pool._work_queue.qsize() <= 1
    go_on.set()
    assert workers.submit(int, "5").result() == 5


def test_the_end_cancels_what_waits(one):
    workers, go_on = one
    waiting = workers.submit(int)
    threading.Timer(0, go_on.set).start()
    workers.close()
    assert waiting.cancelled() or waiting.result() == 0
    assert workers.submit(int) is None
