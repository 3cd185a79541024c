"""Guesses -> the YAML of a spec, with comments that say why, and what nothing tells."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from pipeline.proposing.columns import Column, mean_of
from pipeline.proposing.guess_features import FeatureGuess, of_group
from pipeline.proposing.guess_keys import EventsGuess, JoinGuess
from pipeline.proposing.guess_outcomes import unit_of
from pipeline.proposing.guess_tasks import TaskGuess, positive_rule
from pipeline.proposing.guesses import Guesses, without_day
from pipeline.proposing.names import feature_name, sql, yaml

UNKNOWN = "could not know"
_GROUPS = {"query": "The user", "candidate": "The video", "context": "The request"}
_TRAIL = {
    "trail_position": (2, 3, 5, 9, 17, 33, 65),
    "trail_seconds": (15, 60, 180, 600, 1800, 3600),
}
_LEAST_AUC = 0.55
_STRENGTH = 20


def as_yaml(guesses: Guesses, name: str, where: str) -> str:
    """The text of a spec.

    Args:
        guesses: What is proposed.
        name: Of the spec.
        where: The directory that was looked at, for the first lines.
    """
    sections = (
        _head(guesses, where),
        [f"name: {name}"],
        _log(guesses),
        _events(guesses),
        _filters(guesses),
        _trail(guesses),
        _history(guesses),
        _statistics(guesses),
        _tables(guesses),
        _features(guesses),
        _tasks(guesses),
        _fusion(guesses),
        _evaluation(guesses),
    )
    texts = ("\n".join(lines) for lines in sections)
    return "\n\n".join(text for text in texts if text) + "\n"


def unknown_lines(text: str) -> list[str]:
    """What a proposed spec says that it could not know."""
    return [
        line.partition("# ")[2].partition(f"{UNKNOWN}: ")[2]
        for line in text.splitlines()
        if f"{UNKNOWN}: " in line
    ]


# --- the log --------------------------------------------------------------------------


def _head(guesses: Guesses, where: str) -> Iterator[str]:
    sample = guesses.roles.log.sample
    yield f"# Proposed for {where}. Read it before you use it:"
    yield f'# what the files do not tell is marked "{UNKNOWN}".'
    seen = "all" if sample.is_whole else f"{sample.rows.height:,} of about"
    yield (
        f"# Looked at: {sample.table.name}, {seen} {sample.row_count:,} rows, about "
        f"{guesses.rows_a_day:,.0f} a day."
    )
    for table, why in guesses.roles.others.items():
        yield f"# Not used: {table}: {why}."


def _log(guesses: Guesses) -> Iterator[str]:
    roles, table = guesses.roles, guesses.roles.log.sample.table
    yield "log:"
    yield f"  format: {table.form.format}"
    why = f"   # {guesses.folder_why}" if guesses.folder_why else ""
    yield f"  files: {json.dumps(guesses.pattern)}{why}"
    if guesses.folder_zone:
        yield f"  folder_timezone: {guesses.folder_zone}"
    if table.form.separator != ",":
        yield f"  separator: {json.dumps(table.form.separator)}"
    if not table.form.has_header:
        yield (
            f"  # {UNKNOWN}: the files have no header. These names are made up; give "
            "your own."
        )
        yield f"  header: [{', '.join(table.form.columns)}]"
    sure = (
        ""
        if roles.is_sure
        else (f"   # {UNKNOWN}: the first two columns with many different values")
    )
    yield f"  user: {yaml(roles.user)}{sure}"
    yield f"  item: {yaml(roles.item)}"
    yield from _time(guesses)
    zone, why = guesses.zone
    yield f"  timezone: {zone}   # {why}"
    yield "  columns:"
    for column in roles.log.columns.values():
        yield f"    {_declared(column)}"
    yield f"  outcomes: [{', '.join(map(yaml, guesses.outcomes))}]"
    for name, why in guesses.outcomes.items():
        if why:
            yield f"  # {name}: {why}."
    if roles.random:
        flag = roles.log.columns[roles.random]
        condition = sql(roles.random) + (" = 1" if flag.is_number else "")
        why = "by its name: shown whatever the model thought"
        yield f"  random: {json.dumps(condition)}   # {why}"
    if roles.request:
        yield (
            f"  request: {yaml(roles.request)}   # by its name; metrics are told by "
            "request, too"
        )
    yield from _joins(guesses)
    if guesses.days_per_split > 1:
        yield (
            f"  days_per_split: {guesses.days_per_split}   # about "
            f"{guesses.rows_a_day:,.0f} rows a day: several days share a split"
        )


def _time(guesses: Guesses) -> Iterator[str]:
    time = guesses.roles.time
    if time.shift_s:
        yield (
            f"  # {UNKNOWN}: no unit makes {time.column.name} a time of 1995 to "
            "2059. It is taken for seconds, shifted to begin in 2022: days and hours "
            "are made up."
        )
        sign = "-" if time.shift_s < 0 else "+"
        expr = f"{sql(time.column.name)} {sign} {abs(time.shift_s)}"
        keys = {"expr": json.dumps(expr), "unit": "s"}
    else:
        keys = {"column": yaml(time.column.name)}
        if time.unit:
            keys["unit"] = time.unit
    if guesses.zone_column:
        keys["zone_column"] = yaml(guesses.zone_column)
    for role, column in (("watched", guesses.watched), ("length", guesses.length)):
        if column is not None:
            keys[f"{role}_{unit_of(column)}"] = yaml(column.name)
    yield f"  time: {_flow(keys)}"
    for column in (guesses.watched, guesses.length):
        if column is not None and not set(column.words) & {"ms", "s", "sec", "seconds"}:
            yield (
                f"  # {column.name} is taken for {unit_of(column)} by its median, "
                f"{column.quantile(0.5):g}."
            )


def _joins(guesses: Guesses) -> Iterator[str]:
    used = [join for join in guesses.roles.joins if not join.totals]
    if used:
        yield "  joins:"
    seen = set(guesses.roles.log.columns)
    for join in used:
        yield from _join(join, guesses, seen)
    for join in guesses.roles.joins:
        if join.totals:
            yield (
                f"  # {join.look.sample.table.pattern} is not joined, though its key "
                f"is {join.key}: {', '.join(join.totals[:3])}... count what users did. "
                "If they cover the days you train on, a model fed with them has seen "
                "the future."
            )


def _join(join: JoinGuess, guesses: Guesses, seen: set[str]) -> Iterator[str]:
    table = join.look.sample.table
    form = guesses.roles.log.sample.table.form
    why = f"unique, and has {join.covered:.0%} of the log's sampled values"
    yield f"    {yaml(join.look.name)}:   # {join.key} is {why}"
    if table.form.format != form.format:
        yield f"      format: {table.form.format}"
    yield f"      files: {json.dumps(without_day(table.pattern))}"
    yield f"      key: {yaml(join.key)}"
    yield "      columns:"
    key = guesses.roles.log.columns[join.key]
    for name, column in join.look.columns.items():
        if name == join.key:
            yield f"        {yaml(name)}: {key.type}"
        elif name in seen:
            yield f"        # {name}: the log or another side file has one already"
        else:
            seen.add(name)
            # A new user or video may lack what those of the sample have.
            yield f"        {yaml(name)}: {column.type}?"


def _declared(column: Column) -> str:
    return f"{yaml(column.name)}: {column.declared}"


# --- events ---------------------------------------------------------------------------


def _events(guesses: Guesses) -> Iterator[str]:
    if guesses.roles.events:
        yield "events:"
    for events in guesses.roles.events:
        yield from _events_of(events, guesses)


def _events_of(events: EventsGuess, guesses: Guesses) -> Iterator[str]:
    look, log = events.look, guesses.roles.log
    assert look.time is not None
    why = f"a time, {events.key[0]}, {events.action} with {len(events.actions)} values"
    yield f"  {yaml(look.name)}:   # {why}"
    if look.sample.table.form.format != log.sample.table.form.format:
        yield f"    format: {look.sample.table.form.format}"
    yield f"    files: {json.dumps(look.sample.table.pattern)}"
    key = events.key[0] if len(events.key) == 1 else f"[{', '.join(events.key)}]"
    yield f"    key: {key}"
    if guesses.roles.user in look.columns and len(events.key) == 1:
        yield f"    user: {yaml(guesses.roles.user)}"
    if events.id:
        yield f"    id: {yaml(events.id)}   # events that come twice count once"
    time = {"column": yaml(look.time.column.name)}
    if look.time.unit:
        time["unit"] = look.time.unit
    yield f"    time: {_flow(time)}"
    yield f"    window: 24h   # {UNKNOWN}: how late an event may come and still count"
    yield "    types:"
    for column in look.columns.values():
        yield f"      {_declared(column)}"
    yield "    columns:"
    for (table, action), name in guesses.event_columns.items():
        if table == look.name:
            yield f"      {yaml(name)}: {json.dumps(_aggregate(events, action))}"


def _aggregate(events: EventsGuess, action: str) -> str:
    """Whether an event came, and was not taken back."""

    def count(value: str) -> str:
        return f"COUNT(*) FILTER (WHERE {sql(events.action)} = '{value}')"

    undone = f"un{action}"
    return f"{count(action)} > {count(undone) if undone in events.actions else 0}"


# --- what is made of the log ----------------------------------------------------------


def _filters(guesses: Guesses) -> Iterator[str]:
    watched, length = guesses.watched, guesses.length
    if watched is None or length is None or watched.name == length.name:
        return
    scale = {"ms": 1, "s": 1000}
    factor = 20 * scale[unit_of(length)] / scale[unit_of(watched)]
    if length.name not in guesses.roles.log.columns:
        return
    beyond = (watched.values < 0) | (watched.values > factor * length.values)
    if odd := mean_of(beyond):
        yield "filters:"
        yield (
            f"  keep:   # {odd:.2%} of the sample was watched less than 0 or over 20 "
            "times its length"
        )
        rule = f"{sql(watched.name)} BETWEEN 0 AND {factor:g} * {sql(length.name)}"
        yield f"    watch_length: {json.dumps(rule)}"


def _trail(guesses: Guesses) -> Iterator[str]:
    yield f"# The gap: {guesses.gap.why}."
    user = yaml(guesses.roles.user)
    yield f"trail: {{gap_minutes: {guesses.gap.minutes}, scope: [{user}]}}"


def _history(guesses: Guesses) -> Iterator[str]:
    of_events = set(map(sql, guesses.event_columns.values()))
    rule = positive_rule([t for t in guesses.tasks if t.label not in of_events])
    if rule == "TRUE":
        rule = positive_rule([t for t in guesses.tasks if t.label in of_events])
    why = f"   # {UNKNOWN}: which impressions were liked; all are kept"
    why = why if rule == "TRUE" else ""
    yield "history:"
    yield f"  positive: {json.dumps(rule)}{why}"
    yield f"  columns: [{yaml(guesses.roles.item)}]"
    yield "  length: 50"


def _statistics(guesses: Guesses) -> Iterator[str]:
    """How often the user and the video had the commonest good outcome, days before."""
    task = _main_task(guesses)
    if task is None:
        return
    value = json.dumps(f"CAST({task.label} AS BIGINT)")
    yield "# What everybody did on the days before."
    yield "statistics:"
    for side, column in (("user", guesses.roles.user), ("item", guesses.roles.item)):
        keys = {
            "name": f"{side}_{task.name}_rate",
            "by": json.dumps(column),
            "value": value,
            "days": str(max(7, guesses.days_per_split)),
            "prior": f"{task.mean:.2g}",
            "strength": str(_STRENGTH),
        }
        yield f"  - {_flow(keys)}"


def _main_task(guesses: Guesses) -> TaskGuess | None:
    """The commonest good binary task of the log's own columns."""
    columns = guesses.roles.log.columns
    in_log = guesses.length is None or guesses.length.name in columns
    found = [
        task
        for task in guesses.tasks
        if task.is_binary
        and task.fusion > 0
        and not math.isnan(task.mean)
        and (in_log or task.name != "finish")
    ]
    return max(found, key=lambda task: task.mean, default=None)


