"""The commands `trailrank pipeline submit|follow|cancel|schedule`, on Vertex AI.

    trailrank pipeline submit pipeline.json --project P --region europe-west4
    trailrank pipeline follow JOB --project P --region europe-west4
    trailrank pipeline cancel JOB --project P --region europe-west4
    trailrank pipeline schedule --cron "0 5 * * *" --pipeline pipeline.json \\
        --project P --region europe-west4
    trailrank pipeline schedule --list --project P --region europe-west4

`pipeline compile` writes pipeline.json; `pipeline run --runner vertex` compiles and
submits in one go.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import rich.console
import rich.table
from rich.markup import escape

from feature_specs import flags
from feature_specs.build import Problems
from feature_specs.errors import Status, UsageError
from pipeline.cloud import pipeline_job, service
from pipeline.cloud.compiled import CompiledPipeline, read_compiled
from pipeline.cloud.cron import check_cron, with_timezone
from pipeline.cloud.job import read_labels
from pipeline.cloud.pipeline_follow import POLL_S, follow, outcome
from pipeline.cloud.pipeline_job import PipelineOptions
from pipeline.cloud.pipeline_schedule import Scheduled, Schedules
from pipeline.cloud.place_flags import (
    add_account,
    add_endpoint,
    add_project,
    refuse,
)
from pipeline.cloud.service import VertexPlace
from pipeline.step_lines import StepLines

_HELP = {
    "submit": "send a compiled pipeline to Vertex AI, and follow it",
    "follow": "follow a pipeline job of Vertex AI",
    "cancel": "end a pipeline job of Vertex AI",
    "schedule": "let Vertex AI run a compiled pipeline by cron",
}
NAMES = tuple(_HELP)


def add_commands(subparsers: Any) -> None:
    """Adds the commands to those of a parser; see `pipeline.operations.command`."""
    for name, handler in _HANDLERS.items():
        parser = subparsers.add_parser(name, help=_HELP[name])
        add = parser.add_argument
        if name == "submit":
            add("pipeline", metavar="FILE", help="that `pipeline compile` has written")
        if name in ("follow", "cancel"):
            add("job", metavar="JOB", help="its id, or its whole resource name")
        if name == "schedule":
            _add_schedule(parser)
        add_project(add)
        if name in ("submit", "schedule"):
            add_account(add)
            add_job(add)
        add_endpoint(add)
        if name == "submit":
            _add_cache(add)
            add_sending(add)
        if name in ("submit", "follow"):
            _add_poll(add)
        parser.set_defaults(handler=handler)


def add_job(add: flags.Add) -> None:
    """What a job has beside the pipeline: its network and its labels."""
    add("--network", default="", help="VPC that the steps are peered with, full name")
    add(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="repeatable, for bills",
    )


def _add_cache(add: flags.Add) -> None:
    add(
        "--no_cache",
        action="store_true",
        help="run every step, also one whose result an earlier job has",
    )


def add_sending(add: flags.Add) -> None:
    """How a job is sent and followed."""
    add(
        "--job_id",
        default="",
        metavar="JOB",
        help="name the job; one that is there already is followed, not sent again "
        "(the pipeline's name and the time)",
    )
    add("--dry_run", action="store_true", help="tell what would be sent, send nothing")
    add("--detach", action="store_true", help="send it, and do not follow it")


def _add_poll(add: flags.Add) -> None:
    add(
        "--poll_s",
        type=float,
        default=POLL_S,
        metavar="S",
        help=f"seconds between two questions ({POLL_S:g})",
    )


def add_following(add: flags.Add) -> None:
    """All that `run --runner vertex` takes beside what is compiled."""
    add_job(add)
    _add_cache(add)
    add_endpoint(add)
    add_sending(add)
    _add_poll(add)


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True).add_argument
    what("--cron", metavar="FIELDS", help='when it runs, five fields: "0 5 * * *"')
    what("--list", action="store_true", help="tell of all in the region")
    for name in ("pause", "resume", "delete"):
        what(f"--{name}", metavar="ID", help=f"{name} this one")
    add = parser.add_argument
    add(
        "--pipeline",
        default="",
        metavar="FILE",
        help="that `pipeline compile` has written; required with --cron",
    )
    add("--timezone", default="", help="of --cron, like Europe/Berlin (UTC)")
    add("--name", default="", help="of the schedule (the pipeline's)")


def check_flags(args: argparse.Namespace) -> tuple[VertexPlace, PipelineOptions]:
    """Where, and with what, a job is to run.

    Raises:
        UsageError: Lists all mistakes.
    """
    problems = Problems()
    place = _place(args, problems)
    options = PipelineOptions(
        service_account=args.service_account,
        network=args.network,
        labels=read_labels(args.label, problems),
        caching=not getattr(args, "no_cache", False),
    )
    options.check(problems)
    if getattr(args, "job_id", ""):
        pipeline_job.check_job_id(args.job_id, problems)
    refuse(problems)
    return place, options


def send(
    compiled: CompiledPipeline, args: argparse.Namespace, console: rich.console.Console
) -> Status:
    """Sends a compiled pipeline and follows it, as the flags say."""
    place, options = check_flags(args)
    job_id = args.job_id or pipeline_job.new_job_id(compiled)
    request = pipeline_job.build(compiled, options, place, job_id)
    if args.dry_run:
        _show_dry_run(compiled, options, place, job_id, console)
        return Status.DONE
    client = service.pipelines(place)
    name = pipeline_job.job_name(place, job_id)
    with pipeline_job.leaving_it_running(place, name), StepLines(console) as lines:
        sent = pipeline_job.submit(client, request, tell=lines.say)
        found = "sent" if sent.is_new else "is there already"
        url = pipeline_job.console_url(sent.name)
        _say(console, f"[bold]{job_id}[/] {found}: {escape(url)}")
        if args.detach:
            _say(
                console,
                f"Follow it: trailrank pipeline follow {job_id} {place.flags}\n"
                f"End it:    trailrank pipeline cancel {job_id} {place.flags}",
            )
            return Status.DONE
        return _followed(client, sent.name, args.poll_s, lines, console)


def _submit(args: argparse.Namespace, console: rich.console.Console) -> Status:
    check_flags(args)
    return send(read_compiled(args.pipeline), args, console)


def _follow(args: argparse.Namespace, console: rich.console.Console) -> Status:
    place, name = _job(args)
    client = service.pipelines(place)
    with pipeline_job.leaving_it_running(place, name), StepLines(console) as lines:
        return _followed(client, name, args.poll_s, lines, console)


def _cancel(args: argparse.Namespace, console: rich.console.Console) -> Status:
    place, name = _job(args)
    with StepLines(console) as lines:
        state = pipeline_job.cancel(service.pipelines(place), name, tell=lines.say)
    _say(
        console,
        f"{name.rpartition('/')[2]} ({state.lower()}) is being cancelled. What its "
        "steps have finished stays.",
    )
    return Status.DONE


def _schedule(args: argparse.Namespace, console: rich.console.Console) -> Status:
    if args.cron is not None:
        return _make_schedule(args, console)
    problems = Problems()
    place = _place(args, problems)
    for flag in ("pipeline", "timezone", "name", "service_account", "network"):
        if getattr(args, flag):
            problems.add(f"--{flag}", "goes with --cron; leave it out.")
    refuse(problems)
    with StepLines(console) as lines:
        schedules = Schedules(service.schedules(place), place, lines.say)
        if args.list:
            known = schedules.known()
            console.print(_schedules_table(known) if known else "No schedules.")
            return Status.DONE
        for name in ("pause", "resume", "delete"):
            if schedule := getattr(args, name):
                getattr(schedules, name)(schedule)
                _say(console, f"Schedule {escape(schedule)}: {name}d.")
    return Status.DONE


def _make_schedule(args: argparse.Namespace, console: rich.console.Console) -> Status:
    check_cron(args.cron)
    cron = with_timezone(args.cron, args.timezone)
    place, options = check_flags(args)
    if not args.pipeline:
        raise UsageError(
            "--pipeline: is required with --cron: the file that `trailrank pipeline "
            "compile` has written."
        )
    compiled = read_compiled(args.pipeline)
    # The logs may have changed since the last run, whose results the cache has.
    options = dataclasses.replace(options, caching=False)
    request = pipeline_job.build(compiled, options, place)
    with StepLines(console) as lines:
        schedules = Schedules(service.schedules(place), place, lines.say)
        made = schedules.create(args.name or compiled.name, cron, request)
    _say(
        console,
        f"Schedule [bold]{made.id}[/] ({escape(made.name)}): {escape(made.cron)}. Each "
        "run makes the days that the pipeline was compiled with.",
    )
    return Status.DONE


# --- parts ----------------------------------------------------------------------------


def _job(args: argparse.Namespace) -> tuple[VertexPlace, str]:
    problems = Problems()
    place = _place(args, problems)
    refuse(problems)
    return place, pipeline_job.job_name(place, args.job)


def _followed(
    client: Any,
    name: str,
    poll_s: float,
    lines: StepLines,
    console: rich.console.Console,
) -> Status:
    """Follows a job to its end, and tells what became of its model."""
    job = follow(client, name, lines, tell=lines.say, poll_s=poll_s)
    found = outcome(job)
    if found.pushed is None:
        _say(
            console,
            "Done. Whether a model was pushed Vertex AI does not tell: look at models/ "
            "in the pipeline's --root.",
        )
    elif found.pushed:
        _say(console, f"Pushed to [bold]{escape(found.path)}[/].")
    else:
        steps = ", ".join(found.refused_by) or "a gate"
        _say(console, f"[red]Not pushed:[/] the model is not blessed by {steps}.")
    return Status.REFUSED if found.pushed is False else Status.DONE


def _show_dry_run(
    compiled: CompiledPipeline,
    options: PipelineOptions,
    place: VertexPlace,
    job_id: str,
    console: rich.console.Console,
) -> None:
    table = rich.table.Table(box=None, title=compiled.name, title_justify="left")
    for column in ("step", "container"):
        table.add_column(column)
    for step in compiled.steps:
        table.add_row(step.name, step.machine or "Vertex AI's default")
    console.print(table)
    for image in dict.fromkeys(step.image for step in compiled.steps):
        users = [step.name for step in compiled.steps if step.image == image]
        which = "" if len(users) == len(compiled.steps) else f" ({', '.join(users)})"
        _say(console, f"Image:     {escape(image)}{which}")
    account = options.service_account or "the project's default service account"
    _say(
        console,
        f"Job:       {job_id}, at {escape(place.address)}, {place.parent}\n"
        f"Runs as:   {escape(account)}\n"
        f"Artifacts: {escape(compiled.root)}\n"
        "Nothing was sent (--dry_run).",
    )


def _schedules_table(known: list[Scheduled]) -> rich.table.Table:
    table = rich.table.Table(box=None)
    for column in ("id", "name", "cron", "state", "runs", "next run (UTC)", "last"):
        table.add_column(column, overflow="fold")
    for one in known:
        runs = str(one.runs)
        cells = (
            one.id,
            one.name,
            one.cron,
            one.state,
            runs,
            one.next_run,
            one.last_job,
        )
        table.add_row(*map(escape, cells))
    return table


def _place(args: argparse.Namespace, problems: Problems) -> VertexPlace:
    where = args.project, args.region, args.api_endpoint
    return VertexPlace.checked(*where, problems)


def _say(console: rich.console.Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


_HANDLERS = {
    "submit": _submit,
    "follow": _follow,
    "cancel": _cancel,
    "schedule": _schedule,
}
