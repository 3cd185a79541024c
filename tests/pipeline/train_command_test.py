"""`trailrank train`: days are found, wrong arguments refused."""

import pytest
import tensorflow as tf

from tests.trainer.conftest import make_rows, spec_file  # noqa: F401  fixtures
from trailrank import cli
from trainer.days.folders import find_days


def run(flags: list[str]) -> int:
    return cli.main(["trailrank", "train", *flags])


@pytest.fixture
def examples(tmp_path):
    for day in ("20220409", "20220408"):
        (tmp_path / f"Split-day-{day}").mkdir()
    return str(tmp_path)


def test_all_days_oldest_first(examples):
    days = find_days(examples)
    assert [name for name, _ in days] == ["day-20220408", "day-20220409"]
    assert days[0][1] == [f"{examples}/Split-day-20220408/*.gz"]


def test_chosen_days_with_or_without_prefix(examples):
    assert [n for n, _ in find_days(examples, ["20220409"])] == ["day-20220409"]
    assert [n for n, _ in find_days(examples, ["day-20220409"])] == ["day-20220409"]


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
    flags += ["--examples", tmp_path / "days"]
    flags += ["--checkpoints", tmp_path / "checkpoints"]
    first = forks.run(_TRAILRANK, [*flags, "--days", "20220408"])
    second = forks.run(_TRAILRANK, flags)
    assert "\nTrained 1 days, restored 0;" in first.out
    assert "day-20220408    64 " in first.out
    assert "Trained 1/1 days, day-20220408: 64 rows" in first.err
    assert "\nTrained 1 days, restored 1;" in second.out, second.out


def test_days_may_lie_in_several_directories(tmp_path):
    for place in ("one/Split-day-2", "one/Split-day-3", "other/Split-day-1"):
        (tmp_path / place).mkdir(parents=True)
    one, other = tmp_path / "one", tmp_path / "other"
    found = find_days([one, other])
    assert [name for name, _ in found] == ["day-1", "day-2", "day-3"]
    assert found[0][1] == [f"{other}/Split-day-1/*.gz"]
    (other / "Split-day-3").mkdir()
    with pytest.raises(ValueError, match="each day once. Got day-3 in .*one and in "):
        find_days([one, other])
    assert len(find_days([one, other], ["1", "2"])) == 2  # those that are asked for


def test_raw_examples_need_an_encoding(examples, tmp_path, capsys):
    """Without one their values would be taken for ids."""
    (tmp_path / "report.json").write_text("{}")
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", examples]
    assert run([*args, "--accelerator", "cpu"]) == 1
    told = capsys.readouterr().err
    assert "--encoding: must be named for raw examples, as " in told


def test_a_day_that_is_not_there_is_named(examples):
    with pytest.raises(ValueError, match="Got day-20220501. It has day-20220408 to"):
        find_days(examples, ["20220501"])


def test_a_directory_without_days_is_refused(tmp_path, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", str(tmp_path)]
    assert run(args) == 1
    assert "must hold folders Split-day-YYYYMMDD" in capsys.readouterr().err


def test_accelerator_must_agree_with_the_slice(examples, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", examples]
    assert run([*args, "--accelerator", "cpu", "--tpu_config", "v5litepod-8"]) == 2
    assert "which is for tpu. Leave --accelerator out" in capsys.readouterr().err


def test_tpu_needs_a_slice(examples, capsys):
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", examples]
    assert run([*args, "--accelerator", "tpu"]) == 2
    assert ", v5litepod-4, v5litepod-8, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [  # wrong files end with 1, wrong flags with 2
        (["--tpu", "t", "--accelerator", "cpu"], "--tpu t: is for --accelerator tpu"),
        (["--warm_start_partial"], "needs --warm_start DIR"),
        (["--warm_start", "x/"], "must not be --checkpoints itself"),
        (["--encoding", "g"], "--encoding g: does not exist"),
        (["--batch_size", "0"], "--batch_size: must be 1 or more. Got 0"),
        (["--sample", "1.5"], "sample: must be above 0 and at most 1. Got 1.5"),
        (["--checkpoint_steps", "-1"], "checkpoint_steps: must be 0 or more. Got -1"),
        (["--export", "m/1"], "Name it with --encoding"),
        (["--tables", "int8"], "--tables int8: is about the exported model"),
        (["--spec", "absent"], "absent"),
        (["--tpu_config", "v9"], "v9"),
    ],
)
def test_flags_that_make_no_sense_are_refused(examples, capsys, flags, message):
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", examples]
    files = ("--export", "--spec", "--tpu_config", "--encoding")
    status = 1 if flags[0] in files else 2
    assert run([*args, "--accelerator", "cpu", *flags]) == status
    assert message in capsys.readouterr().err


def test_a_served_version_is_not_written_over(examples, tmp_path, capsys):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").write_bytes(b"")
    args = ["--spec", "movielens", "--checkpoints", "x", "--examples", examples]
    assert run([*args, "--export", str(tmp_path / "7")]) == 1
    assert "must be a new directory" in capsys.readouterr().err
