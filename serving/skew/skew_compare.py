"""The two ways of a row side by side: that of training, and that of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs import FeatureSpec, Spec
from serving.client.calls import Call, ClientError, Metadata, Predict, Target
from serving.client.client import transport
from serving.client.retries import Retries
from serving.export.agreement import tolerance_of
from serving.export.requests import columns
from serving.export.signatures import EXAMPLES
from serving.load.load_requests import ROWS
from serving.models.session import load_signatures
from serving.ranking.served_run import ServedRun
from serving.skew.logged_rows import LoggedRowError, LoggedRows, refusal
from serving.skew.skew import (
    FeatureSkew,
    PredictionSkew,
    SkewReport,
    chunks,
    feature_skew,
    prediction_skew,
)
from serving.skew.skew_rows import TrainedRow, sample_rows, trained_values, with_values
from trainer.days.encoding import read_encoding
from trainer.days.layout import Layout

_SCORE_EXAMPLES = "score_examples"
_SCORES = ("score", "log_score")

Arrays = dict[str, npt.NDArray[Any]]
Values = Mapping[str, Any]


class _Served:
    """Rows to one model of a server: `serving_default`, as a client calls it.

    Attributes:
        version: That answers.
    """

    def __init__(self, url: str, target: Target, timeout_s: float, spec: Spec):
        self._url, self._model, self._timeout_s = url, target.model, timeout_s
        self._spec = spec
        self._transport = transport(url, target)
        self.version = ""
        self._inputs: dict[str, Any] = {}  # as the metadata has them

    def __enter__(self) -> _Served:
        try:
            self._look()
        except BaseException:
            self._transport.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._transport.close()

    def _look(self) -> None:
        """The version and its inputs; ClientError if it is no model of the spec."""
        found = self._send(Metadata())
        self.version = str(found["model_spec"]["version"])
        signatures = found["metadata"]["signature_def"]["signature_def"]
        signature = signatures.get(ROWS, {"inputs": {}, "outputs": {}})
        self._inputs = signature["inputs"]
        features = [feature.name for feature in self._spec.served_features]
        absent = [f"input {n}" for n in features if n not in self._inputs]
        tasks = [task.name for task in self._spec.tasks]
        absent += [f"output {n}" for n in tasks if n not in signature["outputs"]]
        if absent:
            more = f" and {len(absent) - 1} more" if absent[1:] else ""
            raise ClientError(
                f"{self._url}: signature {ROWS!r} of model {self._model!r} has no "
                f"{absent[0]}{more}: it was made with another spec than the run. Serve "
                "this run's model, or name another --model."
            )

    def as_read(self, inputs: dict[str, list[Any]]) -> Arrays:
        """Input -> what a server reads of it, after all of the wire format."""
        call = Predict(signature=ROWS, inputs=inputs)
        return self._transport.as_read(call, self._inputs)

    def predict(self, inputs: dict[str, list[Any]]) -> dict[str, list[float]]:
        """Output -> predictions."""
        found: dict[str, list[float]] = self._send(
            Predict(signature=ROWS, inputs=inputs)
        )
        return found

    def _send(self, call: Call) -> Any:
        return Retries().run(
            lambda left_s: self._transport.send(call, left_s), self._timeout_s
        )


class Comparison:
    """One run against one served model.

    Args:
        run: Whose rows and model are right.
        url: Of the server.
        model: Its name there.
        version: Of it, or None.
        label: A version's label, or None.
        timeout_s: For an answer.
        tolerance: Of predictions; None: by what the run's model computes with.
    """

    def __init__(
        self,
        run: ServedRun,
        *,
        url: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout_s: float,
        tolerance: float | None,
    ):
        self._run, self._spec, self._url = run, run.spec, url
        self._target = Target(model=model, version=version, label=label)
        self._timeout_s = timeout_s
        self._tolerance = tolerance_of(run.model) if tolerance is None else tolerance

    def of(
        self, directories: list[str], logged: LoggedRows | None, rows: int, seed: int
    ) -> SkewReport:
        """Compares rows of splits, as they are or as a backend sent them."""
        wanted = logged.rows.keys() if logged else None
        found = sample_rows(self._spec, directories, rows, seed, wanted)
        self._check_found(found, logged, directories)
        expected = trained_values(self._spec, found)
        sent = [logged.rows[r.key] for r in found] if logged else expected
        refusals = {
            f.name: [refusal(f, values.get(f.name)) for values in sent]
            for f in self._spec.served_features
        }
        taken = [
            n for n in range(len(found)) if not any(r[n] for r in refusals.values())
        ]
        with _Served(self._url, self._target, self._timeout_s, self._spec) as served:
            features = self._features(found, expected, sent, refusals, served)
            predictions = self._predictions(found, sent, taken, served)
        return SkewReport(
            url=self._url,
            version=served.version,
            rows=len(found),
            predicted=len(taken),
            tolerance=self._tolerance,
            features=features,
            predictions=predictions,
            notes=tuple(self._notes(served.version, found, logged, taken, directories)),
        )

    def _check_found(
        self,
        found: list[TrainedRow],
        logged: LoggedRows | None,
        directories: list[str],
    ) -> None:
        if found:
            return
        where = f"{len(directories)} splits, the last one {directories[-1]}"
        if logged is None:
            raise LoggedRowError(f"{self._run.root}: no rows in {where}.")
        key = next(iter(logged.rows))
        raise LoggedRowError(
            f"--requests: none of its {len(logged.rows):,} rows is in the examples of "
            f"{self._run.root} ({where}), by user, item and time in ms, like {key}. "
            "Are they of other days, or of another log? Name the --split."
        )

    # --- features ---------------------------------------------------------------------

    def _features(
        self,
        rows: list[TrainedRow],
        expected: Sequence[Values],
        sent: Sequence[Values],
        refusals: Mapping[str, list[str]],
        served: _Served,
    ) -> tuple[FeatureSkew, ...]:
        """Every served feature of the spec that differs, in its order."""
        graph = self._run.transform_graph
        vocabularies = read_encoding(graph).vocabularies
        layout = Layout(self._spec, graph)
        trained = self._encoded(layout, [row.serialized for row in rows])
        as_served = self._as_served(rows, sent, refusals, served)
        given = self._encoded(layout, as_served)
        found = []
        for feature in self._spec.served_features:
            both = (self._of(feature, trained), self._of(feature, given))
            known = vocabularies.get(feature.name)
            told = refusals[feature.name]
            found.append(feature_skew(feature, rows, expected, sent, both, told, known))
        return tuple(skew for skew in found if skew is not None)

    def _as_served(
        self,
        rows: list[TrainedRow],
        sent: Sequence[Values],
        refusals: Mapping[str, list[str]],
        served: _Served,
    ) -> list[bytes]:
        """The examples with what a server reads of the values; refused ones missing."""
        features = self._spec.served_features
        given = [
            {name: v for name, v in values.items() if not refusals[name][n]}
            for n, values in enumerate(sent)
        ]
        found = []
        for part in chunks(len(rows)):
            inputs = columns(features, given[part])
            arrays = served.as_read(inputs)
            found += [
                with_values(self._spec, row, arrays, place)
                for place, row in enumerate(rows[part])
            ]
        return found

    def _encoded(self, layout: Layout, serialized: list[bytes]) -> Arrays:
        """Name -> what the model reads, [B] or [B, N]."""
        matrix = layout.reader()(np.array(serialized, object))
        batch = layout.unpack(matrix, len(serialized))
        return {name: value.numpy() for name, value in batch.features.items()}

    def _of(self, feature: FeatureSpec, encoded: Arrays) -> npt.NDArray[Any]:
        """The feature's values, and the facets that are made of it."""
        inputs, name = self._spec.facet_inputs, feature.name
        made = [entry.name for entry in inputs if entry.feature.name == name]
        if not made:
            return encoded[name]
        return np.column_stack([encoded[one] for one in (name, *made)])

    # --- predictions ------------------------------------------------------------------

    def _predictions(
        self,
        rows: list[TrainedRow],
        sent: Sequence[Values],
        taken: list[int],
        served: _Served,
    ) -> tuple[PredictionSkew, ...]:
        """Every output, of the rows that a server takes."""
        if not taken:
            return ()
        chosen = [rows[n] for n in taken]
        names = [_SCORE_EXAMPLES]
        score = load_signatures(self._run.model, names)[_SCORE_EXAMPLES]
        serialized = np.array([row.serialized for row in chosen], object)
        expected = score({EXAMPLES: serialized})
        got = self._asked([sent[n] for n in taken], served)
        tasks = [task.name for task in self._spec.tasks]
        return tuple(
            prediction_skew(name, chosen, expected[name], got[name], self._tolerance)
            for name in (*tasks, *_SCORES)
            if name in expected and name in got  # a model of an earlier release has one
        )

    def _asked(self, sent: Sequence[Values], served: _Served) -> Arrays:
        """Output -> the server's predictions, [B]."""
        features, answers = self._spec.served_features, []
        for part in chunks(len(sent)):
            inputs = columns(features, sent[part])
            answers.append(served.predict(inputs))
        return {
            name: np.concatenate([np.asarray(answer[name]) for answer in answers])
            for name in answers[0]
        }

    # --- notes ------------------------------------------------------------------------

    def _notes(
        self,
        served: str,
        rows: list[TrainedRow],
        logged: LoggedRows | None,
        taken: list[int],
        directories: list[str],
    ) -> list[str]:
        notes = []
        own = self._run.version
        if own and served != own:
            notes.append(
                f"the server has version {served}, and the run's is {own}: predictions "
                "of another model differ"
            )
        if len(taken) < len(rows):
            notes.append(
                f"a server refuses {len(rows) - len(taken)} of the rows; their "
                "predictions were not compared"
            )
        if logged and len(rows) < len(logged.rows):
            notes.append(
                f"{len(rows):,} of the {len(logged.rows):,} rows of requests were "
                "compared: the others are not in the examples, or above --rows"
            )
        if logged and logged.unknown:
            unknown = ", ".join(logged.unknown)
            notes.append(f"left out, as the model has no such feature: {unknown}")
        return notes
