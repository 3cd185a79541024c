"""The file that says whether a model is blessed, as TFX has it."""

import os

from pipeline.gates.blessing import INFRA, is_blessed, write_blessing


def test_one_file_says_the_outcome(tmp_path):
    write_blessing(tmp_path, True)
    assert os.listdir(tmp_path) == ["BLESSED"] and is_blessed(tmp_path)
    write_blessing(tmp_path, False)  # judged anew
    assert os.listdir(tmp_path) == ["NOT_BLESSED"] and not is_blessed(tmp_path)


def test_an_infra_blessing_has_names_of_its_own(tmp_path):
    write_blessing(tmp_path / "1", True, INFRA)
    write_blessing(tmp_path / "2", False, INFRA)
    assert os.listdir(tmp_path / "1") == ["INFRA_BLESSED"]
    assert os.listdir(tmp_path / "2") == ["INFRA_NOT_BLESSED"]
    assert is_blessed(tmp_path / "1", INFRA) and not is_blessed(tmp_path / "1")
