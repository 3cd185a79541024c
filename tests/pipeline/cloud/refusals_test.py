"""Wrong flags of a job: each is told before a machine is rented, with what to do."""

import pytest

from pipeline.cloud.command import run
from trailrank import cli

SLICE, TRAIN = "--tpu_config", ["--spec", "kuairand"]
PATHS = ["--examples", "gs://b/days", "--checkpoints", "gs://b/c"]
GPU = [SLICE, "gpu", "--machine_type"]


@pytest.mark.parametrize(
    ("where", "flags", "told"),
    [
        ("vertex", ["--tpu", "t"], "--tpu: is tpu_vm's; Vertex AI names its machines"),
        (
            "vertex",
            ["--zone", "z"],
            "--zone: is tpu_vm's; a custom job takes --region.",
        ),
        ("vertex", ["--valid_until", "6h"], "a custom job takes --timeout_hours."),
        ("vertex", ["--region", ""], "--region: is required on vertex"),
        ("vertex", ["--region", "europe-west4-b"], "not a zone: take europe-west4."),
        ("vertex", ["--region", "Europe"], "--region: must be a region, like"),
        ("vertex", ["--staging", "/tmp/x"], "--staging: must lie in a bucket"),
        ("vertex", ["--timeout_hours", "0"], "--timeout_hours: must be more than 0."),
        ("vertex", [SLICE, "v4-8"], "no TPU v4 for custom jobs. Take --where tpu_vm"),
        ("vertex", [SLICE, "v5p-8"], "no TPU v5p for custom jobs. Take --where tpu_vm"),
        (
            "vertex",
            [SLICE, "v6e-8"],
            "JAX and PyTorch on v6e, not TensorFlow. Take --where",
        ),
        ("vertex", [SLICE, "v5litepod-16", "--spot"], "no spot TPUs of several hosts"),
        ("vertex", ["--machine_type", "n2-standard-8"], "follows from --tpu_config"),
        ("vertex", ["--workers", "2"], "--workers: is for cpu and gpu"),
        ("vertex", [SLICE, "cpu", "--gpu_type", "NVIDIA_L4"], "needs --tpu_config gpu"),
        ("vertex", [SLICE, "cpu", "--workers", "0"], "--workers: must be at least 1."),
        ("vertex", [SLICE, "gpu"], "--machine_type and --gpu_type: are required"),
        (
            "vertex",
            [*GPU, "g2-standard-24", "--gpu_type", "NVIDIA_L4", "--gpu_count", "1"],
            "--gpu_count: must be 2 on g2-standard-24. Got 1.",
        ),
        (
            "vertex",
            [*GPU, "a2-highgpu-1g", "--gpu_type", "NVIDIA_L4"],
            "NVIDIA_TESLA_A100",
        ),
        (
            "vertex",
            [*GPU, "n1-standard-8", "--gpu_type", "NVIDIA_L4"],
            "on n1 machines",
        ),
        (
            "vertex",
            [
                *GPU,
                "n1-standard-8",
                "--gpu_type",
                "NVIDIA_TESLA_T4",
                "--gpu_count",
                "3",
            ],
            "must be one of 1, 2, 4 for NVIDIA_TESLA_T4. Got 3.",
        ),
        (
            "vertex",
            [*GPU, "x", "--gpu_type", "TPU_V3"],
            "a TPU follows from --tpu_config",
        ),
        ("tpu_vm", ["--region", "r"], "--region: is vertex's; a TPU VM takes --zone."),
        ("tpu_vm", ["--workers", "2"], "a slice's hosts are in --tpu_config."),
        ("tpu_vm", ["--gpu_type", "NVIDIA_L4"], "a TPU VM has no GPU."),
        ("tpu_vm", ["--timeout_hours", "3"], "a TPU VM runs until it is deleted."),
        ("tpu_vm", [SLICE, "cpu", "--spot"], "is no TPU. Take --where vertex"),
        ("tpu_vm", [SLICE, "gpu"], "is no TPU. Take --where vertex"),
        ("tpu_vm", ["--tpu", ""], "--tpu: is required on tpu_vm"),
        ("tpu_vm", ["--tpu", "My_TPU"], "--tpu: must be up to 63 of a-z, 0-9 and -"),
        ("tpu_vm", ["--zone", ""], "--zone: is required on tpu_vm"),
        ("tpu_vm", ["--zone", "europe-west4"], "--zone: must be a zone"),
        ("tpu_vm", ["--valid_until", "soon"], "must be a number and s, m, h or d"),
        ("tpu_vm", ["--project", "My Team"], "--project: must be a project id"),
        ("tpu_vm", ["--project", ""], "--project: is required"),
        ("tpu_vm", ["--image", ""], "build one with pipeline/cloud/tpu.Dockerfile"),
        ("tpu_vm", ["--image", "my image"], "--image: must be REGISTRY/PATH:TAG"),
        ("tpu_vm", ["--service_account", "me"], "must be an address"),
        ("tpu_vm", ["--label", "Team=A"], "--label: may hold a-z, 0-9, _ and -"),
        ("tpu_vm", ["--label", "team"], "--label: must be KEY=VALUE. Got 'team'."),
        ("tpu_vm", ["--env", "A-B=1"], "--env: must be NAME=VALUE on one line"),
        ("tpu_vm", ["--name", ""], "--name: must have 1 to 128 characters."),
        ("tpu_vm", [SLICE, "v6e-9"], "--tpu_config v6e-9: is neither a shipped slice"),
        ("tpu_vm", [SLICE, ""], "--tpu_config: is required"),
    ],
)
def test_wrong_flag_of_the_job(refused, where, flags, told):
    said = refused(where, *flags)
    assert said.startswith("job submit: 1 mistake\n"), said
    assert told in said


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ([], "must come before the flags of trailrank train"),
        (["--examples", "gs://b/t"], "the following arguments are required: --spec"),
        ([*TRAIN, *PATHS, "--checkpoint_dir", "x"], "after --: unrecognized arguments"),
        ([*TRAIN, *PATHS, "--accelerator", "cpu"], "--accelerator follows from"),
        ([*TRAIN, *PATHS, "--tpu_config=cpu"], "--tpu_config belongs before --"),
        (["--spec", "kuai", *PATHS], "--spec kuai: is neither a shipped spec"),
        ([*TRAIN, *PATHS, "--preset", "moe9"], "--preset moe9: is neither a shipped"),
        (
            [*TRAIN, "--examples", "/data/days", "--checkpoints", "gs://b/c"],
            "--examples: must lie in a bucket, gs://BUCKET/DIR",
        ),
        (
            [*TRAIN, "--checkpoints", "gs://b/c", "--examples", "gs://b/1", "data/2"],
            "--examples: must lie in a bucket, gs://BUCKET/DIR",
        ),
        (
            [*TRAIN, *PATHS, "--encoding", "run/encoding"],
            "--encoding: must lie in a bucket, gs://BUCKET/DIR",
        ),
        (
            [*TRAIN, "--examples", "gs://b/days", "--checkpoints", "runs/c"],
            "--checkpoints: must lie in a bucket, gs://BUCKET/DIR",
        ),
        (
            [*TRAIN, *PATHS, "--tensorboard", "logs"],
            "--tensorboard: must lie in a bucket",
        ),
    ],
)
def test_wrong_train_flag(refused, train, told):
    said = refused("vertex", train=train)
    assert said.startswith("job submit: 1 mistake\n"), said
    assert told in said


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--warm_start", "old/checkpoints"], "--warm_start: must lie in a bucket"),
        (["--export", "models/7"], "--export: must lie in a bucket"),
        (["--warm_start_partial"], "--warm_start_partial: needs --warm_start DIR"),
        (["--tpu", "mine"], "--tpu is filled in by the job; leave it out."),
        (["--batch_size", "1001"], "must be a multiple of the 8 cores of v5litepod-8."),
    ],
)
def test_flags_that_the_trainer_would_refuse_later(refused, flags, told):
    said = refused("vertex", train=[*TRAIN, *PATHS, *flags])
    assert said.startswith("job submit: 1 mistake\n"), said
    assert told in said


