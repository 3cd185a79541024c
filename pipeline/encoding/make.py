"""The encoding of days, with its graph: new, extended, or taken as it is."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from feature_specs import Spec, locks
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import (
    Place,
    PlaceError,
    absolute,
    check_directory,
    check_is_no_glob,
    check_writable_directory,
)
from pipeline.quiet import load_beam, quiet_imports
from pipeline.reporting.files import read_json

if TYPE_CHECKING:
    from trainer.days.encoding import Encoding

_REPORT = "report.json"
_REMEDY = "Name the directory that `make_examples` wrote."

# What of an earlier encoding is learned anew: nothing, all of it, or its vocabularies.
Refresh = Literal["none", "all", "vocabularies"]


class MadeEncoding(NamedTuple):
    """What `make_encoding` wrote.

    Attributes:
        graph: Directory of the transform graph, for `train` and `export`.
        encoding: What it does.
    """

    graph: str
    encoding: Encoding


def encode_days(
    spec: Spec,
    days: Sequence[tuple[str, str]],
    directory: str,
    *,
    earlier: str = "",
    fixed: bool = False,
    refresh: Refresh = "none",
) -> Encoding:
    """Writes the transform graph of days that are trained on.

    Args:
        spec: What the examples hold; its encoding view is enough.
        days: Split and examples directory of each day: those that `earlier` has not
            learned; all of them for a refresh. Only their summaries are read.
        directory: Gets the graph.
        earlier: Directory of the last encoding's graph; empty if there is none.
        fixed: Learns nothing: `earlier`, which must be given, is taken as it is.
        refresh: `all` forgets `earlier`; `vocabularies` keeps its scales, so that
            checkpoints can be mapped to the new encoding by value.

    Raises:
        EncodingError: `earlier` is of another spec, or there is nothing to learn from.
        SummaryError: A day has no summary.
        DamagedExamplesError: `earlier` cannot be read.
    """
    from pipeline.encoding.graph import write_transform_graph
    from pipeline.encoding.learn import EncodingError, check_fits, extend, learn
    from pipeline.summaries.store import read_summary
    from trainer.days.encoding import read_encoding

    if fixed and not earlier:
        raise EncodingError(
            "Encoding: to be taken as it is, one must be given. Got none. Name the "
            "graph of an earlier one."
        )
    before = read_encoding(earlier) if earlier and refresh != "all" else None
    if before and refresh == "none":
        check_fits(before, spec)
    summaries = [] if fixed else [read_summary(folder, split) for split, folder in days]
    if before and refresh == "none":
        found = extend(before, summaries)
    else:
        found = learn(spec, summaries, keep=before)
    write_transform_graph(found, spec, directory)
    return found


def make_encoding(
    spec: SpecLike, examples: Place, out: Place, *, earlier: Place | None = None
) -> MadeEncoding:
    """The encoding of the training days of `make_examples`, for `train` and `export`.

    Vocabularies and scales come from the days' summaries, which lie with the examples:
    no row is read.

    >>> made = trailrank.make_encoding("tiny.yaml", "examples", "encoding")
    >>> sorted(os.listdir(made.graph))
    ['encoding.json', 'metadata', 'transform_fn', 'transformed_metadata']

    Args:
        spec: What the examples hold: a shipped name, a file or a spec.
        examples: Directory of this machine that `make_examples` wrote.
        out: A new directory.
        earlier: Another one's `out`, which is extended by the days that it lacks: known
            values keep their ids, and scales stay.

    Raises:
        PlaceError: There are no examples, or `out` holds something already.
        EncodingError: `earlier` is of another spec.
        LockedError: Another command writes to `out`.
    """
    known, source = as_spec(spec), pathlib.Path(examples)
    check_directory("examples", source, _REMEDY, _REPORT)
    check_writable_directory("out", out)
    check_is_no_glob("out", out)
    if earlier is not None:
        check_directory("earlier", earlier, "Name its graph.", "encoding.json")
    target = pathlib.Path(absolute(out))
    with locks.owned(target):
        if any(path.name != locks.NAME for path in target.iterdir()):
            raise PlaceError(
                f"out {target}: must be a new directory, as it holds something. Name "
                "another, or empty it."
            )
        load_beam()  # quietly: summaries are read through its file systems
        days = [(split, str(source)) for split in _train(source / _REPORT)]
        encoding = _write(known, days, target, earlier)
    return MadeEncoding(str(target), encoding)


def _write(
    spec: Spec, days: list[tuple[str, str]], target: pathlib.Path, earlier: Place | None
) -> Encoding:
    """Nothing half-made may be taken for the whole: it is moved when it is done."""
    with quiet_imports():
        from trainer.days.encoding import read_encoding
    before = "" if earlier is None else os.fspath(earlier)
    learned = set(read_encoding(before).days) if before else set()
    with tempfile.TemporaryDirectory(dir=target, prefix=".unfinished-") as folder:
        left = [day for day in days if day[0] not in learned]
        encoding = encode_days(spec, left, folder, earlier=before)
        for made in sorted(os.listdir(folder), key=lambda name: name.endswith("json")):
            os.rename(os.path.join(folder, made), target / made)
    return encoding


def _train(path: pathlib.Path) -> list[str]:
    """The splits that are trained on."""
    report = read_json(path, "Make the examples again.")
    try:
        return list(report["train"])
    except (KeyError, TypeError) as error:
        raise PlaceError(
            f"{path}: is no report of examples ({error!r}). Make the examples again."
        ) from None
