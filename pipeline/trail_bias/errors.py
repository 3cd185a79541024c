"""What a user can mend about a study of the watch trail."""

from feature_specs.errors import TrailrankError


class TrailBiasError(TrailrankError, ValueError):
    """The spec, the tasks or the logs do not let the trail be studied."""
