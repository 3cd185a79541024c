"""The one error of this package."""


class FetchError(RuntimeError):
    """A data set could not be brought here; the message says what to do."""
