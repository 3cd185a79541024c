"""What a preset's `structure` must keep to."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from feature_specs.model import TASK_FACET, StructureConfig
from trainer.errors import ModelError

_SHOWN = 8  # known codes in a message


def check_facets(
    structure: StructureConfig, facets: Mapping[str, Sequence[str]]
) -> None:
    """`facets` must be facets that there are, each once."""
    for name in structure.facets:
        if name not in (*facets, TASK_FACET):
            rule = "must be facets of the spec, or `task`."
            _refuse("facets", rule, name, _hint(name, [*facets, TASK_FACET]))
    repeated = [n for n in structure.facets if structure.facets.count(n) > 1]
    if repeated:
        _refuse("facets", "may name a facet once.", repeated[0], "Leave one out.")


def check_flat(structure: StructureConfig, tasks: Sequence[str]) -> None:
    """What a flat structure has a use for."""
    for task in structure.split:
        if task not in tasks:
            _refuse("split", "must be tasks of the spec.", task, _hint(task, tasks))
    if structure.split and not set(structure.facets) - {TASK_FACET}:
        hint = "Name a facet in structure.facets, or leave `split` out."
        _refuse("split", "needs a facet to split by.", list(structure.split), hint)
    check_nodes(structure, [])
    check_no_depth(structure)


def check_nested(structure: StructureConfig) -> None:
    """What a nested structure needs, and has no use for."""
    kind, names = structure.kind, list(structure.facets)
    if not structure.levels:
        hint = "Name one; it stands for all levels."
        _refuse("levels", "must have one switcher at least.", [], hint)
    if not set(names) - {TASK_FACET}:
        rule = f"must name a facet of the spec beside `task` for {kind}."
        _refuse("facets", rule, names, "Without one the structure is flat.")
    if structure.split:
        rule = f"is for flat; {kind} splits every task."
        _refuse("split", rule, list(structure.split), "Leave it out.")


def check_no_depth(structure: StructureConfig) -> None:
    """`depth` is for nested trees."""
    if structure.depth:
        rule = f"is for multi_facet, not for {structure.kind}."
        _refuse("depth", rule, structure.depth, "Leave it out.")


def check_depth(structure: StructureConfig, facets: int) -> None:
    """The depth of MFH: from 1 to N - 1; 0 stands for N - 1 (MFH sec. IV-D)."""
    if not 0 <= structure.depth < facets:
        rule = f"must be from 1 to {facets - 1}, all facets but one (`task` counts)."
        hint = "Or leave it out for the largest."
        _refuse("depth", rule, structure.depth, hint)


def check_nodes(structure: StructureConfig, codes: Sequence[str]) -> None:
    """`nodes` must name nodes, each by a code that no other node has."""
    known = [code for code in codes if code]  # the input's node has no MLP
    for code in structure.nodes:
        if code not in known:
            _refuse("nodes", "must be codes of nodes.", code, _hint(code, known))
        if known.count(code) > 1:
            rule = "must be codes of one node each; this is a facet and a partition."
            _refuse("nodes", rule, code, "Rename one of them in the spec.")


def check_reads(structure: StructureConfig, outputs: Sequence[str]) -> None:
    """`reads` of the levels' switchers must be of outputs that some switcher has."""
    for index, level in enumerate(structure.levels):
        for name in level.reads:
            if name not in outputs:
                key, rule = f"levels[{index}].reads", "must be of outputs."
                _refuse(key, rule, name, _hint(name, outputs))


def _hint(name: str, known: Collection[str]) -> str:
    names = list(dict.fromkeys(known))
    if not names:
        return "There is none here: leave it out."
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    shown = f"Known: {', '.join(names[:_SHOWN])}{more}."
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]!r}? {shown}" if close else shown


def _refuse(key: str, rule: str, found: object, remedy: str) -> None:
    raise ModelError(f"structure.{key}: {rule} Got {found!r}. {remedy}")
