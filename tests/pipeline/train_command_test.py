"""`trailrank train`: days are found, wrong arguments refused."""

import pytest
import tensorflow as tf

from tests.trainer.conftest import make_rows, spec_file  # noqa: F401  fixtures
from trailrank import cli
from trainer.days.folders import find_days


def run(flags: list[str]) -> int:
    return cli.main(["trailrank", "train", *flags])


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


def test_days_may_lie_in_a_bucket():
    folder = "ram://bucket/out/Split-day-20220408"  # TensorFlow's, in memory
    tf.io.gfile.makedirs(folder)
    assert find_days("ram://bucket/out") == [("day-20220408", [f"{folder}/*.gz"])]


_TRAILRANK = """
import sys
from trailrank import cli

sys.exit(cli.main(["trailrank", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_off_a_terminal_each_day_has_a_line(forks, spec_file, make_rows, tmp_path):  # noqa: F811
    for seed, day in enumerate(("20220408", "20220409")):
        make_rows(64, seed=seed).write(tmp_path / "days" / f"Split-day-{day}" / "0.gz")
    flags = ["train", "--spec", spec_file, "--accelerator", "cpu"]
    flags += ["--transformed", tmp_path / "days"]
    flags += ["--checkpoints", tmp_path / "checkpoints"]
    first = forks.run(_TRAILRANK, [*flags, "--days", "20220408"])
    second = forks.run(_TRAILRANK, flags)
    assert "\nTrained 1 days, restored 0;" in first.out
    assert "day-20220408    64 " in first.out
    assert "Trained 1/1 days, day-20220408: 64 rows" in first.err
    assert "\nTrained 1 days, restored 1;" in second.out, second.out


def test_a_day_that_is_not_there_is_named(transformed):
    with pytest.raises(ValueError, match="Got day-20220501. It has day-20220408 to"):
        find_days(transformed, ["20220501"])


def test_a_directory_without_days_is_refused(tmp_path, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", str(tmp_path)]
    assert run(args) == 1
    assert "must hold folders Split-day-YYYYMMDD" in capsys.readouterr().err


def test_accelerator_must_agree_with_the_slice(transformed, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    assert run([*args, "--accelerator", "cpu", "--tpu_config", "v5litepod-8"]) == 2
    assert "which is for tpu. Leave --accelerator out" in capsys.readouterr().err


def test_tpu_needs_a_slice(transformed, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    assert run([*args, "--accelerator", "tpu"]) == 2
    assert ", v5litepod-4, v5litepod-8, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [  # wrong files end with 1, wrong flags with 2
        (["--tpu", "t", "--accelerator", "cpu"], "--tpu t: is for --accelerator tpu"),
        (["--warm_start_partial"], "needs --warm_start DIR"),
        (["--warm_start", "x/"], "must not be --checkpoints itself"),
        (["--transform_graph", "g"], "--transform_graph g: does not exist"),
        (["--batch_size", "0"], "--batch_size: must be 1 or more. Got 0"),
        (["--sample", "1.5"], "sample: must be above 0 and at most 1. Got 1.5"),
        (["--checkpoint_steps", "-1"], "checkpoint_steps: must be 0 or more. Got -1"),
        (["--export", "m/1"], "Name it with --transform_graph"),
        (["--spec", "absent"], "absent"),
        (["--tpu_config", "v9"], "v9"),
    ],
)
def test_flags_that_make_no_sense_are_refused(transformed, capsys, flags, message):
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    files = ("--export", "--spec", "--tpu_config", "--transform_graph")
    status = 1 if flags[0] in files else 2
    assert run([*args, "--accelerator", "cpu", *flags]) == status
    assert message in capsys.readouterr().err


def test_a_served_version_is_not_written_over(transformed, tmp_path, capsys):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").write_bytes(b"")
    args = ["--spec", "movielens", "--checkpoints", "x", "--transformed", transformed]
    assert run([*args, "--export", str(tmp_path / "7")]) == 1
    assert "must be a new directory" in capsys.readouterr().err
