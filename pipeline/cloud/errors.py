"""What a user can mend about a job elsewhere."""

from feature_specs.errors import TrailrankError


class JobError(TrailrankError, RuntimeError):
    """No credentials or client here, or the other side took no job."""
