"""What a user can mend about logs, and about what was asked to be made of them."""

from feature_specs.errors import Status, TrailrankError


class LogsError(TrailrankError, ValueError):
    """A log cannot be read as its spec says; the message names the file."""


class NoLogsError(TrailrankError, FileNotFoundError):
    """No file matches a pattern of the spec, or a day has none."""


class RequestError(TrailrankError, ValueError):
    """What is asked for does not go together with the examples already there."""


class ExamplesError(TrailrankError, RuntimeError):
    """A run whose examples must not be used; the message says why."""


class RefusedError(ExamplesError):
    """The logs miss a limit that the spec's log section sets."""

    exit_status = Status.REFUSED
