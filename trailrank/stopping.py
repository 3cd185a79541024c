"""Ctrl-C and SIGTERM end a command soon, whatever library is at work.

Python raises a KeyboardInterrupt when its main thread comes back from C. A library may
keep it there for long, catch the interrupt, or wait for threads of its own. So another
thread waits beside it, and ends the process when the command has had its time.

Whoever puts a handler of its own in place, as training does to write a checkpoint and
the server to answer what it has begun, has all the time it needs after SIGTERM. After
Ctrl-C only `trailrank train` has: who waits for it asked for training and nothing else,
and a second Ctrl-C ends it at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Container
from types import FrameType
from typing import NoReturn

# For `with` and `finally`. Whoever presses Ctrl-C waits for an answer; a machine that
# is taken away, or a container that is stopped, leaves ten seconds and more.
GRACE_S = {signal.SIGINT: 1.5, signal.SIGTERM: 8.0}
_STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 75}

_came: list[int] = []  # signals that a handler below was called for


def listen(*, is_patient: bool = False) -> None:
    """From now on a signal that asks to stop ends this process.

    The first one raises a KeyboardInterrupt, with the signal in its `args`. A second
    one ends the process at once. One that the parent has ignored stays ignored.

    Args:
        is_patient: Whether a handler of the command's own may take its time after
            Ctrl-C, too.
    """
    for number in _STATUSES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(
        before=lambda: _hold(signal.SIG_BLOCK),
        after_in_parent=lambda: _hold(signal.SIG_UNBLOCK),
        after_in_child=_forget,
    )
    trusted = set(_STATUSES) if is_patient else {signal.SIGTERM}
    threading.Thread(target=_watch, args=(reader, trusted), daemon=True).start()


def status_of(error: BaseException) -> int | None:
    """The exit status, if a signal is what `error` comes from; else None.

    A library may answer the interrupt with an error of its own.
    """
    if isinstance(error, KeyboardInterrupt):
        return 75 if signal.SIGTERM in error.args else 130
    return _STATUSES[signal.Signals(_came[0])] if _came else None


def came() -> bool:
    """Whether a signal asked this process to stop."""
    return bool(_came)


def leave(status: int) -> NoReturn:
    """Ends the process without waiting for what libraries still do."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream.isatty():
                stream.write("\x1b[?25h")  # a spinner has hidden the cursor
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more
    os._exit(status)


def _stop(number: int, _: FrameType | None) -> None:
    if _came:
        leave(_STATUSES[signal.Signals(number)])
    _came.append(number)
    raise KeyboardInterrupt(signal.Signals(number))


def _hold(how: int) -> None:
    """Signals wait while it is open whose process this is."""
    signal.pthread_sigmask(how, _STATUSES)


def _forget() -> None:
    """A forked process is no command: its signals are not the parent's."""
    signal.set_wakeup_fd(-1)
    for number, before in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is _stop:
            signal.signal(number, before)
    _hold(signal.SIG_UNBLOCK)


def _watch(reader: int, trusted: Container[signal.Signals]) -> None:
    """Ends the process some time after a signal, unless a `trusted` one's handler does.

    Other signals come here, too, and are nobody's business.
    """
    while True:
        for number in os.read(reader, 16):
            if number not in _STATUSES:
                continue
            came = signal.Signals(number)
            if signal.getsignal(came) is _stop or came not in trusted:
                time.sleep(GRACE_S[came])
                print("\nStopped.", file=sys.stderr)
                leave(_STATUSES[came])
