"""The one error of this package."""

from feature_specs import TrailrankError


class FetchError(TrailrankError, RuntimeError):
    """A data set could not be brought here; the message says what to do."""
