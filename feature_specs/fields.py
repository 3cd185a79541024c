"""What a field of a YAML's class may hold beyond its type, said in its annotation.

    kind: Annotated[str, Named(SWITCHERS)]

`build.build` checks it when a file is read; Python code that makes an instance itself
is not checked.
"""

from __future__ import annotations

from collections.abc import Iterable


class Named:
    """The value is one of the names in a registry, as it is when a file is read.

    Args:
        registry: The names, asked for each time.
    """

    def __init__(self, registry: Iterable[str]):
        self._registry = registry

    def names(self) -> list[str]:
        """The names that are right now, in the order in which they are told."""
        return list(self._registry)


def one_of(names: Iterable[str]) -> str:
    """The rule of a value that must be one of `names`."""
    return f"must be one of {', '.join(names)}."
