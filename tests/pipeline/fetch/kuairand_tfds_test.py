"""The builder through TFDS' own API, on a small archive."""

import csv

import pytest
import tensorflow_datasets as tfds

from feature_specs.reader import load_spec
from pipeline.fetch import kuairand, kuairand_tfds, run
from pipeline.simulator.block import LOG_COLUMNS


def _builder(release, data_dir) -> tfds.core.DatasetBuilder:
    config = kuairand_tfds.KuaiRandConfig(name="small", release=release)
    return kuairand_tfds.KuaiRand(config=config, data_dir=data_dir)


def _rows(builder, split) -> list[list[int]]:
    rows = tfds.as_numpy(builder.as_dataset(split=split))
    return [[int(row[name]) for name in LOG_COLUMNS] for row in rows]


def _written(logs, split) -> list[list[int]]:
    (path,) = (logs / "data").glob(f"log_{split}_*.csv")
    with path.open() as lines:
        _, *rows = csv.reader(lines)
    return [[int(text) for text in row] for row in rows]


def _prepare(builder, manual_dir) -> None:
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir, try_download_gcs=False
        )
    )


def test_its_columns_are_the_logs():
    assert tuple(kuairand_tfds.COLUMNS) == LOG_COLUMNS
    assert set(kuairand_tfds.COLUMNS) == set(load_spec("kuairand").log.columns)


def test_tfds_knows_the_three_releases(tmp_path):
    for name in ("pure", "1k", "27k"):
        builder = tfds.builder(f"kuairand/{name}", data_dir=tmp_path)
        assert builder.release is kuairand.RELEASES[f"kuairand-{name}"]
    assert "CC BY-SA" in builder.info.redistribution_info.license
    assert builder.info.features["tab"].doc.desc == "Where in the app, 0 to 14."


@pytest.mark.slow
@pytest.mark.parametrize("split", kuairand_tfds.SPLITS)
def test_the_rows_of_an_archive_by_hand(release, packed, logs, tmp_path, split):
    manual = tmp_path / "manual"
    manual.mkdir()
    (manual / "KuaiRand-Pure.tar.gz").write_bytes(packed)
    builder = _builder(release, tmp_path / "tfds")
    _prepare(builder, manual)
    wanted = _written(logs, split)
    assert len(wanted) > 5
    assert _rows(builder, split) == wanted
    assert [path.name for path in manual.iterdir()] == ["KuaiRand-Pure.tar.gz"]


@pytest.mark.slow
def test_the_rows_of_a_fetched_folder(served, logs, tmp_path, bars):
    server, release = served
    kuairand.fetch(release, tmp_path / "out", bars)
    builder = _builder(release, tmp_path / "tfds")
    _prepare(builder, tmp_path / "out")
    assert len(server.asked) == 1
    assert _rows(builder, "random") == _written(logs, "random")


@pytest.mark.slow
def test_the_rows_of_a_download(served, logs, tmp_path):
    server, release = served
    server.cuts.append(1000)
    builder = _builder(release, tmp_path / "tfds")
    _prepare(builder, None)
    assert server.asked == [None, "bytes=1000-"]
    assert _rows(builder, "standard") == _written(logs, "standard")


@pytest.mark.slow
def test_the_command_goes_through_the_builder_and_prepares_if_it_is_asked(
    release, packed, logs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(kuairand.RELEASES, "kuairand-pure", release)
    archive = tmp_path / "copied.tgz"
    archive.write_bytes(packed)
    out = tmp_path / "out"
    flags = ["--out", str(out), "--archive", str(archive), "--tfds"]
    assert run(["kuairand-pure", *flags]) == 0
    assert f"{out}/kuairand/pure/1.0.0 has it" in capsys.readouterr().out
    builder = tfds.builder_from_directory(out / "kuairand" / "pure" / "1.0.0")
    assert _rows(builder, "random") == _written(logs, "random")
