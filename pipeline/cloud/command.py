"""The command `trailrank job`: training on machines of Google Cloud.

    trailrank job submit --where vertex --project P --region europe-west4 \\
        --image IMAGE --tpu_config v5litepod-8 --dry_run -- \\
        --spec kuairand --preset mmoe --examples gs://BUCKET/examples \\
        --encoding gs://BUCKET/encoding --checkpoints gs://BUCKET/checkpoints
    trailrank job submit --where tpu_vm --tpu NAME --zone europe-west4-b --project P \\
        --image IMAGE --tpu_config v5litepod-8 --spot --dry_run -- ...
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence

from feature_specs import SpecError, flags
from feature_specs.build import Problems
from feature_specs.flags import ArgumentParser
from pipeline.cloud import service, tpu_vm, vertex
from pipeline.cloud.job import Job, JobRequest, read_job
from tpu_configs import shipped_slices

_SUBMIT = """\
Trains on machines of Google Cloud: flags of the job, --, flags of trailrank train.

    trailrank job submit --where vertex --project P --region europe-west4 \\
        --image IMAGE --tpu_config v5litepod-8 --dry_run -- \\
        --spec kuairand --preset mmoe --examples gs://BUCKET/examples \\
        --encoding gs://BUCKET/encoding --checkpoints gs://BUCKET/checkpoints

    trailrank job submit --where tpu_vm --tpu NAME --zone europe-west4-b --project P \\
        --image IMAGE --tpu_config v5litepod-8 --spot --dry_run -- \\
        --spec mine.yaml --examples gs://BUCKET/examples \\
        --encoding gs://BUCKET/encoding --checkpoints gs://BUCKET/checkpoints

vertex   a Vertex AI custom job: CPU, GPU, TPU v2, v3 and v5e. Vertex takes the machines
         back when the training ends.
tpu_vm   a queued resource that becomes a TPU VM, of any kind of TPU. The TPU is yours,
         and costs, until you delete it.

Data and checkpoints must lie in a bucket. A spec, preset or slice of your own may be a
file here: it travels with the job. All flags are checked before anything is rented.
--dry_run needs neither credentials nor network. It prints on vertex the job as JSON,
as the REST method customJobs.create takes it, on tpu_vm a shell script to run.

A preempted training writes a checkpoint and ends with status 75; both places start it
again. Given the same --checkpoints, a new job goes on where the last one stopped.

First: `trailrank preflight --tpu_config NAME` tells whether the model compiles and
fits. docs/tpu.md says how to build the image and what to watch."""

_EPILOG = f"Slices: {', '.join(shipped_slices())}."

# Flags that mean something in one place only -> what to do in the other.
_ONLY = {
    "vertex": {
        "region": "is vertex's; a TPU VM takes --zone.",
        "staging": "is vertex's; leave it out.",
        "timeout_hours": "is vertex's; a TPU VM runs until it is deleted.",
        "machine_type": "is vertex's; a TPU VM's machine follows from --tpu_config.",
        "gpu_type": "is vertex's; a TPU VM has no GPU.",
        "gpu_count": "is vertex's; a TPU VM has no GPU.",
        "workers": "is vertex's; a slice's hosts are in --tpu_config.",
    },
    "tpu_vm": {
        "tpu": "is tpu_vm's; Vertex AI names its machines itself.",
        "zone": "is tpu_vm's; a custom job takes --region.",
        "runtime_version": "is tpu_vm's; a custom job has what is in --image.",
        "valid_until": "is tpu_vm's; a custom job takes --timeout_hours.",
        "script": "is tpu_vm's; leave it out.",
    },
}


def run(argv: Sequence[str]) -> int:
    """`trailrank job ...`; 0, 1 after a failure, 2 after wrong flags."""
    own, train = split_arguments(argv)
    args = parser().parse_args(own)
    try:
        return _submit(args, train)
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags of the job, and what stands after `--`: flags of the training."""
    if "--" not in argv:
        return list(argv), []
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def _submit(args: argparse.Namespace, train: Sequence[str]) -> int:
    problems = Problems()
    _check_place(args, problems)
    place = (vertex if args.where == "vertex" else tpu_vm).FILES_PLACE
    job = read_job(_request(args, train), place, problems)
    send = _plan(args, job, problems)
    if problems.found or send is None:
        raise SpecError("job submit", problems.found)
    return send()


def _request(args: argparse.Namespace, train: Sequence[str]) -> JobRequest:
    return JobRequest(
        train=train,
        project=args.project or "",
        image=args.image or "",
        tpu_config=args.tpu_config or "",
        service_account=args.service_account or "",
        name=args.name,
        spot=args.spot,
        labels=args.label or (),
        environment=args.env or (),
    )


def _plan(
    args: argparse.Namespace, job: Job | None, problems: Problems
) -> Callable[[], int] | None:
    """What to do once every flag is right; None if the job is not whole."""
    if args.where == "vertex":
        options = _vertex_options(args)
        vertex.check(job, options, problems)
        return None if job is None else lambda: _to_vertex(job, options, args.dry_run)
    tpu_options = _tpu_vm_options(args)
    tpu_vm.check(job, tpu_options, problems)
    if job is None:
        return None
    return lambda: _to_tpu_vm(job, tpu_options, args.dry_run)


