"""What a user can mend when nothing can be proposed."""

from feature_specs.errors import TrailrankError


class ProposalError(TrailrankError, ValueError):
    """No spec can be proposed for a directory; the message says what it lacks."""
