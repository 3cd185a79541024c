"""The two ways of a row side by side: that of training, and that of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs import FeatureSpec
from serving.agreement import tolerance_of
from serving.calls import Predict, Target
from serving.client import Client
from serving.load_requests import ROWS
from serving.logged_rows import LoggedRowError, LoggedRows, refusal
from serving.requests import columns
from serving.served_run import ServedRun
from serving.session import load_signatures
from serving.signatures import EXAMPLES
from serving.skew import (
    FeatureSkew,
    PredictionSkew,
    SkewReport,
    chunks,
    feature_skew,
    prediction_skew,
)
from serving.skew_rows import TrainedRow, sample_rows, trained_values, with_values
from trainer.days.encoding import read_encoding
from trainer.days.layout import Layout

_SCORE_EXAMPLES = "score_examples"
_SCORES = ("score", "log_score")

Arrays = dict[str, npt.NDArray[Any]]
Values = Mapping[str, Any]


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
        with self._client() as client:
            served = client.metadata()["model_spec"]["version"]
            features = self._features(found, expected, sent, refusals, client)
            predictions = self._predictions(found, sent, taken, client)
        return SkewReport(
            url=self._url,
            version=str(served),
            rows=len(found),
            predicted=len(taken),
            tolerance=self._tolerance,
            features=features,
            predictions=predictions,
            notes=tuple(self._notes(str(served), found, logged, taken, directories)),
        )

    def _client(self) -> Client:
        return Client(
            self._url,
            self._target.model,
            self._timeout_s,
            version=self._target.version,
            label=self._target.label,
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
        client: Client,
    ) -> tuple[FeatureSkew, ...]:
        """Every served feature of the spec that differs, in its order."""
        graph = self._run.transform_graph
        vocabularies = read_encoding(graph).vocabularies
        layout = Layout(self._spec, graph)
        trained = self._encoded(layout, [row.serialized for row in rows])
        served = self._encoded(layout, self._as_served(rows, sent, refusals, client))
        found = []
        for feature in self._spec.served_features:
            both = (self._of(feature, trained), self._of(feature, served))
            known = vocabularies.get(feature.name)
            told = refusals[feature.name]
            found.append(feature_skew(feature, rows, expected, sent, both, told, known))
        return tuple(skew for skew in found if skew is not None)

    def _as_served(
        self,
        rows: list[TrainedRow],
        sent: Sequence[Values],
        refusals: Mapping[str, list[str]],
        client: Client,
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
            arrays = client.as_read(Predict(signature=ROWS, inputs=inputs))
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
        client: Client,
    ) -> tuple[PredictionSkew, ...]:
        """Every output, of the rows that a server takes."""
        if not taken:
            return ()
        chosen = [rows[n] for n in taken]
        score = load_signatures(self._run.model)[_SCORE_EXAMPLES]
        serialized = np.array([row.serialized for row in chosen], object)
        expected = score({EXAMPLES: serialized})
        got = self._asked([sent[n] for n in taken], client)
        names = [*(task.name for task in self._spec.tasks), *_SCORES]
        return tuple(
            prediction_skew(name, chosen, expected[name], got[name], self._tolerance)
            for name in names
            if name in expected and name in got
        )

    def _asked(self, sent: Sequence[Values], client: Client) -> Arrays:
        """Output -> the server's predictions, [B]."""
        features, answers = self._spec.served_features, []
        for part in chunks(len(sent)):
            inputs = columns(features, sent[part])
            answers.append(client.predict(inputs=inputs, signature_name=ROWS))
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
