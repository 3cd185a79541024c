"""The base of the errors that a message explains."""


class TrailrankError(Exception):
    """Base of every error that is meant for a user."""
