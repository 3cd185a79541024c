"""What an operator asks for that a run's directory does not have."""

from feature_specs.errors import TrailrankError


class OperationError(TrailrankError, ValueError):
    """It cannot be done with this run; the message says why and what can."""