def _to_vertex(job: Job, options: vertex.VertexOptions, dry_run: bool) -> int:
    custom_job = vertex.build(job, options)
    if dry_run:
        print(vertex.to_json(custom_job))
        return 0
    place = service.VertexPlace(project=job.project, region=options.region)
    client = service.jobs(place)
    created = vertex.submit(client, custom_job, job.project, options.region)
    number = created.name.rpartition("/")[2]
    print(
        f"{created.name}\n"
        f"Its log:   gcloud ai custom-jobs stream-logs {number} "
        f"--region={options.region} --project={job.project}\n"
        f"End it:    gcloud ai custom-jobs cancel {number} "
        f"--region={options.region} --project={job.project}"
    )
    return 0


def _to_tpu_vm(job: Job, options: tpu_vm.TpuVmOptions, dry_run: bool) -> int:
    if dry_run:
        print(tpu_vm.dry_run(job, options), end="")
        return 0
    tpu_vm.submit(job, options)
    print(tpu_vm.follow_commands(job, options))
    return 0


def _check_place(args: argparse.Namespace, problems: Problems) -> None:
    """Notes flags that belong to another place than --where."""
    for where, names in _ONLY.items():
        if where == args.where:
            continue
        for name, rule in names.items():
            if getattr(args, name) is not None:
                problems.add(f"--{name}", rule, getattr(args, name))


def _vertex_options(args: argparse.Namespace) -> vertex.VertexOptions:
    machine, count = args.machine_type or "", args.gpu_count
    return vertex.VertexOptions(
        region=args.region or "",
        staging=args.staging or "",
        timeout_hours=24.0 if args.timeout_hours is None else args.timeout_hours,
        machine_type=machine,
        gpu_type=args.gpu_type or "",
        gpu_count=vertex.default_gpu_count(machine) if count is None else count,
        workers=1 if args.workers is None else args.workers,
    )


def _tpu_vm_options(args: argparse.Namespace) -> tpu_vm.TpuVmOptions:
    return tpu_vm.TpuVmOptions(
        tpu=args.tpu or "",
        zone=args.zone or "",
        runtime=args.runtime_version or "",
        valid_until=args.valid_until or "",
        script=pathlib.Path(args.script or f"{args.tpu or 'tpu'}-startup.sh"),
    )


def parser() -> ArgumentParser:
    """Of the command and its subcommand."""
    found = ArgumentParser(prog="trailrank job", description=__doc__)
    commands = found.add_subparsers(required=True, metavar="submit")
    submit = commands.add_parser(
        "submit",
        help="train on Vertex AI or on a TPU VM; --dry_run prints what would be sent",
        description=_SUBMIT,
        epilog=_EPILOG,
        usage="trailrank job submit --where vertex|tpu_vm --project P --image IMAGE "
        "--tpu_config SLICE [...] -- TRAIN FLAGS",
    )
    _add_common(submit.add_argument)
    _add_vertex(submit.add_argument_group("vertex").add_argument)
    _add_tpu_vm(submit.add_argument_group("tpu_vm").add_argument)
    return found


def _add_common(add: flags.Add) -> None:
    add("--where", required=True, choices=("vertex", "tpu_vm"), help="see above")
    add("--project", metavar="P", help="Google Cloud project")
    add("--image", help="container image with Trailrank, REGISTRY/PATH:TAG")
    add("--tpu_config", metavar="SLICE", help="a shipped slice (below) or a YAML file")
    add(
        "--dry_run",
        action="store_true",
        help="print what would be sent, send nothing",
    )
    add(
        "--spot",
        action="store_true",
        help="cheaper machines that may be taken away at any time",
    )
    add("--name", help="of the job in lists (trailrank-SPEC-SLICE)")
    add(
        "--service_account",
        metavar="ADDRESS",
        help="the training's identity; it must read the image and write the bucket",
    )
    add("--label", action="append", metavar="KEY=VALUE", help="repeatable, for bills")
    add(
        "--env",
        action="append",
        metavar="NAME=VALUE",
        help="variable in the container, repeatable; no secrets, the job shows them",
    )


def _add_vertex(add: flags.Add) -> None:
    add("--region", help="like europe-west4; required")
    add("--staging", metavar="GS", help="gs://BUCKET/DIR, Vertex's own output")
    add("--timeout_hours", type=float, metavar="H", help="then the job is ended (24)")
    add(
        "--machine_type",
        metavar="TYPE",
        help=f"cpu slice: {vertex.DEFAULT_CPU_MACHINE} if left out; gpu: required",
    )
    add("--gpu_type", metavar="TYPE", help="gpu slice: like NVIDIA_L4; required")
    add("--gpu_count", type=int, metavar="N", help="of one machine (all it has, or 1)")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="cpu and gpu: machines that train together (1)",
    )


def _add_tpu_vm(add: flags.Add) -> None:
    add("--tpu", metavar="NAME", help="name for the TPU; required")
    add("--zone", help="like europe-west4-b; required")
    add(
        "--runtime_version",
        metavar="V",
        help="TPU software version, if not the slice's",
    )
    add(
        "--valid_until",
        metavar="TIME",
        help="give up if there is no TPU after so long, like 6h (never)",
    )
    add("--script", metavar="FILE", help="takes the start script (NAME-startup.sh)")
