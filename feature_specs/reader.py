"""Reads a spec, and checks what its sections say together.

spec = load_spec("kuairand")            # shipped with the package
spec = load_spec("my_logs.yaml")        # your own

The sections are read in `log_section.py`, `past_section.py`, `model_section.py`,
`facets_section.py` and `gates_section.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from feature_specs.build import (
    Problems,
    SpecError,
    closest,
    parse_yaml,
    shipped_names,
    shipped_text,
)
from feature_specs.ceilings import check_entries
from feature_specs.evaluation_section import read_evaluation
from feature_specs.events_section import read_events
from feature_specs.facets_section import read_facets
from feature_specs.gates_section import read_data_gates
from feature_specs.log_section import read_log
from feature_specs.model_section import (
    read_features,
    read_filters,
    read_fusion,
    read_tables,
    read_tasks,
)
from feature_specs.past_section import read_past
from feature_specs.plugins import load_plugins
from feature_specs.reading import Reading
from feature_specs.spec import Spec

_SPECS = pathlib.Path(__file__).parent / "specs"
_FILLED_IN = ("column_types", "text")
_SECTIONS = [f.name for f in dataclasses.fields(Spec) if f.name not in _FILLED_IN]


def shipped_specs() -> list[str]:
    """Names of the specs that come with the package."""
    return shipped_names(_SPECS)


def load_spec(name_or_path: str) -> Spec:
    """The checked spec of a shipped name or of a file.

    >>> spec = trailrank.load_spec("kuairand")
    >>> spec.name, spec.tasks[0].name
    ('kuairand', 'valid_play')

    Raises:
        SpecError: No such spec, or all mistakes in the file at once.
    """
    return read_spec(shipped_text(_SPECS, name_or_path, "spec"), name_or_path)


def read_spec(text: str, source: str = "spec") -> Spec:
    """The checked spec that a YAML text holds; `source` names it in errors.

    >>> text = trailrank.load_spec("movielens").text
    >>> trailrank.read_spec(text).name
    'movielens'

    Raises:
        SpecError: All mistakes in the text at once.
    """
    load_plugins()
    return _read_spec(text, source)


@functools.lru_cache(maxsize=8)  # every step of a pipeline reads it anew
def _read_spec(text: str, source: str) -> Spec:
    raw = parse_yaml(text, source)
    check_entries(raw, source)
    problems = Problems(source)
    for key in raw:
        if key not in _SECTIONS:
            problems.add(str(key), f"is no section.{closest(str(key), _SECTIONS)}")
    spec = _read(Reading(raw, problems), text)
    if spec is None or problems.found:
        raise SpecError(source, problems.found)
    return spec


def _read(reading: Reading, text: str) -> Spec | None:
    """The whole spec; None if a section that it needs is broken."""
    name = reading.raw.get("name")
    reading.name("name", name)
    log = read_log(reading)
    events = read_events(reading, log)
    past = read_past(reading, log, events)
    filters = read_filters(reading, past)
    tables = read_tables(reading)
    features = read_features(reading, past, tables)
    tasks = read_tasks(reading, log, past, features)
    facets = read_facets(reading, features)
    fusion = read_fusion(reading, features, tasks, facets)
    evaluation = read_evaluation(reading, log, past, tasks)
    data_gates = read_data_gates(reading, features, tasks)
    if log is None or fusion is None:
        return None
    return Spec(
        name=str(name),
        log=log,
        events=events.entries,
        filters=filters,
        trail=past.trail,
        history=past.history,
        histories=past.histories,
        counters=past.counters,
        statistics=past.statistics,
        quantiles=past.quantiles,
        derived=past.derived,
        tables=tables,
        features=tuple(features),
        tasks=tuple(tasks),
        facets=facets,
        fusion=fusion,
        evaluation=evaluation,
        data_gates=data_gates,
        column_types=past.column_types,
        text=text,
    )
