"""A run's metadata database, as far as one asks of it without TensorFlow.

TFX writes it; a process that is killed leaves executions there that seem to run for
ever, and directories that nobody will finish. Whoever holds the run's lock knows that
they are dead.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Collection, Iterable, Iterator

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

_OPEN = (mlmd.Execution.NEW, mlmd.Execution.RUNNING)
_SYSTEM = ".system"
_RUN = "pipeline_run"
_ENDED = "ended"  # custom property of an execution that died
_AT_ONCE = 500  # ids in a question, which SQLite limits


def end_dead_executions(database: str, artifacts: str) -> list[int]:
    """Marks executions that nobody runs any more as failed, and removes their outputs.

    The caller holds the lock of the run, and no step of this process runs.

    Args:
        database: `metadata.sqlite`; may not be there yet.
        artifacts: Directory `<step>/<output>/<execution>` of all outputs.

    Returns:
        The ids of those that were marked.
    """
    if not os.path.exists(database):
        return []
    store = _store(database)
    dead = [e for e in _executions(store) if e.last_known_state in _OPEN]
    for execution in dead:
        execution.last_known_state = mlmd.Execution.FAILED
        execution.custom_properties[_ENDED].string_value = "its process was ended"
    ids = [execution.id for execution in dead]
    _abandon(store, ids)
    _remove_outputs(artifacts, ids)
    if dead:  # last: who is stopped before this comes here again
        store.put_executions(dead)
    return ids


def live_artifacts(database: str) -> set[str]:
    """URIs of the outputs of executions that ended well."""
    live = mlmd.Artifact.LIVE
    return {a.uri for a in _store(database).get_artifacts() if a.state == live}


def used_by_last_runs(database: str, keep: int) -> list[str]:
    """URIs of what the executions of the last runs read and gave, cached ones too."""
    store = _store(database)
    runs = store.get_contexts_by_type(_RUN)
    runs.sort(key=lambda run: (run.create_time_since_epoch, run.id))
    executions = {
        execution.id
        for run in runs[-keep:]
        for execution in store.get_executions_by_context(run.id)
    }
    artifacts = {
        event.artifact_id
        for ids in _parts(sorted(executions))
        for event in store.get_events_by_execution_ids(ids)
    }
    return [
        artifact.uri
        for ids in _parts(sorted(artifacts))
        for artifact in store.get_artifacts_by_id(ids)
    ]


def mark_deleted(database: str, paths: Collection[str]) -> None:
    """Says of the artifacts in some directories that they are gone."""
    store = _store(database)
    gone = []
    for artifact in store.get_artifacts():
        place = artifact.uri
        if any(place == p or place.startswith(f"{p}{os.sep}") for p in paths):
            artifact.state = mlmd.Artifact.DELETED
            gone.append(artifact)
    if gone:
        store.put_artifacts(gone)


def _store(database: str) -> metadata_store.MetadataStore:
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = database
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE
    return metadata_store.MetadataStore(config)


def _executions(store: metadata_store.MetadataStore) -> list[mlmd.Execution]:
    found: list[mlmd.Execution] = store.get_executions()
    return found


def _abandon(store: metadata_store.MetadataStore, executions: list[int]) -> None:
    """Artifacts that were promised by executions that died will never be there."""
    outputs = (mlmd.Event.OUTPUT, mlmd.Event.PENDING_OUTPUT)
    for ids in _parts(executions):
        events = store.get_events_by_execution_ids(ids)
        promised = sorted({e.artifact_id for e in events if e.type in outputs})
        for part in _parts(promised):
            artifacts = [
                artifact
                for artifact in store.get_artifacts_by_id(part)
                if artifact.state != mlmd.Artifact.LIVE
            ]
            for artifact in artifacts:
                artifact.state = mlmd.Artifact.ABANDONED
            if artifacts:
                store.put_artifacts(artifacts)


def _remove_outputs(artifacts: str, executions: list[int]) -> None:
    """Outputs of executions, and TFX's own directories: each is named by the id."""
    for number in executions:
        for step in pathlib.Path(artifacts).glob("*"):
            for pattern in (f"*/{number}", f"{_SYSTEM}/*/{number}"):
                for path in step.glob(pattern):
                    shutil.rmtree(path)


def _parts(ids: Iterable[int]) -> Iterator[list[int]]:
    every = list(ids)
    for begin in range(0, len(every), _AT_ONCE):
        yield every[begin : begin + _AT_ONCE]
