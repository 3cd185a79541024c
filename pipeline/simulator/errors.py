"""The one error of this package."""


class SimulationError(ValueError):
    """An argument is out of range, or the output directory holds other files."""
