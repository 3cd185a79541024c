"""What a user can mend about a search."""

from feature_specs.errors import TrailrankError


class TuneError(TrailrankError, ValueError):
    """A space, days or metrics that cannot be searched as asked."""


class NoOptunaError(TrailrankError, RuntimeError):
    """Optuna, which draws the values, is not installed."""
