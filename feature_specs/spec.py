"""The spec's frozen classes: what one YAML of `feature_specs/` says, checked.

They only hold values; `reader.py` reads a file, checks what several sections say
together (a feature's table, an expression's columns) and fills `FeatureSpec.dtype` and
`Spec.column_types`. The classes of trails, histories and counters are in `past.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from feature_specs.events import EventsSpec, event_columns
from feature_specs.feature_kinds import FEATURE_KINDS, FeatureKind
from feature_specs.fields import (
    MOST_COLUMNS,
    Confidence,
    Factor,
    Gamma,
    InnerShare,
    KeptShare,
    Length,
    LengthScale,
    Named,
    NonNegativeFloat,
    NonNegativeInt,
    NumberOr,
    NumberOrText,
    PositiveFloat,
    PositiveInt,
    PositiveWeight,
    Rule,
    Share,
    ShareBelowOne,
    SignedWeight,
    SplitDays,
    Times,
    Weight,
    between,
)
from feature_specs.gates import DataGatesSpec
from feature_specs.moments import MomentSpec
from feature_specs.past import (
    REQUEST_COLUMNS,
    TRAIL_FUTURE,
    CounterSpec,
    HistorySpec,
    QuantileSpec,
    StatisticSpec,
    TrailSpec,
    with_readers,
)
from feature_specs.task_kinds import LOSS_NAMES, TASK_KINDS, TaskKind
from feature_specs.transforms import Transform, default_transform, parse_transform
from feature_specs.values import AUTO, MOST_COUNTED
from feature_specs.values import MISSING as MISSING
from feature_specs.values import Dtype as Dtype

# Columns that identify an impression; examples carry them, the model never sees them.
KEY_USER, KEY_ITEM, KEY_TIME = "key_user", "key_item", "key_time_ms"
KEY_REQUEST = "key_request"  # int64, where the spec has `log.request`
NO_REQUEST = 0  # `KEY_REQUEST` of a row that is of no request, as far as is known
CENTURY_MS = 100 * 366 * 86_400_000  # longer watches are damage; sums of it fit int64
RESERVED_PREFIXES = ("label_", "mask_", "key_", "slice_")


def label_key(task: str) -> str:
    """The example column (float32) with a task's label."""
    return f"label_{task}"


def mask_key(task: str) -> str:
    """The example column (float32, 0 or 1) with a task's sample space (PLE eq. 9)."""
    return f"mask_{task}"


def facet_key(facet: str) -> str:
    """The encoded column (int64) by which the partition of a facet is known."""
    return f"facet_{facet}"


def slice_key(column: str) -> str:
    """The example column (int64 or string) by whose values metrics are sliced."""
    return f"slice_{column}"


_DURATION = Rule(
    f"must be from 1 to {CENTURY_MS}, a century in milliseconds.", ge=1, le=CENTURY_MS
)


