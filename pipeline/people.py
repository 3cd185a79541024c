"""Who gives a command, for notes that people read later."""

from __future__ import annotations

import getpass
import os


def login_name() -> str:
    """The login name, or `user 1000` where there is none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
