"""`python -m trainer`: days are found, wrong arguments refused."""

import pytest

from trainer.command import find_days, run


@pytest.fixture
def transformed(tmp_path):
    for day in ("20220409", "20220408"):
        (tmp_path / f"Split-day-{day}").mkdir()
    return str(tmp_path)


def test_all_days_oldest_first(transformed):
    days = find_days(transformed)
    assert [name for name, _ in days] == ["day-20220408", "day-20220409"]
    assert days[0][1] == [f"{transformed}/Split-day-20220408/*.gz"]


def test_chosen_days_with_or_without_prefix(transformed):
    assert [n for n, _ in find_days(transformed, ["20220409"])] == ["day-20220409"]
    assert [n for n, _ in find_days(transformed, ["day-20220409"])] == ["day-20220409"]


def test_a_day_that_is_not_there_is_named(transformed):
    with pytest.raises(ValueError, match="Got day-20220501. It has day-20220408 to"):
        find_days(transformed, ["20220501"])


def test_a_directory_without_days_is_refused(tmp_path, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", str(tmp_path)]
    assert run(args) == 1
    assert "must hold folders Split-day-YYYYMMDD" in capsys.readouterr().err


def test_accelerator_must_agree_with_the_slice(transformed, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    assert run([*args, "--accelerator", "cpu", "--tpu_config", "v5litepod-8"]) == 1
    assert "which is for tpu. Leave --accelerator out" in capsys.readouterr().err


def test_tpu_needs_a_slice(transformed, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    assert run([*args, "--accelerator", "tpu"]) == 1
    assert "one of v5litepod-1, v5litepod-8" in capsys.readouterr().err
