"""What a user can mend about a search for weights."""

from feature_specs.errors import TrailrankError


class FusionSearchError(TrailrankError, ValueError):
    """Utility, constraints, tasks or rows do not let weights be searched."""


class NoEstimateError(FusionSearchError):
    """There are no random impressions, or too few to tell what an order brings."""
