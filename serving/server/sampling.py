"""Which requests are drawn: a stable share, by a hash of the request or of its user.

The same request, or the same user, is drawn again wherever and whenever it comes, over
REST as over gRPC; another seed draws others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


def content_of(model: str, signature: str, arrays: Arrays) -> str:
    """What a request says, as 32 hexadecimal digits.

    Args:
        model: Its name.
        signature: Its name.
        arrays: Input -> values, strings as bytes.
    """
    # Of every request that names itself not: a tenth of a millisecond would show.
    parts = [_bytes(f"{model}\0{signature}")]
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        parts.append(f"{name}{array.dtype.char}{array.shape}".encode())
        if array.dtype == object:
            parts += array.ravel().tolist()
        else:
            parts.append(array.tobytes())
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def user_of(arrays: Arrays, key: str) -> str | None:
    """The one value of the input `key` as text; None if there is none, or several."""
    values = np.asarray(arrays.get(key, ())).ravel()
    if not values.size or (values != values[0]).any():
        return None
    value = values[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def place_of(text: str, seed: int, purpose: str) -> float:
    """Where in [0, 1) a text lies; evenly, and for each purpose and seed anew."""
    key = f"{purpose}/{seed}".encode()
    found = hashlib.blake2b(_bytes(text), digest_size=8, key=key).digest()
    # 53 bits, so that the quotient is exact and never 1.
    return (int.from_bytes(found, "big") >> 11) / 2**53


def pseudonym_of(user: str, seed: int) -> str:
    """A user in the log, 16 hexadecimal digits; whoever knows all users finds it."""
    key = f"user/{seed}".encode()
    return hashlib.blake2b(_bytes(user), digest_size=8, key=key).hexdigest()


def _bytes(text: str) -> bytes:
    """Of any text, also of JSON's half characters."""
    return text.encode("utf-8", "surrogatepass")
