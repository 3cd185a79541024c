"""JSON without NaN, and files that are whole or not there."""

import json
import math

import numpy as np
import pytest

from pipeline.reporting import files


def test_json_has_null_where_there_is_no_number():
    value = {
        "auc": math.nan,
        "areas": (0.5, math.inf, [np.float32(-math.inf), 1]),
        "array": np.array([[1.0, math.nan]]),
        "scalar": np.float64(math.nan),
        "count": np.int64(3),
        "text": "NaN",
        "flag": True,
    }
    assert json.loads(files.to_json(value)) == {
        "auc": None,
        "areas": [0.5, None, [None, 1]],
        "array": [[1.0, None]],
        "scalar": None,
        "count": 3,
        "text": "NaN",
        "flag": True,
    }


def test_floats_may_be_cut_to_significant_figures():
    found = files.plain({"a": [1234.5678, 0.00012345678, 7]}, figures=4)
    assert found == {"a": [1235.0, 0.0001235, 7]}
    assert files.significant(0.123456, 3) == 0.123
    assert files.significant(math.nan, 3) is None
    assert files.rounded(0.123456, 3) == 0.123
    assert files.rounded(np.float32(math.inf), 3) is None


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        files.to_json({"at": object()})


def test_a_text_ends_its_line():
    assert files.to_json([1], indent=None) == b"[1]\n"
    assert files.to_json({"a": 1}) == b'{\n  "a": 1\n}\n'


def test_a_file_replaces_the_one_before(tmp_path):
    path = tmp_path / "made" / "run.json"
    files.write_json(path, {"auc": 0.5})
    files.write_json(path, {"auc": math.nan})
    assert json.loads(path.read_text()) == {"auc": None}
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    files.write_bytes(path, b"old")

    def refuse(source, target):
        raise OSError("no room")

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="no room"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]  # nor is the half file left
