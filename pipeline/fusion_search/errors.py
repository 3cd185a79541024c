"""What a user can mend about a search for weights."""

from feature_specs.errors import TrailrankError


class FusionSearchError(TrailrankError, ValueError):
    """Utility, constraints, tasks or rows do not let weights be searched."""
