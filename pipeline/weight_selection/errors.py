"""What a user can mend about a selection of weights."""

from feature_specs.errors import TrailrankError


class WeightSelectionError(TrailrankError, ValueError):
    """A task whose weight cannot be selected as asked, or weights that make no grid."""
