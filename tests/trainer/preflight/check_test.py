"""The real TPU compiler judges small rankers: good ones, broken ones, too large ones."""

import dataclasses
import inspect
import io
import json

import pytest
import tensorflow as tf
from rich.console import Console

from feature_specs import TableSpec, read_spec
from tpu_configs import load_slice, read_slice
from trainer.days import training
from trainer.model.ranker import Ranker
from trainer.preflight import programs, report
from trainer.preflight.check import check
from trainer.preflight.lowering import Refused, lower

# One v5e host's half: four cores, 16 rows each.
SLICE = read_slice("{like: v5litepod-4, name: small, batch_per_core: 16}")


def _printed(found) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    report.show(found, console)
    return console.export_text()


# Of what has several columns a row: joined steps, words, vectors and their cosine.
_WIDE = """
  - {name: recent, group: query, kind: sequence, table: video, pooling: concat, expr: history_video_id}
  - {name: title, group: candidate, kind: text, size: 6, length: 3}
  - {name: place, group: context, kind: category, size: auto, expr: tab}
  - {name: cover, group: candidate, kind: vector, dim: 4, projection: looks}
  - {name: history_cover, group: query, kind: vector, dim: 4, projection: looks, target: cover}
"""


@pytest.fixture(scope="module")
def spec(spec):
    """The small spec with more kinds of features."""
    more = 'tag: int64, title: "string?", cover: "vector<6>?"}'
    text = spec.text.replace("tag: int64}", more)
    text = text.replace("columns: [video_id]", "columns: [video_id, cover]")
    return read_spec(text.replace("\ntasks:", f"{_WIDE}tasks:"))


@pytest.fixture(scope="module")
def lean(spec):
    """Of it what one step needs: a fault shows there as well, and traces sooner."""
    kept = ("user_id", "video_id", "tag", "trail_position")
    features = tuple(f for f in spec.features if f.name in kept)
    return dataclasses.replace(spec, features=features, tasks=spec.tasks[:1])


@pytest.fixture(scope="module")
def found(bfloat16_products, spec, config, python):
    """The small ranker, four cores, both precisions."""
    return check(spec, config, SLICE, python=python, preset="small", candidates=20)


def test_small_ranker_compiles_and_fits(found):
    assert found.ok
    keys = [(p.program, p.precision, p.cores, p.rows) for p in found.programs]
    assert keys == [
        ("train", "bfloat16", 4, 64),
        ("rank", "bfloat16", 1, 20),
        ("train", "float32", 4, 64),
    ]
    for program in found.programs:
        assert program.refusal is None and program.dynamic == ()
        assert program.hbm_available == 15.75 * 2**30


def test_variables_are_named_with_their_slots(found, spec, config):
    names = {v.name: v for v in found.variables}
    assert names["video"].shape == (5000, 8)
    assert names["video"].bytes == 5000 * 8 * 4
    assert names["video/accumulator"].bytes == names["video"].bytes
    assert names["feature_place"].shape == (100_002, 32)  # the most that it may have
    # The ranker as training builds it, every variable counted once.
    model = programs.build(spec, config, SLICE, "bfloat16")
    held = {v.ref(): v for v in model.ranker.variables}
    held |= {v.ref(): v for v in model.ranker.optimizer.variables()}
    held |= {v.ref(): v for v in model.average.averages.values()}
    size = sum(v.shape.num_elements() * v.dtype.size for v in held.values())
    assert found.variable_bytes == pytest.approx(size, rel=0.01)


def test_memory_holds_the_variables_once(found):
    # Updated in place: with a copy of each result, twice as much would be held.
    train = found.programs[0]
    assert found.variable_bytes < train.hbm_used < 0.1 * train.hbm_available


def test_batch_is_split_and_gradients_are_summed_over_cores(found):
    train, rank, _ = found.programs
    assert train.collectives.get("all-reduce", 0) >= 1
    assert rank.collectives == {}


def test_estimates_agree_with_each_other(found):
    for program in found.programs:
        assert 1e-6 < program.step_s < 1e-2
        assert program.examples_s == pytest.approx(program.rows / program.step_s)
        assert program.flops > 1e4 and program.bytes_accessed > 1e5
    assert found.programs[0].bound == "memory"


def test_report_is_printed_and_written(found):
    text = _printed(found)
    assert "small (v5e:2x2): small, small" in text
    assert "OK: small on small compiles and fits." in text
    assert "nothing was run" in text and "TPUEmbedding" in text
    written = json.loads(report.to_json(found))
    assert written["ok"] is True and written["slice"]["cores"] == 4
    assert [p["ok"] for p in written["programs"]] == [True] * 3
    assert written["programs"][0]["step_s"] == found.programs[0].step_s
    assert written["versions"]["jax"] == "0.12.0.1"


