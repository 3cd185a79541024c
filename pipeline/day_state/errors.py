"""What is wrong with a state, or with what one is asked to carry."""

from feature_specs.errors import Status, TrailrankError


class StateError(TrailrankError, ValueError):
    """A state cannot be used, or not be made; the message says what to do."""

    exit_status = Status.REFUSED