def test_all_mistakes_are_told_at_once(refused):
    said = refused("tpu_vm", "--region", "r", "--image", "", "--zone", "", train=[])
    assert said.startswith("job submit: 4 mistakes\n")


def test_mistake_in_a_slice_of_ones_own_has_its_key(refused, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{like: v6e-8, name: mine, batch_per_core: 0}")
    assert "batch_per_core: must be from 1 to 16,777,216. Got 0." in refused(
        "tpu_vm", "--tpu_config", str(path)
    )


def test_a_v5e_topology_that_vertex_does_not_offer(refused, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{like: v5litepod-8, name: mine, topology: 'v5e:4x2'}")
    said = refused("vertex", "--tpu_config", str(path))
    assert "ct5lp-hightpu-8t comes as 2x4 on Vertex AI. Got '4x2'." in said


def test_command_is_reached_from_trailrank(capsys, job):
    assert cli.main(["trailrank", "job", *job("vertex", "--tpu", "t")]) == 2
    assert "--tpu: is tpu_vm's" in capsys.readouterr().err


@pytest.mark.parametrize("page", [["--help"], ["submit", "--help"]])
def test_help_pages_have_commands_to_paste(page, capsys):
    with pytest.raises(SystemExit) as ended:
        run(page)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "trailrank job submit --where vertex --project P" in said
    assert "--where tpu_vm --tpu NAME" in said