# --- the model ------------------------------------------------------------------------


def _tables(guesses: Guesses) -> Iterator[str]:
    yield "tables:"
    for name, (buckets, seen) in guesses.features.tables.items():
        yield f"  {name}: {{buckets: {buckets}}}   # {seen}"


def _features(guesses: Guesses) -> Iterator[str]:
    yield "features:"
    made = list(_made_features(guesses))
    for group, title in _GROUPS.items():
        yield f"  # {title}"
        for feature in of_group([*guesses.features.features, *made], group):
            yield _feature(feature)
    yield "  # The watch trail: trained on, never served"
    for name, boundaries in _TRAIL.items():
        keys = {"name": name, "group": "trail", "kind": "bucket"}
        yield f"  - {_flow(keys | {'boundaries': str(list(boundaries))})}"
    for name, why in guesses.features.left_out.items():
        yield f"  # {name} is none: {why}."


def _made_features(guesses: Guesses) -> Iterator[FeatureGuess]:
    """Of the history and the statistics."""
    item = guesses.roles.item
    table = next(f for f in guesses.features.features if _is_item(f, item)).settings[
        "table"
    ]
    name = feature_name(f"history_{item}")
    keys = {"table": table, "pooling": "mean"}
    if name != f"history_{item}":
        keys["expr"] = json.dumps(sql(f"history_{item}"))
    yield FeatureGuess(name, "query", "sequence", keys)
    task = _main_task(guesses)
    if task is not None:
        yield FeatureGuess(f"user_{task.name}_rate", "query", "number")
        yield FeatureGuess(f"item_{task.name}_rate", "candidate", "number")


