"""Which files a run of new days reads, and what changes its fingerprint."""

import os

from feature_specs import read_spec
from pipeline.examples.days import DayRange
from pipeline.examples.reading.log_files import match_files
from pipeline.examples.reading.marks import FileMark, fingerprint, read_files, unseen
from pipeline.examples.reading.readers import log_source
from tests.tiny_spec import TINY_SPEC

_HEAD = "user,item,time_ms,good\n"
_DAY = DayRange.parse("20220409")


def _logs(folder):
    for day in ("20220408", "20220409", "20220410"):
        (folder / f"log_{day}.csv").write_text(_HEAD)


def test_the_fingerprint_is_of_the_days_that_are_read(tmp_path):
    spec = read_spec(TINY_SPEC.replace("log_*", "log_{day}"))
    _logs(tmp_path)

    def now(**changes):
        settings = {"context": 0, **changes}
        return fingerprint(read_files(spec, str(tmp_path), _DAY, **settings))

    before, with_context = now(), now(context=1)
    assert before == now() != with_context
    (tmp_path / "log_20220408.csv").write_text(_HEAD + "1,2,3,1\n")
    (tmp_path / "log_20220410.csv").write_text(_HEAD + "1,2,3,1\n")
    assert now() == before
    assert now(context=1) != with_context
    (tmp_path / "log_20220409.csv").write_text(_HEAD + "1,2,3,1\n")
    assert now() != before


def test_files_are_left_out_as_long_as_they_stay_as_they_were(tmp_path):
    spec = read_spec(TINY_SPEC)
    _logs(tmp_path)
    files = match_files(log_source(spec), str(tmp_path))
    seen = {file.path: FileMark.of(file) for file in files[:2]}
    assert unseen(files, seen) == files[2:]

    def read(seen=None):
        return read_files(spec, str(tmp_path), _DAY, 0, seen)

    of_new = fingerprint(read(seen))
    assert of_new != fingerprint(read())
    os.utime(files[0].path, (1, 1))
    changed = match_files(log_source(spec), str(tmp_path))
    assert [f.path for f in unseen(changed, seen)] == [files[0].path, files[2].path]
    assert fingerprint(read(seen)) != of_new
