"""The one base of every error meant for a user, and how a command ends with it."""

import enum
from collections.abc import Iterator


class Status(enum.IntEnum):
    """Exit statuses of every command; `trailrank --help` tells what they mean."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    PREEMPTED = 75  # EX_TEMPFAIL: start it again
    STOPPED = 130  # as shells have it: 128 and SIGINT


class TrailrankError(Exception):
    """Something that a user can mend; the message says what, where and how.

    Each room derives its own errors from it and from the built-in error that they are:
    `class SpecError(TrailrankError, ValueError)`. Any other exception is a fault of
    this package.

    Attributes:
        exit_status: Of a command that ends with it.
    """

    exit_status: Status = Status.FAILED


class UsageError(TrailrankError, ValueError):
    """Arguments of a command or a function that are wrong, or do not go together."""

    exit_status = Status.USAGE


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def own_error(error: BaseException) -> TrailrankError | None:
    """The error meant for a user in a chain; None if it is a fault."""
    found = (link for link in chain(error) if isinstance(link, TrailrankError))
    return next(found, None)
