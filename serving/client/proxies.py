"""Which servers are asked through the environment's proxy: all but those here."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence


def is_here(host: str) -> bool:
    """Whether a host is a loopback address or a name of one."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def proxy_variables(names: Sequence[str]) -> list[str]:
    """Those of the variables that are set, in lower case or in upper."""
    return [
        name for name in names if os.environ.get(name.lower()) or os.environ.get(name)
    ]


def by_proxy(host: str, names: Sequence[str]) -> str:
    """What to say of a proxy that may have been asked; it may hold a password."""
    found = proxy_variables(names)
    if not found or is_here(host):
        return ""
    return f", asked as {' and '.join(found)} and NO_PROXY say"