class _Hashing(Ranker):
    """A ranker that makes text of its ids in the step."""

    def task_losses(self, batch, training=False):
        text = tf.strings.as_string(batch.features["tag"])  # the culprit
        tag = tf.strings.to_hash_bucket_fast(text, 6)
        features = batch.features | {"tag": tf.cast(tag, tf.int32)}
        return super().task_losses(batch._replace(features=features), training)


class _Cutting(Ranker):
    """A ranker that leaves out rows: their number is known at run time only."""

    def task_losses(self, batch, training=False):
        found = super().task_losses(batch, training)
        rows = tf.cast(tf.reduce_sum(batch.weight), tf.int32)
        ages = tf.range(rows)  # the culprit
        return found._replace(total=found.total + tf.cast(ages[0], tf.float32))


def _line_of(broken: type) -> int:
    lines, first = inspect.getsourcelines(broken)
    return first + next(i for i, line in enumerate(lines) if "# the culprit" in line)


@pytest.mark.parametrize(
    "broken, kind, remedy",
    [
        (_Hashing, "AsString", "A TPU has no strings"),
        (_Cutting, "Range", "Take it from a static shape"),
    ],
)
def test_step_of_a_broken_ranker_is_refused(
    lean, config, monkeypatch, broken, kind, remedy
):
    monkeypatch.setattr(training, "Ranker", broken)
    model = programs.build(lean, config, SLICE, "float32")
    with pytest.raises(Refused) as caught:
        lower(programs.training_step(model, 16))
    culprit = next(p for p in caught.value.where if p.kind == kind)
    assert (culprit.line, "# the culprit" in culprit.code) == (_line_of(broken), True)
    assert remedy in caught.value.remedy
    lower(programs.rank(model, 4))  # which does not have the culprit


@pytest.mark.usefixtures("bfloat16_products")
def test_ranker_that_cannot_be_built_is_reported(lean, config, python, monkeypatch):
    class Mixing(Ranker):
        def call(self, features, training=False):
            found = super().call(features, training)
            return found["click"] + tf.zeros([1], tf.bfloat16)  # the culprit

    monkeypatch.setattr(training, "Ranker", Mixing)
    found = check(lean, config, SLICE, python=python, both_precisions=False)
    assert [p.ok for p in found.programs] == [False, False]
    text = _printed(found)
    assert "cannot build or trace it: " in text and "bfloat16" in text
    assert f"check_test.py:{_line_of(Mixing)}: " in text and "NOT OK" in text


@pytest.mark.slow
def test_broken_ranker_is_reported(lean, config, python, monkeypatch):
    monkeypatch.setattr(training, "Ranker", _Hashing)
    found = check(
        lean,
        config,
        dataclasses.replace(SLICE, precision="float32"),
        python=python,
        candidates=20,
        both_precisions=False,
    )
    train, rank = found.programs
    assert not found.ok and not train.ok and rank.ok
    text = _printed(found)
    assert "NOT OK" in text and "there is no AsString in a step" in text
    assert f"check_test.py:{_line_of(_Hashing)}: text = tf.strings.as_string" in text
    assert "What to do: A TPU has no strings" in text


@pytest.mark.usefixtures("bfloat16_products")
@pytest.mark.slow
def test_bounded_rows_are_warned_of(lean, config, python, monkeypatch):
    class Masking(Ranker):
        def task_losses(self, batch, training=False):
            found = super().task_losses(batch, training)
            kept = tf.boolean_mask(batch.weight, batch.weight > 0)  # the culprit
            return found._replace(total=found.total + 0.0 * tf.reduce_sum(kept))

    monkeypatch.setattr(training, "Ranker", Masking)
    found = check(
        lean,
        config,
        dataclasses.replace(SLICE, topology="v5e:1x1", batch_size=16),
        python=python,
        candidates=20,
        both_precisions=False,
    )
    assert found.ok
    assert "# the culprit" in " ".join(found.programs[0].dynamic)
    assert "known at run time only" in _printed(found)


@pytest.mark.usefixtures("bfloat16_products")
@pytest.mark.slow
def test_tables_too_large_are_refused_by_name(lean, config, python):
    # 2 x 50 M rows x 32 columns x 4 bytes, and as much for Adagrad: 23.8 GiB.
    tables = {n: TableSpec(name=n, buckets=50_000_000, dim=32) for n in lean.tables}
    found = check(
        dataclasses.replace(lean, tables=tables),
        config,
        SLICE,
        python=python,
        candidates=20,
        both_precisions=False,
    )
    train = found.programs[0]
    assert not found.ok
    assert train.hbm_used > 23.8 * 2**30 > train.hbm_available == 15.75 * 2**30
    assert "It does not fit: " in train.refusal.reason
    assert "video: 50,000,000 x 32 float32, 5.96 GiB" in train.refusal.where
    assert "fewer buckets" in train.refusal.remedy
    text = _printed(found)
    assert "does not fit" in text and "50,000,000" in text


def test_cpu_is_no_slice_for_it(spec, config, python):
    with pytest.raises(ValueError, match="Slice 'cpu': must be a TPU's"):
        check(spec, config, load_slice("cpu"), python=python)
