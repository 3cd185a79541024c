"""Tables that others may add to: kinds by name, and what a room does with each kind.

A `Registry` says what the `kind` of a YAML may be. A `RoomTable` says what one room
does with kinds of a family; it goes by class, so that a kind derived from a shipped one
is treated like it wherever nothing else is registered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from feature_specs import plugins
from feature_specs.errors import TrailrankError
from feature_specs.plugins import PLUGINS

_T = TypeVar("_T")


class UnknownKindError(TrailrankError, ValueError):
    """A kind that nobody has registered, or a room that does not know a kind."""


class Registry(Generic[_T]):
    """Name -> entry, in the order of registration.

    Args:
        what: What an entry is, for messages: `switcher`.
        how: How one is registered: `@trainer.model.switchers.switcher(name)`.
    """

    def __init__(self, what: str, how: str):
        self._what, self._how = what, how
        self._entries: dict[str, _T] = {}

    def add(self, name: str, entry: _T) -> _T:
        """Registers an entry; the same one may come again, as a module is reloaded.

        Raises:
            ValueError: The name is another entry's.
        """
        found = self._entries.get(name)
        if found is not None and _origin(found) != _origin(entry):
            raise ValueError(
                f"{self._what} {name!r}: is registered already, by {_origin(found)}. "
                f"Got {_origin(entry)}. Register it under another name."
            )
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> _T:
        """The entry; plugins are asked first, as a spec may come from another process.

        Raises:
            UnknownKindError: There is none.
        """
        if name not in self._entries:
            plugins.load_plugins()
        if name not in self._entries:
            raise UnknownKindError(
                f"{self._what} {name!r}: is not registered. Known: "
                f"{', '.join(self._entries)}. Register it with {self._how}, in a "
                f"module that {PLUGINS} names."
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


class RoomTable(Generic[_T]):
    """Class of a kind -> what one room does with it.

    Args:
        room: The module, for messages.
        does: What an entry does to a kind, for messages: `encodes`.
        how: How one is registered: `@pipeline.encoding.encoders.encodes`.
    """

    def __init__(self, room: str, does: str, how: str):
        self._room, self._does, self._how = room, does, how
        self._entries: dict[type, _T] = {}

    def register(self, kind: type) -> Callable[[_T], _T]:
        """A decorator: the entry of a kind, and of kinds derived from it."""

        def add(entry: _T) -> _T:
            self._entries[kind] = entry
            return entry

        return add

    def __getitem__(self, kind: object) -> _T:
        """The entry of the kind's class, else of the nearest one it derives from.

        Raises:
            UnknownKindError: There is none.
        """
        for cls in type(kind).__mro__:
            if cls in self._entries:
                return self._entries[cls]
        raise UnknownKindError(
            f"{self._room}: nothing {self._does} kind {str(kind)!r}. Register it with "
            f"{self._how}({type(kind).__name__}), in a module that {PLUGINS} names, or "
            f"derive the kind from one of "
            f"{', '.join(cls.__name__ for cls in self._entries)}."
        )

    def entries(self) -> list[_T]:
        """All entries, in the order of registration."""
        return list(self._entries.values())


class Kind:
    """What all kinds of a family have in common: a name, by which they are told apart.

    Attributes:
        name: As the YAML has it; given on registration.
    """

    name: str = ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


_KindClass = TypeVar("_KindClass", bound=type[Kind])


def kind_class(kinds: Registry[Any], name: str) -> Callable[[_KindClass], _KindClass]:
    """A decorator: the class is the kind called `name`, of which one object is kept."""

    def register(cls: _KindClass) -> _KindClass:
        cls.name = name
        kinds.add(name, cls())
        return cls

    return register


def _origin(entry: object) -> str:
    """Where an entry comes from: a class or function, or the class of an object."""
    named = entry if hasattr(entry, "__qualname__") else type(entry)
    origin = f"{named.__module__}.{named.__qualname__}"
    return f"{origin}, {entry!r}" if dataclasses.is_dataclass(entry) else origin
