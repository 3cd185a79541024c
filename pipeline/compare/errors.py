"""What a user can mend about a comparison."""

from feature_specs.errors import TrailrankError


class CompareError(TrailrankError, ValueError):
    """Presets, days or tasks that cannot be compared as asked."""


class TrialsFailedError(CompareError):
    """Trainings that failed, beside others whose results are kept."""
