"""The one base of every error meant for a user."""


class TrailrankError(Exception):
    """Something that a user can mend; the message says what, where and how.

    Each room derives its own errors from it and from the built-in error that they are:
    `class SpecError(TrailrankError, ValueError)`. Any other exception is a fault of
    this package.
    """
