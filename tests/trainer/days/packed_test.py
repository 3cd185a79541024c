"""Days kept on disk: the same batches, whatever happens to the directory."""

import concurrent.futures
import logging
import os
import pathlib
import resource
import signal

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import label_key, mask_key, read_spec
from tpu_configs import SliceConfig
from trainer.days import input as examples
from trainer.days import loop
from trainer.days.layout import Layout
from trainer.days.packed import DayCache
from trainer.days.shards import DamagedExamplesError

_ROWS = 300


@pytest.fixture
def files(make_rows, tmp_path):
    """Two files of 200 and 100 rows."""
    paths = [tmp_path / "day" / f"part-{index}.gz" for index in range(2)]
    for seed, (path, rows) in enumerate(zip(paths, (200, 100), strict=True)):
        make_rows(rows, seed=seed).write(path)
    return [str(path) for path in paths]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cache(spec, folder):
    return DayCache(str(folder), Layout(spec))


def _bytes(dataset):
    """Every value of every batch, bit by bit."""
    flat = (tf.nest.flatten(batch) for batch in dataset)
    return [[value.numpy().tobytes() for value in batch] for batch in flat]


def _kept(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def _unreadable(file):
    """Other bytes, without a trace in size and time."""
    path = pathlib.Path(file)
    state = path.stat()
    path.write_bytes(b"x" * state.st_size)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    ("sample", "skip", "share"),
    [
        (1.0, 0, examples.Share()),
        (0.4, 3, examples.Share()),
        (1.0, 1, examples.Share(machine=1, machines=2, replicas=1)),
        (0.4, 0, examples.Share(machine=0, machines=1, replicas=4)),
        (1.0, 2, examples.Share(machine=1, machines=2, replicas=2)),
    ],
)
def test_batches_are_the_same_bit_by_bit(spec, files, cache, sample, skip, share):
    plain = examples.BatchReader(Layout(spec), 16, sample=sample, seed=5)
    cached = examples.BatchReader(Layout(spec), 16, sample=sample, seed=5, cache=cache)
    found = [
        reader.batches(files, seed=1, skip=skip, share=share)
        for reader in (plain, cached)
    ]
    assert found[0].element_spec == found[1].element_spec
    expected, other = map(_bytes, found)
    assert len(expected) > 3 and other == expected


def test_later_passes_and_other_presets_read_no_file_again(spec, files, folder):
    def batches():
        cache = DayCache(str(folder), Layout(spec))
        return _bytes(
            examples.BatchReader(Layout(spec), 64, cache=cache).batches(files, seed=3)
        )

    first = batches()
    for file in files:
        _unreadable(file)
    assert batches() == first


def test_a_changed_file_is_packed_anew_and_the_outdated_rows_go(
    spec, files, cache, folder, make_rows
):
    reader = examples.BatchReader(Layout(spec), 64, cache=cache)
    list(reader.batches(files, seed=3))
    before = _kept(folder)
    make_rows(120, seed=9).write(pathlib.Path(files[1]))
    expected = _bytes(examples.BatchReader(Layout(spec), 64).batches(files, seed=3))
    assert _bytes(reader.batches(files, seed=3)) == expected
    assert len(_kept(folder)) == 1 and _kept(folder) != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-3],
        lambda data: data[:99] + bytes([data[99] ^ 4]) + data[100:],
    ],
)
def test_a_damaged_day_is_packed_anew_and_that_is_told(
    spec, files, folder, caplog, damage
):
    def batches():
        cache = DayCache(str(folder), Layout(spec))
        return _bytes(
            examples.BatchReader(Layout(spec), 64, cache=cache).batches(files, seed=3)
        )

    first = batches()
    (name,) = _kept(folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING, "absl"):
        assert batches() == first
    assert f"{name}: is damaged, and is packed anew." in caplog.text
    assert (folder / name).read_bytes() == whole


def test_days_and_specs_with_other_columns_have_files_of_their_own(
    spec, files, cache, folder
):
    for day in (files[:1], files[1:]):
        list(examples.BatchReader(Layout(spec), 64, cache=cache).batches(day, seed=0))
    fewer = read_spec(spec.text.replace("  - {name: tab, ", "  # - {name: tab, "))
    other = DayCache(str(folder), Layout(fewer))
    list(
        examples.BatchReader(Layout(fewer), 64, cache=other).batches(files[:1], seed=0)
    )
    assert len(_kept(folder)) == 3


def test_label_counts_are_the_same(spec, files, cache):
    expected = examples.count_labels(Layout(spec), files)
    assert examples.count_labels(Layout(spec), files, cache) == expected
    for file in files:
        _unreadable(file)
    assert examples.count_labels(Layout(spec), files, cache) == expected


def test_a_day_without_rows_has_no_batch(spec, cache, tmp_path):
    empty = str(tmp_path / "empty.gz")
    tf.io.TFRecordWriter(empty, "GZIP").close()
    reader = examples.BatchReader(Layout(spec), 64, cache=cache)
    assert not list(reader.batches([empty], seed=0))
    assert not list(reader.batches([empty], seed=0))


