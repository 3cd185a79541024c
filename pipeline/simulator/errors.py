"""The one error of this package."""

from feature_specs.errors import TrailrankError


class SimulationError(TrailrankError, ValueError):
    """An argument is out of range, or the output directory holds other files."""
