"""Impressions drawn at random, each scored beside others in its own context.

A raw example is parted into what is the candidate's and all else. Serialized, one part
after the other is an example again, so that the candidate of one impression stands in
the context of another, and the model scores it as it scores any row.

Paired features (what this user did with that author...) are known of the candidate that
was logged only. They are left out of all candidates alike, its own too: else what was
logged would be told from the others by them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import tensorflow as tf

from feature_specs import Spec, expressions
from feature_specs.spec import KEY_ITEM, KEY_USER, FusionSpec, slice_key
from pipeline.evaluation import scoring
from pipeline.evaluation.scoring import Days
from pipeline.examples.columns.evaluate import holds
from pipeline.examples.hashing import hash_columns
from pipeline.fusion_search import weighing
from pipeline.fusion_search.partitions import Partitions
from pipeline.fusion_search.scored import halves_of

_BATCH = 4096

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_Places: TypeAlias = "npt.NDArray[np.int64]"


@dataclasses.dataclass(frozen=True)
class RandomSlice:
    """The random impressions of some days, N of them.

    Attributes:
        frame: Keys, labels and masks [N].
        day: [N] the number of each one's day; rows of a day lie together.
        contexts: [N] serialized, without features of the candidate.
        candidates: [N] serialized features of the candidate, without paired ones.
    """

    frame: pl.DataFrame
    day: _Places
    contexts: npt.NDArray[np.object_]
    candidates: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return self.frame.height

    @property
    def items(self) -> int:
        """Different ones that were shown."""
        return self.frame[KEY_ITEM].n_unique()


def read_slice(
    spec: Spec, days: Days, most_rows: int, seed: int, half: int | None = None
) -> RandomSlice:
    """The random impressions of the days, of as many users as `most_rows` has room for.

    Args:
        spec: Whose `log.random` reads slices of the evaluation only.
        days: (split, directory of examples) of each.
        most_rows: Whole users are kept, in the order of a hash.
        seed: Of the hash.
        half: Of the users, 0 or 1, as `scored.halves_of` has it; None takes all.

    Raises:
        DamagedExamplesError: A file is damaged or missing.
    """
    frames, rows = [], []
    for number, (split, folder) in enumerate(days):
        for frame, serialized in _random_batches(spec, split, folder):
            frames.append(frame.with_columns(day=pl.lit(number, pl.Int64)))
            rows.append(serialized)
    if not frames:
        empty = np.zeros(0, object)
        return RandomSlice(pl.DataFrame(), np.zeros(0, np.int64), empty, empty)
    frame, serialized = pl.concat(frames), np.concatenate(rows)
    if half is not None:
        is_in = halves_of(frame[KEY_USER], seed) == half
        frame, serialized = frame.filter(is_in), serialized[is_in]
    kept = _first_users(frame, most_rows, seed)
    kept &= frame.select(pl.len().over("day") > 1).to_series().to_numpy()  # no rival
    frame, serialized = frame.filter(kept), serialized[kept]
    contexts, candidates = _parts(spec, serialized)
    day = frame["day"].to_numpy().astype(np.int64)
    return RandomSlice(frame, day, contexts, candidates)


def draw_others(day: _Places, count: int, seed: int) -> _Places:
    """[N, count] rows of the same day, each as likely, never the row itself.

    Args:
        day: [N], rows of a day together, two at least.
        count: How many beside each row.
        seed: Of the draws.
    """
    draw = np.random.default_rng(seed)
    starts = np.searchsorted(day, day)
    sizes = np.searchsorted(day, day, side="right") - starts
    step = draw.integers(1, sizes[:, np.newaxis], (len(day), count))
    place = (np.arange(len(day)) - starts)[:, np.newaxis] + step
    found: _Places = starts[:, np.newaxis] + place % sizes[:, np.newaxis]
    return found


def score_sets(
    spec: Spec,
    model: str,
    graph: str,
    rows: RandomSlice,
    others: _Places,
    fusions: Sequence[FusionSpec],
) -> list[_Floats]:
    """[N, 1 + M] log scores under each section: what was logged, then the others.

    Args:
        spec: Of the model.
        model: Its directory.
        graph: That of its encoding, which tells the partitions.
        rows: What is scored.
        others: [N, M], rows whose candidates stand beside.
        fusions: Sections.

    Raises:
        LoadError: The model cannot be loaded.
    """
    facets = {name for fusion in (spec.fusion, *fusions) for name in fusion.facets}
    partitions = Partitions(spec, graph, sorted(facets))
    scorer = scoring.load_scorer(model)
    own = np.arange(len(rows))[:, np.newaxis]
    pairs = np.concatenate([own, others], axis=1)
    contexts = np.repeat(rows.contexts, pairs.shape[1])
    candidates = rows.candidates[pairs.ravel()]
    parts: list[list[_Floats]] = [[] for _ in fusions]
    for begin in range(0, len(contexts), _BATCH):
        chosen = slice(begin, begin + _BATCH)
        examples = contexts[chosen] + candidates[chosen]
        outputs = scorer({"examples": examples})
        frame = pl.DataFrame(scoring.predictions_of(spec, outputs))
        places = partitions.of(tf.constant(examples))
        scores = weighing.log_scores(spec, fusions, frame, places)
        for part, batch in zip(parts, scores, strict=True):
            part.append(batch)
    return [np.concatenate(part).reshape(pairs.shape) for part in parts]


# --- the parts ------------------------------------------------------------------------


def _random_batches(
    spec: Spec, split: str, folder: str
) -> Iterator[tuple[pl.DataFrame, npt.NDArray[np.object_]]]:
    files = scoring.files_of(split, folder)
    columns = expressions.columns_of(spec.log.random)
    names = {slice_key(column): column for column in columns}
    dataset = tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH).prefetch(2)
    for serialized in dataset:
        frame = scoring.labels_of(spec, serialized)
        known = frame.select(pl.col(key).alias(name) for key, name in names.items())
        is_random = holds(known, spec.log.random)
        if is_random.any():
            yield frame.filter(is_random), serialized.numpy()[is_random]


def _first_users(
    frame: pl.DataFrame, most_rows: int, seed: int
) -> npt.NDArray[np.bool_]:
    """[N] whether a row is of the users that are kept."""
    hashes = hash_columns([frame[KEY_USER]], seed)
    order = np.argsort(hashes, kind="stable")
    if len(order) <= most_rows:
        return np.ones(len(order), bool)
    found: npt.NDArray[np.bool_] = hashes < hashes[order[most_rows]]
    return found


def _parts(
    spec: Spec, serialized: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """(contexts, candidates) of serialized examples, [N] each."""
    of_candidate = {f.name for f in spec.served_features if f.group == "candidate"}
    paired = {f.name for f in spec.served_features if f.paired}
    others = {f.name for f in spec.served_features} - of_candidate
    sides = np.empty((2, len(serialized)), object)
    example, part = tf.train.Example(), tf.train.Example()
    for row, content in enumerate(serialized):
        example.ParseFromString(content)
        known = example.features.feature
        for side, names in enumerate((others, of_candidate - paired)):
            part.Clear()
            part.features.SetInParent()
            for name in names & set(known):
                part.features.feature[name].CopyFrom(known[name])
            sides[side, row] = part.SerializeToString(deterministic=True)
    return sides[0], sides[1]