def _is_item(feature: FeatureGuess, item: str) -> bool:
    return feature.group == "candidate" and feature.name == feature_name(item)


def _feature(feature: FeatureGuess) -> str:
    keys = {"name": feature.name, "group": feature.group, "kind": feature.kind}
    line = f"  - {_flow(keys | dict(feature.settings))}"
    return f"{line}   # {feature.why}" if feature.why else line


def _tasks(guesses: Guesses) -> Iterator[str]:
    yield "tasks:"
    for task in guesses.tasks:
        keys = {"name": task.name, "kind": task.kind, "label": json.dumps(task.label)}
        if task.is_sparse:
            keys |= {"sparse": "true", "loss_weight": str(task.loss_weight)}
        says = [] if math.isnan(task.mean) else [f"mean {task.mean:.3g} in the sample"]
        says += [task.why] if task.why else []
        yield f"  - {_flow(keys)}" + (f"   # {'; '.join(says)}" if says else "")
    for name, why in guesses.no_tasks.items():
        yield f"  # {name} is none: {why}."


def _fusion(guesses: Guesses) -> Iterator[str]:
    weights = {t.name: f"{t.fusion:g}" for t in guesses.tasks if t.fusion}
    if not weights:
        weights = {guesses.tasks[0].name: "1"}
    why = "what a like is worth against a minute watched. Set these weights."
    yield f"# {UNKNOWN}: {why}"
    yield "fusion:"
    yield f"  weights: {_flow(weights)}"


def _evaluation(guesses: Guesses) -> Iterator[str]:
    judged = [
        task.name
        for task in guesses.tasks
        if task.is_binary and not math.isnan(task.mean) and not task.is_sparse
    ]
    slices = [guesses.roles.random] if guesses.roles.random else []
    if not judged and not slices:
        return
    yield "evaluation:"
    if slices:
        yield f"  slices: [{', '.join(map(yaml, slices))}]"
    if judged:
        limits = dict.fromkeys(judged[:3], f"{_LEAST_AUC}")
        why = "better than chance; raise them when you know your model"
        yield f"  min_auc: {_flow(limits)}   # {why}"
        yield "  max_auc_drop: 0.01"


def _flow(keys: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"
