"""What a user can mend about a job elsewhere."""

from feature_specs.errors import Status, TrailrankError


class JobError(TrailrankError, RuntimeError):
    """No credentials or client here, or the other side took no job."""


class UnansweredError(JobError):
    """The other side did not answer, however often it was asked."""


class CompiledPipelineError(TrailrankError, ValueError):
    """A file that `trailrank pipeline compile` has not written, or cannot be sent."""


class JobCancelledError(JobError):
    """A job was cancelled, by whoever it was, before it was done."""


class LeftRunningError(TrailrankError, RuntimeError):
    """Whoever followed a job stopped; the job goes on.

    Attributes:
        exit_status: 130 after Ctrl-C, 75 after SIGTERM.
    """

    def __init__(self, message: str, exit_status: Status):
        super().__init__(message)
        self.exit_status = exit_status
