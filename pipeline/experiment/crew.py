"""Processes that serve shards of a day; one process serves them itself.

What a process needs is in files and in the player: any number of them gives the same.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

from pipeline.experiment.play import Player, State
from pipeline.experiment.store import Store

# Of the libraries: each process has one core's work.
_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LOOK_S = 1.0  # how often a process looks whether its parent lives


class Task(NamedTuple):
    """A day of a shard."""

    day: int
    shard: int


class Crew:
    """Serves tasks, in this process or in others.

    Args:
        player: Of the experiment.
        store: Its files.
        workers: Processes; with 1 it is this one.
    """

    def __init__(self, player: Player, store: Store, workers: int):
        self._player, self._store, self._workers = player, store, workers
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None
        self._threads = contextlib.ExitStack()

    def __enter__(self) -> Crew:
        if self._workers > 1:
            self._threads.enter_context(_one_thread_each())
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._player, self._store, os.getpid()),
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._threads.close()
        self._player.let_go()

    def work(self, tasks: Sequence[Task]) -> Iterator[int]:
        """Impressions of each task, as they are finished."""
        if self._pool is None:
            for task in tasks:
                yield serve(self._player, self._store, task)
            return
        asked = [self._pool.submit(_serve, task) for task in tasks]
        for done in concurrent.futures.as_completed(asked):
            yield done.result()


def serve(player: Player, store: Store, task: Task) -> int:
    """Serves a task, writes what came of it, returns its impressions."""
    day, shard = task
    if day:
        before: State = store.read(store.shard_file(day - 1, shard)).state
    else:
        known = store.read(store.known_file(shard)) if player.needs_features else None
        before = State.at_first(len(player.design.shards[shard]), known)
    sums = store.read(store.sums_file(day - 1)) if player.needs_features else {}
    found = player.serve(day, shard, before, sums)
    store.write(store.users_file(day, shard), found.users)
    store.write(store.shard_file(day, shard), found)
    return found.log.height


# --- in another process ---------------------------------------------------------------

_player: Player | None = None
_store: Store | None = None


def _begin(player: Player, store: Store, parent: int) -> None:
    global _player, _store
    _player, _store = player, store
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and tells us
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Ends this process when nobody waits for it any more."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _serve(task: Task) -> int:
    assert _player is not None and _store is not None  # see `_begin`
    return serve(_player, _store, task)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What processes started meanwhile find in their environment."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
