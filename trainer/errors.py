"""What a user can mend about a training and the machine that it runs on."""

from feature_specs.errors import TrailrankError


class TrainingError(TrailrankError, ValueError):
    """Days, options, a slice or a checkpoint that do not go together."""


class ModelError(TrailrankError, ValueError):
    """A preset says something that cannot be built for this spec or slice."""


class PreflightError(TrailrankError, RuntimeError):
    """The TPU compiler cannot be set up, or its process failed."""


class DeviceError(TrailrankError, RuntimeError):
    """This machine has no device of the kind that was asked for."""
