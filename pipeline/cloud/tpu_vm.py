"""A training on a TPU VM that a queued resource brings: start script and command.

Sources: `gcloud compute tpus queued-resources create --help` (SDK 528), and of
docs.cloud.google.com/tpu/docs `queued-resources`, `runtimes`, `run-in-container`.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.resources
import pathlib
import re
import shlex
import shutil
import subprocess

from feature_specs.build import Problems
from pipeline.cloud.errors import JobError
from pipeline.cloud.job import Job, tpu_environment
from tpu_configs import SliceConfig

FILES_PLACE = "/etc/trailrank"  # on the host, and mounted there in the container
_TEMPLATE = "tpu_vm_startup.sh"
_SETTINGS = "# SETTINGS\n"
_NAME = re.compile(r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")
_ZONE = re.compile(r"^[a-z]+-[a-z]+\d+-[a-z]$")
_DURATION = re.compile(r"^\d+[smhd]$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuVmOptions:
    """What a queued resource needs beside the training.

    Attributes:
        tpu: Name of the TPU and of its queued resource.
        zone: Like `europe-west4-b`.
        runtime: TPU software version of the hosts; empty is the slice's.
        valid_until: How long to wait for the TPU, like `6h`; empty is for ever.
        script: File that takes the start script.
    """

    tpu: str
    zone: str
    runtime: str = ""
    valid_until: str = ""
    script: pathlib.Path


def check(job: Job | None, options: TpuVmOptions, problems: Problems) -> None:
    """Notes what no queued resource can be made of, and what to take instead.

    Args:
        job: None if it is not whole; then only the options are looked at.
        options: Of the queued resource.
        problems: Gets every mistake.
    """
    if job is not None:
        _check_slice(job.slice, options, problems)
    if not options.tpu:
        problems.add("--tpu", "is required on tpu_vm: a name for the TPU.")
    elif not _NAME.match(options.tpu):
        rule = "must be up to 63 of a-z, 0-9 and -, a letter first, no - at the end."
        problems.add("--tpu", rule, options.tpu)
    if not options.zone:
        problems.add("--zone", "is required on tpu_vm, like europe-west4-b.")
    elif not _ZONE.match(options.zone):
        problems.add("--zone", "must be a zone, like europe-west4-b.", options.zone)
    if options.valid_until and not _DURATION.match(options.valid_until):
        rule = "must be a number and s, m, h or d, like 6h."
        problems.add("--valid_until", rule, options.valid_until)


def startup_script(job: Job, options: TpuVmOptions) -> str:
    """The script that each host of the TPU runs at each boot."""
    text = importlib.resources.files("pipeline.cloud").joinpath(_TEMPLATE).read_text()
    head, found, tail = text.partition(_SETTINGS)
    assert found, f"{_TEMPLATE} has lost its line {_SETTINGS!r}"
    return head + "\n".join(_settings(job, options)) + "\n" + tail


def create_command(job: Job, options: TpuVmOptions) -> list[str]:
    """The command that asks for the TPU."""
    flags = {
        "node-id": options.tpu,
        "project": job.project,
        "zone": options.zone,
        "accelerator-type": job.slice.tpu_vm_type,
        "runtime-version": options.runtime or job.slice.tpu_vm_runtime,
        "metadata-from-file": f"startup-script={options.script}",
        "labels": ",".join(f"{key}={value}" for key, value in job.labels.items()),
        "service-account": job.service_account,
        "valid-until-duration": options.valid_until,
    }
    given = [f"--{name}={value}" for name, value in flags.items() if value]
    spot = ["--spot"] if job.spot else []
    return [*_gcloud("create", options.tpu), *given, *spot]


def follow_commands(job: Job, options: TpuVmOptions) -> str:
    """What to type next: wait, read the log, give the TPU back."""
    place = f"--zone={options.zone} --project={job.project}"
    log = "sudo journalctl --unit trailrank --follow"
    return "\n".join(
        (
            "Is it there yet, what does it say, and give it back:",
            f"  {shlex.join(_gcloud('describe', options.tpu))} {place}",
            f"  gcloud compute tpus tpu-vm ssh {options.tpu} {place} --worker=0 "
            f"--command={shlex.quote(log)}",
            f"  {shlex.join(_gcloud('delete', options.tpu))} {place} --force",
        )
    )


def dry_run(job: Job, options: TpuVmOptions) -> str:
    """A shell script that writes the start script and asks for the TPU."""
    end = "END_OF_STARTUP_SCRIPT"
    words = create_command(job, options)
    name = len(_gcloud("create", options.tpu))
    lines = [shlex.join(words[:name]), *map(shlex.quote, words[name:])]
    command = " \\\n    ".join(lines)
    return (
        f"cat > {shlex.quote(str(options.script))} <<'{end}'\n"
        f"{startup_script(job, options)}{end}\n{command}\n"
    )


def submit(job: Job, options: TpuVmOptions) -> None:
    """Writes the start script and asks for the TPU.

    Raises:
        RuntimeError: There is no gcloud, or it refuses.
        OSError: The script cannot be written.
    """
    if shutil.which("gcloud") is None:
        raise JobError(
            "gcloud is not on the path: install the Google Cloud CLI "
            "(cloud.google.com/sdk/docs/install), or print the commands with --dry_run "
            "and run them where it is."
        )
    options.script.write_text(startup_script(job, options), encoding="utf-8")
    command = create_command(job, options)
    status = subprocess.run(command, check=False).returncode
    if status:
        raise JobError(
            f"gcloud refused the queued resource (status {status}); it says why above. "
            f"The command was: {shlex.join(command)}"
        )


def _check_slice(
    config: SliceConfig, options: TpuVmOptions, problems: Problems
) -> None:
    where = f"--tpu_config {config.name}"
    if config.accelerator != "tpu":
        rule = "is no TPU. Take --where vertex, or a TPU slice like v5litepod-8."
        problems.add(where, rule)
    elif not config.tpu_vm_type:
        rule = "needs tpu_vm_type, the accelerator type of the queued resource."
        problems.add(where, rule)
    elif not (options.runtime or config.tpu_vm_runtime):
        rule = "needs tpu_vm_runtime; add it, or give --runtime_version."
        problems.add(where, rule)


def _gcloud(verb: str, tpu: str) -> list[str]:
    return ["gcloud", "compute", "tpus", "queued-resources", verb, tpu]


def _settings(job: Job, options: TpuVmOptions) -> list[str]:
    """Assignments of the template's variables, quoted for bash."""
    tpu = "local" if job.slice.hosts == 1 else options.tpu
    runtime = options.runtime or job.slice.tpu_vm_runtime
    variables = tpu_environment(job.slice, runtime) | job.environment
    return [
        f"IMAGE={shlex.quote(job.image)}",
        f"HOSTS={job.slice.hosts}",
        _array("TRAIN", job.train_arguments("--tpu", tpu)),
        _array("ENVIRONMENT", [f"{k}={v}" for k, v in variables.items()]),
        _array("FILES", [f"{name}={_encoded(t)}" for name, t in job.files.items()]),
    ]


def _array(name: str, words: list[str]) -> str:
    return f"{name}=({shlex.join(words)})"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
