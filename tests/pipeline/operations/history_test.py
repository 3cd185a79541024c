"""The history of a directory: what is in its table, and in its figure."""

import dataclasses

from pipeline.ledger import read_ledger, write_ledger
from pipeline.operations.history import (
    FIGURE,
    draw_history,
    history,
    history_tables,
    why,
    write_history,
)
from pipeline.operations.rollback import rollback


def rows(table) -> list[list[str]]:
    columns = [list(column.cells) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def test_each_run_is_told_with_what_became_of_it(known_run):
    rollback(known_run.root, known_run.versions[0], why="likes fell")
    found = history(known_run.root)
    runs, back = history_tables(found)
    told = rows(runs)
    assert told[0] == [
        *("20220410-030000", "20220408:20220409", "20220408", "20220409"),
        *("0.7000", "pushed", known_run.versions[0], ""),
    ]
    assert told[2][5:] == ["refused", "", "like: AUC fell"]
    assert told[3][6] == f"{known_run.versions[2]} (rolled_back)"
    first, *_, third = known_run.versions
    assert rows(back)[0][1:3] + rows(back)[0][4:] == [third, first, "likes fell"]
    values = found.to_json()
    assert values["runs"][0]["metrics"] == {"like": {"auc": 0.7, "gauc": None}}
    assert "log_files" not in values["runs"][0]


def test_gates_that_refused_are_named(known_run):
    run = read_ledger(known_run.root).runs[2]
    gate = {"measure": "auc", "of": "like", "slice": "", "outcome": "refused"}
    gates = [
        gate,
        {**gate, "slice": "tab=1"},
        {**gate, "of": "click", "outcome": "passed"},
    ]
    run = dataclasses.replace(run, gates=gates)
    assert why(run) == "auc of like, auc of like tab=1"
    assert why(dataclasses.replace(run, outcome="pushed")) == ""  # gate: none
    run = dataclasses.replace(run, gates=[])
    assert len(why(dataclasses.replace(run, message="x" * 200))) < 80


def test_the_figure_has_a_line_a_task_of_those_that_moved_most(known_run):
    ledger = read_ledger(known_run.root)
    for number, run in enumerate(ledger.runs):
        metrics = {
            f"task {n}": {"auc": 0.6 + 0.01 * n * number, "gauc": None}
            for n in range(10)
        }
        ledger = ledger.with_run(dataclasses.replace(run, metrics=metrics))
    write_ledger(known_run.root, ledger)
    path = write_history(known_run.root)
    assert path == str(known_run.root / FIGURE)
    with open(path, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_without_a_metric_there_is_no_figure(known_run):
    found = history(known_run.root)
    runs = tuple(dataclasses.replace(run, metrics={}) for run in found.runs)
    assert draw_history(dataclasses.replace(found, runs=runs)) is None
