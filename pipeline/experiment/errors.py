"""What is wrong with an experiment's arguments, or with what it finds."""

from feature_specs.errors import TrailrankError


class ExperimentError(TrailrankError, ValueError):
    """Arguments that do not go together, or files of another experiment."""
