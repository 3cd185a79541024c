"""MovieLens through TFDS, on an archive of three ratings made here."""

import dataclasses
import hashlib
import io
import re
import zipfile

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from feature_specs import load_spec
from pipeline.examples.reading.readers import log_source, plan_ranges, read_blocks
from pipeline.fetch import movielens, run
from pipeline.fetch.download import Patience
from pipeline.fetch.errors import FetchError

_GENRES = "0|0|1|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0"  # Adventure, Drama
_FILES = {
    "u.data": "7\t50\t5\t881250949\n7\t1\t3\t881250950\n8\t50\t1\t891717742\n",
    "u.user": "7|24|M|technician|85711\n8|53|F|other|94043\n",
    "u.item": f"1|Toy Story (1995)|01-Jan-1995||x|{_GENRES}\n"
    f"50|unknown|||x|{_GENRES}\n",
}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """ml-100k.zip, which TFDS and we take for the published one."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, text in _FILES.items():
            made.writestr(f"ml-100k/{name}", text)
    path = tmp_path / "copied.zip"
    path.write_bytes(content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    url = movielens.ARCHIVE.url
    for known in (
        tfds.builder_cls("movielens").url_infos,
        checksums.get_all_url_infos(),
    ):
        small = dataclasses.replace(
            known[url], checksum=digest, size=path.stat().st_size
        )
        monkeypatch.setitem(known, url, small)
    told = dataclasses.replace(movielens.ARCHIVE, checksum=f"sha256:{digest}")
    monkeypatch.setattr(movielens, "ARCHIVE", told)
    return path


def test_tfds_registry_has_our_checksum():
    known = checksums.get_all_url_infos()[movielens.ARCHIVE.url]
    assert f"sha256:{known.checksum}" == movielens.ARCHIVE.checksum
    assert known.filename == movielens.ARCHIVE.name


@pytest.mark.slow
def test_an_archive_becomes_three_tables(archive, tmp_path, bars):
    out, data_dir = tmp_path / "out", tmp_path / "tfds"
    frames = movielens.fetch(out, bars, archive, data_dir)
    movielens.write(frames, out)
    assert (out / "ratings.csv").read_text().splitlines() == [
        "user_id,movie_id,rating,timestamp",
        "7,1,3.0,881250950",
        "7,50,5.0,881250949",
        "8,50,1.0,891717742",
    ]
    assert (out / "users.csv").read_text().splitlines()[1:] == [
        "7,24,M,technician,85711",
        "8,53,F,other,94043",
    ]
    assert (out / "movies.csv").read_text().splitlines()[1:] == [
        "1,Toy Story (1995),1995,Adventure Drama",
        "50,unknown,,Adventure Drama",
    ]
    archive.unlink()
    assert movielens.fetch(out, bars, None, data_dir)["ratings"].height == 3


def test_the_spec_of_tfds_reads_what_its_own_builder_has_prepared(archive, tmp_path):
    """User 7 is 24, a technician and male; movie 1 Toy Story of 1995."""
    manual, data_dir = tmp_path / "manual", tmp_path / "tfds"
    manual.mkdir()
    archive.rename(manual / movielens.ARCHIVE.name)
    builder = tfds.builder("movielens/100k-ratings", data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual, try_download_gcs=False
        )
    )
    source = log_source(load_spec("movielens_tfds"))
    (part,) = plan_ranges(source, str(data_dir))
    (block,) = read_blocks(part, source)
    assert block.rejects == ()
    rows = block.rows.sort("timestamp").drop("_line", "_time_ms").to_dicts()
    assert [row["timestamp"] for row in rows] == [881250949, 881250950, 891717742]
    assert rows[1] == {
        "user_id": "7",
        "movie_id": "1",
        "timestamp": 881250950,
        "user_rating": 3.0,
        "movie_title": "Toy Story (1995)",
        "movie_genres": ["Adventure", "Drama"],
        "user_gender": True,
        "bucketized_user_age": 18.0,
        "user_occupation_label": "technician/engineer",
        "user_zip_code": "85711",
    }


def test_a_data_set_of_tfds_is_prepared_where_it_is_asked_for(
    archive, tmp_path, capsys
):
    """TFDS finds the archive where it would have downloaded it to."""
    out = tmp_path / "out"
    downloads = out / "downloads" / "manual"
    downloads.mkdir(parents=True)
    archive.rename(downloads / movielens.ARCHIVE.name)
    assert run(["tfds:movielens/100k-ratings", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "movielens/100k-ratings/0.1.1 (train 3 rows)" in told
    assert f"--logs {out}" in told
    assert (out / "movielens/100k-ratings/0.1.1/dataset_info.json").exists()


def test_a_data_set_that_tfds_does_not_know_is_told(tmp_path):
    with pytest.raises(FetchError, match="tfds:movielenz.*movielenz"):
        run(["tfds:movielenz", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["movielenz"], "choose from kuairand-pure.*or tfds:NAME; not movielenz"),
        (["tfds:movielens", "--archive", "x"], "are not for tfds:movielens"),
        (["movielens", "--tfds"], "--tfds is for kuairand-\\*, not for movielens"),
    ],
)
def test_flags_that_do_not_fit_are_told(argv, told, capsys):
    with pytest.raises(SystemExit):
        run([*argv, "--out", "out"])
    assert re.search(told, capsys.readouterr().err.replace("\n", " "))


def test_a_wrong_archive_is_told(tmp_path, bars):
    (tmp_path / "ml-100k.zip").write_bytes(b"PK")
    with pytest.raises(FetchError, match="sha256:50d2a982"):
        movielens.fetch(
            tmp_path / "out", bars, tmp_path / "ml-100k.zip", tmp_path / "tfds"
        )


def test_no_network_says_what_to_do(tmp_path, bars, monkeypatch):
    nowhere = dataclasses.replace(
        movielens.ARCHIVE,
        url="http://127.0.0.1:1/ml-100k.zip",
        patience=Patience(tries=2, pause_s=0),
    )
    monkeypatch.setattr(movielens, "ARCHIVE", nowhere)
    with pytest.raises(FetchError, match="127.0.0.1:1/ml-100k.zip") as told:
        movielens.fetch(tmp_path / "out", bars, data_dir=tmp_path / "tfds")
    assert "--archive" in str(told.value)
    assert "--atomic" in str(told.value)


def test_missing_atomic_files_are_told(tmp_path):
    with pytest.raises(FetchError, match="ml-100k.inter: no such file"):
        movielens.read_atomic(tmp_path)
