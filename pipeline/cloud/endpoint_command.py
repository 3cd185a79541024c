"""The command `trailrank pipeline endpoint show|deploy|split|undeploy`, on Vertex AI.

    trailrank pipeline endpoint deploy --endpoint 7 --model kuairand --image IMAGE \\
        --share 10 --project P --region europe-west4
    trailrank pipeline endpoint split 123=50 456=50 --endpoint 7 \\
        --project P --region europe-west4
    trailrank pipeline endpoint undeploy --endpoint 7 --project P --region europe-west4
"""

from __future__ import annotations

import argparse
from typing import Any

import rich.console
import rich.table

from feature_specs import flags
from feature_specs.build import Problems
from feature_specs.errors import Status
from pipeline.cloud import place_flags, service
from pipeline.cloud.endpoint import Deployed, Endpoints, Serving, Split
from pipeline.cloud.service import VertexPlace
from pipeline.step_lines import StepLines

_HELP = {
    "show": "what is deployed, with its share of the requests",
    "deploy": "bring a version beside those that are there",
    "split": "give each version its share; also the way back",
    "undeploy": "take away what gets no requests",
}


def add_command(subparsers: Any) -> None:
    """Adds `endpoint` to the commands of a parser."""
    endpoint = subparsers.add_parser(
        "endpoint", help="versions of a model on an endpoint of Vertex AI"
    )
    commands = endpoint.add_subparsers(required=True, metavar="|".join(_HELP))
    for name, handler in _HANDLERS.items():
        parser = commands.add_parser(name, help=_HELP[name])
        add = parser.add_argument
        if name == "split":
            add("shares", nargs="+", type=_share, metavar="ID=PERCENT")
        add("--endpoint", required=True, metavar="ID", help="as Vertex AI numbers it")
        if name == "deploy":
            _add_serving(add)
            place_flags.add_account(add)
        place_flags.add_project(add)
        place_flags.add_endpoint(add)
        parser.set_defaults(handler=handler)


def _add_serving(add: flags.Add) -> None:
    add("--model", required=True, help="its name, the spec's, like kuairand")
    add("--image", required=True, help="of a server with this version inside")
    add("--share", type=int, default=100, help="of the requests, in percent (100)")
    add("--machine_type", default="n2-standard-4", help="(n2-standard-4)")
    add("--min_replicas", type=int, default=1, metavar="N", help="always there (1)")
    add("--max_replicas", type=int, default=1, metavar="N", help="under load (1)")


def _share(text: str) -> tuple[str, int]:
    name, equals, percent = text.partition("=")
    if not (name and equals and percent.isascii() and percent.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be ID=PERCENT, 123=50. Got {text!r}")
    return name, int(percent)


def _show(args: argparse.Namespace, console: rich.console.Console) -> Status:
    with StepLines(console) as lines:
        found = _endpoint(args, lines, Problems()).deployed()
    console.print(_table(found) if found else "Nothing is deployed.")
    return Status.DONE


def _deploy(args: argparse.Namespace, console: rich.console.Console) -> Status:
    serving = Serving(
        model=args.model,
        image=args.image,
        share=args.share,
        machine_type=args.machine_type,
        min_replicas=args.min_replicas,
        max_replicas=args.max_replicas,
        service_account=args.service_account,
    )
    problems = Problems()
    serving.check(problems)
    with StepLines(console) as lines:
        endpoint = _endpoint(args, lines, problems)
        made, before = endpoint.deploy(serving)
    text = (
        f"{made.model} is deployed as {made.id}, with {made.share} % of the requests."
    )
    _say(console, text)
    _say_way_back(endpoint, before, console)
    return Status.DONE


def _split(args: argparse.Namespace, console: rich.console.Console) -> Status:
    with StepLines(console) as lines:
        endpoint = _endpoint(args, lines, Problems())
        before = endpoint.split(dict(args.shares))
        found = endpoint.deployed()
    console.print(_table(found))
    _say_way_back(endpoint, before, console)
    return Status.DONE


def _undeploy(args: argparse.Namespace, console: rich.console.Console) -> Status:
    with StepLines(console) as lines:
        gone = _endpoint(args, lines, Problems()).undeploy()
    names = ", ".join(f"{one.model} ({one.id})" for one in gone)
    _say(console, f"Undeployed: {names or 'nothing; each version gets requests'}.")
    return Status.DONE


def _endpoint(
    args: argparse.Namespace, lines: StepLines, problems: Problems
) -> Endpoints:
    place = _place(args, problems)
    place_flags.refuse(problems)
    return Endpoints(
        service.models(place), service.endpoints(place), place, args.endpoint, lines.say
    )


def _say_way_back(
    endpoint: Endpoints, before: Split, console: rich.console.Console
) -> None:
    if shares := [f"{name}={share}" for name, share in before.items() if share]:
        _say(
            console,
            f"The way back: trailrank pipeline endpoint split {' '.join(shares)} "
            f"--endpoint {endpoint.id} {endpoint.place.flags}",
        )


def _table(found: list[Deployed]) -> rich.table.Table:
    table = rich.table.Table(box=None)
    for column in ("id", "model", "share"):
        table.add_column(column)
    for one in found:
        table.add_row(one.id, one.model, f"{one.share} %")
    return table


def _place(args: argparse.Namespace, problems: Problems) -> VertexPlace:
    where = args.project, args.region, args.api_endpoint
    return VertexPlace.checked(*where, problems)


def _say(console: rich.console.Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


_HANDLERS = {
    "show": _show,
    "deploy": _deploy,
    "split": _split,
    "undeploy": _undeploy,
}