def test_where_a_day_does_not_fit_its_files_are_read(
    spec, files, cache, folder, caplog
):
    expected = _bytes(examples.BatchReader(Layout(spec), 64).batches(files, seed=3))
    reader = examples.BatchReader(Layout(spec), 64, cache=cache)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with caplog.at_level(logging.WARNING, logger="absl"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        try:  # a file of more bytes is refused by the system, like one on a full disk
            first = _bytes(reader.batches(files, seed=3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert _kept(folder) == []
        second = _bytes(reader.batches(files, seed=3))
    assert first == second == expected
    (record,) = caplog.records  # said once, and not tried again
    assert "File too large" in record.getMessage()
    assert files[0] in record.getMessage() and "Free the disk" in record.getMessage()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_is_refused(spec, tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file.*: must be a directory of a local disk"):
        DayCache(str(tmp_path / name), Layout(spec))


def test_a_bucket_is_refused(spec):
    with pytest.raises(ValueError, match=r"gs://b/c: .* local disk.* Got a bucket"):
        DayCache("gs://b/c", Layout(spec))


def test_of_several_that_want_a_day_one_packs_it(spec, files, folder):
    packed = []

    def matrices():
        packed.append(1)
        return tf.data.Dataset.from_tensors(tf.fill([5, Layout(spec).width], 7))

    def open_day(_):
        return DayCache(str(folder), Layout(spec)).open(files, matrices)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(open_day, range(4)))
    assert packed == [1]
    assert all(matrix.shape[0] == 5 and (matrix == 7).all() for matrix in found)


def test_nothing_is_kept_of_a_day_that_cannot_be_read(spec, files, cache, folder):
    whole = pathlib.Path(files[1]).read_bytes()
    half = len(whole) // 2
    pathlib.Path(files[1]).write_bytes(whole[:half] + bytes(len(whole) - half))
    reader = examples.BatchReader(Layout(spec), 64, cache=cache)
    with pytest.raises(DamagedExamplesError, match=f"^{files[1]}: is damaged"):
        list(reader.batches(files, seed=0))
    assert _kept(folder) == []


_KILLED = """
import os, signal, sys
import tensorflow as tf
import tests.trainer.conftest as small
from trainer.days.layout import Layout
from trainer.days.packed import DayCache

layout = Layout(small.read_spec(small.SPEC))

def matrices():
    for index in range(50):
        if index == 49:
            os.kill(os.getpid(), signal.SIGKILL)
        yield tf.zeros([1000, layout.width], tf.int32)

spec = tf.TensorSpec([1000, layout.width], tf.int32)
cache = DayCache(sys.argv[1], layout)
cache.open(
    sys.argv[2:], lambda: tf.data.Dataset.from_generator(matrices, output_signature=spec)
)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_packs_is_no_hindrance(
    forks, spec, files, cache, folder
):
    killed = forks.start(_KILLED, [folder, *files])
    assert killed.end() == -signal.SIGKILL, killed.err[-3000:]
    assert [name.endswith(".unfinished") for name in _kept(folder)] == [True]
    expected = _bytes(examples.BatchReader(Layout(spec), 64).batches(files, seed=3))
    reader = examples.BatchReader(Layout(spec), 64, cache=cache)
    assert _bytes(reader.batches(files, seed=3)) == expected
    assert [name.endswith(".rows") for name in _kept(folder)] == [True]


def test_training_ends_with_the_same_weights(spec, config, files, folder, tmp_path):
    def weights(name, cache):
        ranker = loop.train(
            spec,
            config,
            [("day-20220408", files[:1]), ("day-20220409", files[1:])],
            checkpoint_dir=str(tmp_path / name),
            slice=_slice(),
            options=loop.LoopOptions(cache=cache, validate_rows=32),
        )
        return [variable.numpy() for variable in ranker.variables]

    plain, cached = weights("plain", None), weights("cached", str(folder))
    for one, other in zip(plain, cached, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(_kept(folder)) == 2


def test_machines_of_a_pod_have_no_cache(spec, config, files, folder, tmp_path):
    with pytest.raises(ValueError, match="cache: .* slice 'tiny' with 2 hosts"):
        loop.train(
            spec,
            config,
            [("day-20220408", files)],
            checkpoint_dir=str(tmp_path / "run"),
            slice=_slice(hosts=2),
            options=loop.LoopOptions(cache=str(folder)),
        )


def _slice(**changes):
    return SliceConfig(
        name="tiny", accelerator="cpu", batch_size=32, steps_per_call=2, **changes
    )


_NUMBERS_ONLY = """
name: numbers
log: {files: "*.csv", user: u, item: i, time: {column: t}, outcomes: [y],
      columns: {u: int64, i: int64, t: int64, y: int64, x: float64, z: float64}}
features: [{name: x, group: candidate, kind: number},
           {name: z, group: query, kind: number}]
tasks: [{name: y, kind: binary, label: "y = 1"}]
fusion: {weights: {y: 1.0}}
"""


def test_float_values_keep_their_bits():
    layout = Layout(read_spec(_NUMBERS_ONLY))
    x = np.array([-0.0, np.nan, 1e-42, np.inf], np.float32)
    row = {
        "x": x,
        "z": x,
        label_key("y"): x[::-1],
        mask_key("y"): np.ones(4, np.float32),
    }
    batch = layout.unpack(layout.pack(row), rows=6)
    assert batch.features["x"].numpy()[:4].tobytes() == x.tobytes()
    assert batch.labels.numpy()[:4, 0].tobytes() == x[::-1].tobytes()
    np.testing.assert_array_equal(batch.weight, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(batch.masks[:, 0], [1, 1, 1, 1, 0, 0])
    labels, masks = layout.labels(layout.pack(row).numpy())
    assert labels.tobytes() == x[::-1].tobytes() and (masks == 1).all()