class Duration(NamedTuple):
    """A column with lengths of time.

    Attributes:
        column: Its name.
        unit_ms: Milliseconds of its unit.
    """

    column: str
    unit_ms: int

    @classmethod
    def of(cls, in_ms: str | None, in_s: str | None) -> Duration | None:
        """The column in milliseconds or in seconds, whichever is named."""
        if in_ms is not None:
            return cls(in_ms, 1)
        return None if in_s is None else cls(in_s, 1_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeSpec(MomentSpec):
    """When an impression began and how long it lasted.

    Attributes:
        column: Log column with numbers since the Unix epoch, timestamps, or ISO 8601
            texts.
        expr: Instead of it: SQL over log columns that gives one of these.
        unit: Unit of the numbers, which timestamps in a column of numbers are converted
            to; `iso` for texts.
        timezone: IANA name: whose wall clock showed the texts and timestamps that have
            no zone. By default `LogSpec.timezone` where the file says one, else "", and
            such times are refused.
        zone_column: Instead of it: log column with the IANA name of each row's zone.
        watched_ms: Column, of the log or a side file, with the milliseconds watched;
            the impression ended that long after it began. Where it is missing, and
            without it, an impression ends as it begins.
        watched_s: The same in seconds.
        length_ms: Column with the video's length in milliseconds.
        length_s: The same in seconds.
        longest_ms: A longer watch ends this long after its begin, and a longer video
            counts as this long in `trail_watched_share`: a player left open, or a
            damaged value, would glue a day's trails together. By default a century.
    """

    watched_ms: str | None = None
    watched_s: str | None = None
    length_ms: str | None = None
    length_s: str | None = None
    longest_ms: Annotated[int, _DURATION] = CENTURY_MS

    @property
    def watched(self) -> Duration | None:
        """How long an impression was watched; None where nothing tells it."""
        return Duration.of(self.watched_ms, self.watched_s)

    @property
    def length(self) -> Duration | None:
        """How long its video is; None where nothing tells it."""
        return Duration.of(self.length_ms, self.length_s)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinSpec:
    """A side file (users, videos) joined to every impression by a key column.

    Attributes:
        files: Glob inside the log directory.
        key: Key column, in the log and in the side file.
        columns: Column -> type; a type with `?` may be empty.
        format: How the files are written; the log's format by default.
        header: Names of the columns, in order, for csv without a line that names them.
    """

    files: str
    key: str
    columns: dict[str, str]
    format: Literal["", "csv", "jsonl", "parquet", "tfrecord"] = ""
    header: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSpec:
    """A data set as TensorFlow Datasets has prepared it; nothing is downloaded.

    The directory of the logs is TFDS' data directory, such as ~/tensorflow_datasets.

    Attributes:
        name: With its config, if it has one: `movielens/100k-ratings`.
        split: One that it was prepared with; several are joined by `+`.
        version: Such as `0.1.1`; needed where several versions were prepared.
    """

    name: str
    split: str = "train"
    version: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names in `split`."""
        return tuple(self.split.split("+"))

    @property
    def files(self) -> str:
        """Glob of the shards inside the data directory."""
        split = self.split if len(self.splits) == 1 else "*"
        shards = f"{self.name.split('/')[0]}-{split}.*-of-*"
        return f"{self.name}/{self.version or '*'}/{shards}"

    @property
    def advice(self) -> str:
        """What to do where nothing is there."""
        return (
            f"Give TFDS' data directory, with {self.name} prepared in it; `trailrank "
            f"fetch tfds:{self.name} --out DIRECTORY` does that."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicatesSpec:
    """Which rows stay of one impression that the log tells several times.

    They are combined into one: of each outcome the largest known value stays, so that
    what was once known stays known; of the other columns those of one row stay, the
    smallest, columns compared in the order of their names and a missing value after all
    others. Without this section all rows are combined; with it those that `keep`
    prefers, and the rest of the rows is left out.

    Attributes:
        keep: `last` prefers the rows with the largest value of `by`, `most` those with
            the most outcomes that are not missing (0 is not missing), and among equal
            ones those with the largest value of `by`, if it is given.
        by: Log column such as the time of writing; a missing value is the smallest.
    """

    keep: Literal["last", "most"]
    by: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestSpec:
    """Which impressions answered one request of a user; either column or session.

    Attributes:
        column: Log column: a user's rows with the same value are one request's. A row
            without a value is of no request.
        session: Log column: a user's rows with the same value are one request's, as
            long as each begins within `seconds` of the one before.
        seconds: The longest pause inside a request, from begin to begin.
        together: Whether the rows of a request lie next to each other in the examples,
            and so in one batch, as `pairwise` of a task needs it. Days are shuffled by
            requests then, not by rows.
    """

    column: str = ""
    session: str = ""
    seconds: NonNegativeFloat = 0.0
    together: bool = False

    @property
    def key(self) -> str:
        """The log column that tells requests apart, or sessions."""
        return self.column or self.session


_ONE = Rule("must be one character.", min_length=1, max_length=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSpec:
    """The raw impression log.

    Attributes:
        format: How the files are written.
        tfds: For format `tfds`: which data set; see `TfdsSpec`.
        files: Glob inside the log directory; not for `tfds`, where it follows. `{day}`
            in it stands for the day as YYYYMMDD, `{day:%Y-%m-%d}` for the day in that
            form.
        folder_timezone: IANA name: whose days those are, `timezone` by default.
        user: Column with the user's id.
        item: Column with the video's id.
        time: See `TimeSpec`.
        timezone: IANA name; days and hours are this zone's.
        columns: Column -> its type, see `column_types`; with `?` it may be empty. A
            field in a struct, or in an object of JSON, goes by its path: `author.id`.
        outcomes: Columns known only after the impression. No feature may touch one.
        random: SQL condition over log columns that are no outcomes: the rows whose
            video was drawn at random.
        separator: One character between the columns of a line, for csv.
        header: Names of the columns, in order, for csv without a line that names them.
        duplicates: See `DuplicatesSpec`; by default all rows are combined.
        request: See `RequestSpec`; a text in the file is its `column`.
        joins: Side files by name; no two may bring the same column.
        days_per_split: Days that share one split of examples; 1 is the rule, more
            serves sparse logs that spread over months.
        max_reject_share: A run with a larger share of unreadable lines, in all, on one
            day or in one file, fails.
        min_day_share: A day with fewer readable rows than this share of the median of
            up to seven days before it stops the run; 0 is off. Where `days_per_split`
            is above 1 no day is judged.
    """

    format: Literal["csv", "jsonl", "parquet", "tfrecord", "tfds"] = "csv"
    tfds: TfdsSpec | None = None
    files: str = ""
    user: str
    item: str
    time: TimeSpec
    timezone: str = "UTC"
    folder_timezone: str = ""
    columns: dict[str, str]
    outcomes: tuple[str, ...]
    random: str = ""
    separator: Annotated[str, _ONE] = ","
    header: tuple[str, ...] = ()
    duplicates: DuplicatesSpec | None = None
    request: RequestSpec | None = None
    joins: dict[str, JoinSpec] = dataclasses.field(default_factory=dict)
    days_per_split: SplitDays = 1
    max_reject_share: Share = 0.001
    min_day_share: Share = 0.3

    @property
    def keeps_requests(self) -> bool:
        """Whether the rows of a request stay together."""
        return self.request is not None and self.request.together

    @property
    def late(self) -> frozenset[str]:
        """Columns of the log and its joins that are known after the impression only."""
        watched = self.time.watched
        return frozenset({*self.outcomes, *([watched.column] if watched else [])})


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogHistorySpec:
    """What users did that another log tells (searches, purchases), as a history.

    An impression sees the rows of its user that began before it did, to the
    millisecond. Rows that are equal in all declared columns count once.

    Attributes:
        files: Glob inside the log directory, with days in it as in `LogSpec.files`.
        format: How the files are written; the log's format by default.
        folder_timezone: Whose days those in `files` are; the log's by default.
        user: Column with the user's id, of the type that it has in the log.
        time: See `MomentSpec`.
        header: Names of the columns, in order, for csv without a line that names them.
        types: Column of the files -> type; a type with `?` may be empty.
        where: SQL condition over these columns: the rows that count.
        columns: Name -> SQL over these columns. Each becomes the list column
            `history_<name of the history>_<name>`, the newest last; where the SQL gives
            a list, its values stand there one after another.
        length: Longest list.
    """

    files: str
    format: Literal["", "csv", "jsonl", "parquet", "tfrecord"] = ""
    folder_timezone: str = ""
    user: str
    time: MomentSpec
    header: tuple[str, ...] = ()
    types: dict[str, str]
    where: str = "TRUE"
    columns: dict[str, str]
    length: Length = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterSpec:
    """Which readable rows become examples; each rule has its own count in the report.

    Attributes:
        keep: Rule name -> SQL condition that a kept row fulfils.
        min_user_events: A row of a training day is dropped if its user has fewer events
            up to that day, or up to the last training day of the first run if that is
            later. Evaluation days keep everybody, as serving has to.
        min_item_impressions: The same for videos.
    """

    keep: dict[str, str] = dataclasses.field(default_factory=dict)
    min_user_events: NonNegativeInt = 0
    min_item_impressions: NonNegativeInt = 0


_ROWS = Rule(
    "must be at least 2 and below 2^31 (ids are int32 on a TPU).", ge=2, lt=2**31
)
_COLUMNS = Rule(
    f"must be a multiple of 4, at most {MOST_COLUMNS:,}; leave it out for the default "
    "rule.",
    ge=0,
    le=MOST_COLUMNS,
    multiple_of=4,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableSpec:
    """One embedding table; several features may share it.

    Attributes:
        name: Unique; part of the checkpoint, so renaming breaks restore.
        buckets: Rows. Row 0 stands for "missing"; ids are hashed into the others.
        dim: Columns, a multiple of 4; by default `4 * round(log2(buckets) / 2)`,
            a rule in the log of the size.
    """

    name: str
    buckets: Annotated[int, _ROWS]
    dim: Annotated[int, _COLUMNS] = 0

    @property
    def width(self) -> int:
        """Columns of the table: `dim`, or the rule's value."""
        return self.dim or max(4, 4 * round(math.log2(self.buckets) / 2))


Group = Literal["query", "candidate", "context", "trail"]


def _column(text: str) -> str | None:
    """The column that an expression is, as it stands; None if it is computed."""
    match = re.fullmatch(r'"?([\w.]+)"?', text)
    return match.group(1) if match else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """One input of the model.

    Attributes:
        name: Unique; the key in examples, in the model and in requests.
        group: `query` (the user), `candidate` (the video), `context` (the request) or
            `trail` (trained on, never served).
        kind: A name of `feature_specs.feature_kinds`: `id` and `sequence` (hashed into
            `table`), `code` (whole numbers from 0 to `size` - 1, a row each),
            `category` (a vocabulary learned on the training days), `bucket` (numbers
            cut at `boundaries`), `number` (scaled), `text` (its words, as a sequence),
            `vector` (floats of a pre-trained model), or one that a plugin registers.
        expr: SQL over the log's, the joins' and the derived columns; the column called
            `name` by default.
        table: Embedding table of an id, a sequence or a text.
        pooling: How a sequence's embeddings become one; `attention` weighs each by
            what it has in common with `target` (DIN), `concat` joins them, the newest
            (of a text the last word) first and zeros where there are fewer.
        target: For `attention`: the candidate feature of the same table. Of a vector:
            the candidate's vector whose cosine with this one the model reads, too.
        length: Longest sequence kept; `history.length` by default, 16 words of a text.
        size: Codes there are, or most frequent values of a category or words of a text
            kept; all others share one row. `auto` counts those of the training days, up
            to 100,000. Of a vector its floats, which a `vector<N>` column tells.
        boundaries: Increasing cut points of a bucket.
        transform: Applied to a number before it is scaled.
        scale: Of a number: `z` to zero mean and unit variance, `minmax` to the range
            from 0 to 1 of the training days, outside of which it is cut off, `none`
            as it is. A missing number is 0 afterwards.
        normalize: Of a vector: `l2` to length 1, `none` as it is.
        dim: Columns of a vector's projection; by default its floats, at most 32.
        projection: Name of a projection that several vectors of one size share.
        paired: Whether a `candidate` feature reads the user or the request beside the
            video, so that nobody may keep it from one request to the next.
        dtype: Type in examples and requests, filled in by the reader from `expr`.
    """

    name: str
    group: Group
    kind: Annotated[str, Named(FEATURE_KINDS)]
    expr: str = ""
    table: str | None = None
    pooling: Literal["mean", "sum", "max", "attention", "concat"] = "mean"
    target: str = ""
    length: int = 0
    size: Annotated[int | Literal["auto"] | None, NumberOr(AUTO)] = None
    boundaries: tuple[float, ...] = ()
    transform: Literal["none", "log1p"] = "none"
    scale: Literal["z", "minmax", "none"] = "z"
    normalize: Literal["l2", "none"] = "l2"
    dim: int = 0
    projection: str = ""
    paired: bool = False
    dtype: Dtype = "int64"

    @property
    def column(self) -> str | None:
        """The column that the feature is, as it stands; None if it is computed."""
        return _column(self.expr)

    @property
    def of_kind(self) -> FeatureKind:
        """The object of `kind`: what such features are."""
        return FEATURE_KINDS[self.kind]

    @property
    def is_sequence(self) -> bool:
        """Whether one row holds a list and not one value."""
        return self.of_kind.is_sequence

    @property
    def is_number(self) -> bool:
        """Whether the model reads floats and not an embedding row."""
        return self.of_kind.is_number

    @property
    def missing(self) -> int | float | str:
        """What stands for a missing value in examples and requests."""
        return self.of_kind.missing(self)

    @property
    def count(self) -> int:
        """`size` as a number; of `auto` the most that it may become."""
        if self.size == AUTO:
            return MOST_COUNTED
        return self.of_kind.default_size or 0 if self.size is None else self.size

    @property
    def width(self) -> int:
        """Values of a row in examples and requests if always as many, else 0."""
        return self.of_kind.width(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an encoded row: `()` for one value."""
        return self.of_kind.shape(self)

    def rows(self, tables: dict[str, TableSpec]) -> int:
        """Embedding rows this feature's ids fall in; row 0 stands for "missing"."""
        return self.of_kind.rows(self, tables)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecondsSpec:
    """How a predicted rank is served as seconds, too: as `<task>_seconds`.

    The rank is turned back by the training days' quantiles (D2Q): linear inside a
    step, never below 0 or above the quantile's `max`. A candidate without the feature
    goes by the rows of all groups together.

    Attributes:
        unit: Of the quantile's `value`.
        feature: A served number feature that holds the quantile's `by`; none if that
            has no `by`.
        factor: What the feature, as it is sent, is multiplied by to be `by`: 1000 if
            it has seconds, and `by` is in milliseconds.
    """

    unit: Literal["s", "ms", "us", "ns"]
    feature: str = ""
    factor: LengthScale = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One thing the ranker predicts.

    Whatever the loss and the sampling, a binary task's predictions are the
    probabilities of all rows: what bends the odds is taken back exactly.

    Attributes:
        name: Unique; the name of the prediction in every signature.
        kind: A name of `feature_specs.task_kinds`: `binary` predicts a probability,
            `regression` a mean.
        label: SQL; true/false or 0/1 for a binary task, a number for a regression.
        sparse: Label mean below about 1e-2, so that the loss wants a larger
            `loss_weight` (SFV sec. 5.2).
        loss_weight: Factor of the task's loss.
        sample_space: SQL; rows outside it do not train or judge this task (PLE eq. 9).
        loss: `default` is cross-entropy or squared error. A regression may have
            `squared_error`, `huber`, `log_target` (of log(1 + label)), `quantile` or
            `ordinal` (of a label from 0 to 1, such as a rank), a binary task
            `cross_entropy`, `focal` or `class_balanced`; `log_target` bends the
            predicted mean: see `trainer.objective.losses`.
        quantile: Of `quantile`: the share of labels that are to lie below the
            prediction; 0.5 predicts the median.
        focal_gamma: Of `focal`: how little rows count that are predicted well.
        class_balance_beta: Of `class_balanced`: how much the rare label counts; 0 is
            cross-entropy.
        negative_rate: Share of a binary task's negatives that train it: down-sampling.
        positive_rate: Rows that each of its positives counts as: up-sampling.
        balance: Share of positives that the negatives are down-sampled to, by the label
            mean of the first day; 0 leaves them. Not beside the two rates.
        balance_by_auc: Whether that share follows how well the task orders each day
            before it is trained on it: it is `balance` at an AUC of 0.5 and falls to 0,
            which leaves all negatives, at 1.
        positive_weight: Factor of the loss of its positives.
        pairwise: Weight of a second loss of a binary task, of the order inside a
            request: the mean of -log sigmoid(z_i - z_j) over pairs with label 1 and 0
            (BPR). Beside the task's own it leaves probabilities what they are. Needs
            `together` in log.request.
        seconds: Of a regression whose label is the column of a quantile: its
            predictions are served as seconds, too.
    """

    name: str
    kind: Annotated[str, Named(TASK_KINDS)]
    label: str
    sparse: bool = False
    loss_weight: Weight = 1.0
    sample_space: str = ""
    loss: Annotated[str, Named(LOSS_NAMES)] = "default"
    quantile: InnerShare = 0.5
    focal_gamma: Gamma = 2.0
    class_balance_beta: ShareBelowOne = 0.9999
    negative_rate: KeptShare = 1.0
    positive_rate: Times = 1.0
    balance: ShareBelowOne = 0.0
    balance_by_auc: bool = False
    positive_weight: PositiveWeight = 1.0
    pairwise: Weight = 0.0
    seconds: SecondsSpec | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What every signature gives of it: the prediction, and its rank's seconds."""
        return (self.name, f"{self.name}_seconds") if self.seconds else (self.name,)

    @property
    def label_column(self) -> str | None:
        """The column that the label is, as it stands; None if it is computed."""
        return _column(self.label)

    @property
    def of_kind(self) -> TaskKind:
        """The object of `kind`: what such tasks are."""
        return TASK_KINDS[self.kind]

    @property
    def loss_kind(self) -> str:
        """The loss's own name, where `loss` may say `default`."""
        return self.of_kind.default_loss if self.loss == "default" else self.loss


_SEVERAL = Rule(
    "must be two at least; with one there is nothing to split.", min_length=2
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacetSpec:
    """A side of an impression by which tasks may be split (MFH sec. IV-A).

    Attributes:
        name: Unique; what presets name in `structure.facets`.
        feature: A served feature that tells the partition, of kind `code`, `bucket`,
            `category` or `id`.
        column: Instead of `feature`: a column that a served feature is, as it stands.
        partitions: Name -> the feature's codes; of a bucket its intervals, the lowest
            is 0; of a category or an id its values, as the logs have them.
        default: Partition of rows whose feature is missing or in no partition.
        train_with: Partition -> the partitions whose rows train its tasks (MFH sec.
            V-A-3); by default its own.
    """

    name: str
    feature: str = ""
    column: str = ""
    partitions: Annotated[dict[str, tuple[NumberOrText, ...]], _SEVERAL]
    default: str
    train_with: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def trained_by(self, partition: str) -> tuple[str, ...]:
        """The partitions whose rows train the tasks of `partition`."""
        return self.train_with.get(partition, (partition,))

    @property
    def values(self) -> tuple[int | str, ...]:
        """Everything that is in a partition, sorted."""
        listed = [value for own in self.partitions.values() for value in own]
        return tuple(sorted(listed, key=lambda value: (str(type(value)), value)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacetInput:
    """What the model reads to know the partition of a facet by values.

    It is looked up beside the features where they are encoded, so that training and
    serving have one table; requests and raw examples have the feature's own value.

    Attributes:
        name: Key in encoded examples.
        feature: Whose raw value is looked up.
        values: Value i is encoded as i + 1; a missing one, and all others, as 0.
    """

    name: str
    feature: FeatureSpec
    values: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthSpec:
    """f(video length) of the fused score (PLE eq. 1).

    Attributes:
        feature: A served number feature; its value as sent, before scaling.
        transform: `log1p` gives 1 + log(1 + x / scale), 1 for a length of 0;
            `sigmoid` gives 1 / (1 + exp(-x / scale)).
        scale: A typical length, in the feature's own unit: seconds or milliseconds.
            The sigmoid of raw seconds is 0.993 at 5 s already.
        weight: Exponent of f.
    """

    feature: str
    transform: Literal["log1p", "sigmoid"] = "log1p"
    scale: LengthScale = 1.0
    weight: SignedWeight = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionSpec:
    """score = prod_t g_t^w_t * f(length) (PLE eq. 1); a task left out weighs 0.

    g is the task's prediction, by its transform. The score is served with its logarithm
    `log_score`, by which everything is ordered.

    Attributes:
        weights: Task -> exponent of its factor; below 0 it lowers the score.
        transforms: Task -> the factor g of its prediction y. `identity` is y itself,
            for probabilities, whose default it is; `linear(scale)` is 1 + max(0, y) /
            scale, all others' default; `clip(low, high)` is 1 + y kept between both;
            `log1p(scale)` is 1 + log(1 + max(0, y) / scale); `expm1(scale)` is
            1 + expm1(y / scale), as for a label LN(1 + seconds); `softplus(scale)` is
            log(1 + exp(y / scale)), `sigmoid(scale)` is 1 / (1 + exp(-y / scale)). A
            scale left out is 1. None has a cliff at 0.
        facets: Facet -> partition -> task -> exponent in the rows of that partition, in
            place of `weights`; a task may be named by one facet only. Exponents that a
            request gives hold for all its rows. Evaluation goes by `weights`.
        length: f of the video's length; none is 1.
    """

    weights: dict[str, SignedWeight]
    transforms: dict[str, str] = dataclasses.field(default_factory=dict)
    facets: dict[str, dict[str, dict[str, SignedWeight]]] = dataclasses.field(
        default_factory=dict
    )
    length: LengthSpec | None = None

    def transform_of(self, task: TaskSpec) -> Transform:
        """What makes a factor of the task's prediction."""
        text = self.transforms.get(task.name)
        return parse_transform(text) if text else default_transform(task.of_kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfraSpec:
    """What the exported model must do in a process with TensorFlow alone.

    Attributes:
        latency_ms: Largest time of a warmup request, as its 95th percentile once the
            model is warm; 0 judges no time, which depends on the machine.
        size_mb: Largest size of the exported model in 10^6 bytes; 0 judges no size.
    """

    latency_ms: NonNegativeFloat = 0.0
    size_mb: NonNegativeFloat = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """When a trained model may replace the one that serves.

    A limit on a value is written for a task, and judged by the value itself. A limit
    on a change holds for every task that has rows enough: the model is compared with
    the best of the last blessed ones, on the same rows, and refused if the loss is
    larger than allowed *and* significant: more than other users could have made of it.

    Attributes:
        slices: Columns (log, joins, derived, requests) by whose values the metrics are
            shown and judged.
        gate: `judge` holds the model to the limits; `none` blesses every model that
            could be measured.
        min_auc: Task -> smallest AUC on the evaluation days.
        max_auc_drop: Largest loss of AUC, of every task.
        min_gauc: Task -> smallest GAUC (mean AUC inside users).
        max_gauc_drop: Largest loss of GAUC, of every task.
        max_rmse: Task -> largest root mean squared error, of regressions.
        max_rmse_rise: Largest growth of that error, as a share of the best one.
        miscalibration: Task -> largest factor between the sum of predictions and the
            sum of labels, either way. Tasks left out are refused only if they are
            beyond 2 and significantly so.
        max_miscalibration_rise: Largest growth of that factor, as a share.
        min_ndcg: Smallest NDCG@10 of the fused score; 0 sets no limit.
        max_ndcg_drop: Largest loss of NDCG@10 of the fused score.
        min_slice_auc: Task -> smallest AUC in each slice that has rows enough.
        max_slice_auc_drop: Largest loss of AUC in a slice, of every task.
        baselines: How many of the last blessed models the new one is compared with; 0
            compares with none.
        confidence: Of all comparisons together: the chance that a model as good as the
            others is not refused for the luck of the evaluation's users.
        draws: Draws of users (bootstrap) that the intervals come from.
        min_positives: Rows of each class, or rows of a regression, that a comparison
            needs; with fewer it is not judged.
        infra: What the exported model must do by itself.
        utility: SQL over labels by the names of their tasks, such as `watch_seconds +
            20 * like - 30 * hate`: what a row is worth, as the gain of the fused
            score's NDCG and the aim of `trailrank fusion search`. A label outside its
            sample space counts as 0. By default the fusion's weights say it.
    """

    slices: tuple[str, ...] = ()
    gate: Literal["judge", "none"] = "judge"
    min_auc: dict[str, ShareBelowOne] = dataclasses.field(default_factory=dict)
    max_auc_drop: ShareBelowOne = 0.01
    min_gauc: dict[str, ShareBelowOne] = dataclasses.field(default_factory=dict)
    max_gauc_drop: ShareBelowOne = 0.01
    max_rmse: dict[str, PositiveFloat] = dataclasses.field(default_factory=dict)
    max_rmse_rise: NonNegativeFloat = 0.05
    miscalibration: dict[str, Factor] = dataclasses.field(default_factory=dict)
    max_miscalibration_rise: NonNegativeFloat = 0.2
    min_ndcg: ShareBelowOne = 0.0
    max_ndcg_drop: ShareBelowOne = 0.01
    min_slice_auc: dict[str, ShareBelowOne] = dataclasses.field(default_factory=dict)
    max_slice_auc_drop: ShareBelowOne = 0.03
    baselines: Annotated[int, between(0, 100)] = 3
    confidence: Confidence = 0.95
    draws: Annotated[int, between(100, 100_000)] = 1_000
    min_positives: PositiveInt = 50
    infra: InfraSpec = dataclasses.field(default_factory=InfraSpec)
    utility: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that the rooms know about a data set.

    Attributes:
        name: Of the data set, and of the served model.
        derived: Column -> SQL over all columns above it and earlier derived ones.
        column_types: Column -> its type in examples, of every column that holds one
            value a row (log, joins, trail, counters... but `event_time`), filled in
            by the reader.
        text: The YAML that was read; it travels with the pipeline, so that a remote
            step needs no file of the user's machine.
    """

    name: str
    log: LogSpec
    features: tuple[FeatureSpec, ...]
    tasks: tuple[TaskSpec, ...]
    fusion: FusionSpec
    events: dict[str, EventsSpec] = dataclasses.field(default_factory=dict)
    filters: FilterSpec = dataclasses.field(default_factory=FilterSpec)
    trail: TrailSpec | None = None
    history: HistorySpec | None = None
    histories: dict[str, LogHistorySpec] = dataclasses.field(default_factory=dict)
    counters: tuple[CounterSpec, ...] = ()
    statistics: tuple[StatisticSpec, ...] = ()
    quantiles: tuple[QuantileSpec, ...] = ()
    derived: dict[str, str] = dataclasses.field(default_factory=dict)
    tables: dict[str, TableSpec] = dataclasses.field(default_factory=dict)
    facets: dict[str, FacetSpec] = dataclasses.field(default_factory=dict)
    evaluation: EvaluationSpec = dataclasses.field(default_factory=EvaluationSpec)
    data_gates: DataGatesSpec = dataclasses.field(default_factory=DataGatesSpec)
    column_types: dict[str, Dtype] = dataclasses.field(default_factory=dict, repr=False)
    text: str = dataclasses.field(default="", repr=False)

    @functools.cached_property
    def outcomes(self) -> frozenset[str]:
        """Columns known only after the impression: for labels, never for features."""
        quantiles = (quantile.name for quantile in self.quantiles)
        late = {*self.log.late, *event_columns(self.events), *quantiles}
        if self.log.request:
            late.update(REQUEST_COLUMNS)
        return with_readers(late, self.derived)

    @functools.cached_property
    def future(self) -> frozenset[str]:
        """Columns known only when the trail is over: for trail features and labels."""
        return with_readers(TRAIL_FUTURE, self.derived)

    @property
    def keeps_requests(self) -> bool:
        """Whether rows of one request are trained in one batch, and known to be so."""
        return self.log.keeps_requests

    @property
    def served_features(self) -> tuple[FeatureSpec, ...]:
        """The inputs of the served signatures: every feature but the trail's."""
        return tuple(f for f in self.features if f.group != "trail")

    @property
    def trail_features(self) -> tuple[FeatureSpec, ...]:
        """Features of the trail towers: trained on, never served (SFV sec. 4.2)."""
        return tuple(f for f in self.features if f.group == "trail")

    @functools.cached_property
    def facet_inputs(self) -> tuple[FacetInput, ...]:
        """Inputs of the model beside the features: one a facet by values."""
        found = []
        for facet in self.facets.values():
            feature = self.feature(facet.feature)
            if feature.of_kind.facet_by_value:
                name = facet_key(facet.name)
                found.append(
                    FacetInput(name=name, feature=feature, values=facet.values)
                )
        return tuple(found)

    @property
    def served_inputs(self) -> tuple[str, ...]:
        """Names of what the ranker reads of a served row."""
        features = (feature.name for feature in self.served_features)
        return (*features, *(made.name for made in self.facet_inputs))

    def with_counted(self, sizes: Mapping[str, int]) -> Spec:
        """With numbers for `size: auto`, those of the vocabularies in `sizes`."""
        features = tuple(
            dataclasses.replace(f, size=max(1, sizes[f.name]))
            if f.size == AUTO and f.name in sizes
            else f
            for f in self.features
        )
        return dataclasses.replace(self, features=features)

    def feature(self, name: str) -> FeatureSpec:
        """The feature called `name`."""
        return next(f for f in self.features if f.name == name)

    def task(self, name: str) -> TaskSpec:
        """The task called `name`."""
        return next(t for t in self.tasks if t.name == name)
