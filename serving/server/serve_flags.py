"""Flags of `trailrank serve`: one for every field of its options, named like the field.

Help texts are the fields' own, from the docstrings of the options.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from feature_specs.flags import Add
from serving.options import BatchingOptions, Limits, ServerOptions, TrialOptions

T = TypeVar("T")

# Options that are not one value each: they are made of other flags.
_NESTED = {"batching", "limits", "trial"}
_ALSO = {  # field -> shorter names, and TensorFlow Serving's of the same meaning
    "rest_port": ("--port",),
    "enable_cors": ("--rest_api_enable_cors_support",),
}
_OFF = "off"


def add_server_options(add: Add) -> None:
    """A flag for each field of `ServerOptions` and `Limits`; unset ones are None."""
    for options in (ServerOptions, Limits):
        for name, kind in _fields(options).items():
            _add(add, options, name, kind)


def add_batching_options(add: Add) -> None:
    """A flag for each field of `BatchingOptions`; unset ones are None."""
    for name, kind in _fields(BatchingOptions).items():
        _add(add, BatchingOptions, name, kind)


def add_trial_options(add: Add) -> None:
    """A flag for each field of `TrialOptions`; unset ones are None."""
    for name, kind in _fields(TrialOptions).items():
        _add(add, TrialOptions, name, kind)


def chosen(options: type[T], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was set of a dataclass of options, by field.

    Args:
        options: The dataclass.
        values: Field -> value; None where the flag was left out.
    """
    names = _fields(options)
    given = {name: values[name] for name in names if values.get(name) is not None}
    return {name: None if v == _OFF else v for name, v in given.items()}


def flag(text: str) -> bool:
    """`true` or `false`, as upstream's flags have it.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    found = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"must be true or false. Got {text!r}.")
    return found


def _fields(options: type[Any]) -> dict[str, Any]:
    """Field -> type, of those that one flag can set."""
    kinds = typing.get_type_hints(options)
    names = [field.name for field in dataclasses.fields(options)]
    return {name: kinds[name] for name in names if name not in _NESTED}


def _add(add: Add, options: type[Any], name: str, kind: Any) -> None:
    names = [f"--{name}", *_ALSO.get(name, ())]
    default = {f.name: f.default for f in dataclasses.fields(options)}[name]
    text = f"{_help(options, name)} ({_shown(default)})".replace("%", "%%")
    if kind is bool:
        add(*names, dest=name, nargs="?", const=True, type=flag, help=text)
        return
    add(*names, dest=name, type=_reader(kind), help=text, metavar=name.upper())


def _reader(kind: Any) -> Callable[[str], Any]:
    """What makes a value of a flag's text."""
    if isinstance(kind, types.UnionType):
        return _or_off(next(k for k in typing.get_args(kind) if k is not type(None)))
    if typing.get_origin(kind) is tuple:
        return _list_of(typing.get_args(kind)[0])
    reader: Callable[[str], Any] = kind
    return reader


def _or_off(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return _OFF if text == _OFF else kind(text)

    read.__name__ = f"{getattr(kind, '__name__', 'value')} or {_OFF}"
    return read


def _list_of(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return tuple(kind(part) for part in text.split(",") if part)

    read.__name__ = f"{getattr(kind, '__name__', 'value')},..."
    return read


def _shown(default: Any) -> str:
    if default is None:
        return _OFF
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default) or "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def _help(options: type[Any], name: str) -> str:
    """A field's text in the docstring of its class, on one line."""
    text = inspect.getdoc(options) or ""
    found = re.search(rf"^    {name}: (.*(?:\n     +\S.*)*)", text, re.MULTILINE)
    if found is None:
        return ""
    return re.sub(r"\bNone\b", _OFF, " ".join(found[1].split()).rstrip("."))
