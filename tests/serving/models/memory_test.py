"""When the garbage collector may look, and that a ring of references is found."""

import gc
import threading
import weakref

from serving.models.memory import give_back, without_collections


def test_collections_wait_for_the_last_block_of_all_threads():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with without_collections():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with without_collections():
        thread.start()
        assert entered.wait(60)
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_an_error_ends_the_block():
    try:
        with without_collections():
            raise KeyError
    except KeyError:
        assert gc.isenabled()


def test_who_wants_no_collections_has_none():
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_rings_are_freed():
    class Ring:
        pass

    ring = Ring()
    ring.itself, seen = ring, weakref.ref(ring)
    with without_collections():
        del ring
        assert seen() is not None
        give_back()
        assert seen() is None
