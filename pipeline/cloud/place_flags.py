"""Flags that say which project, region and account of Vertex AI are meant."""

from __future__ import annotations

from feature_specs import flags
from feature_specs.build import Problems, SpecError
from feature_specs.errors import UsageError


def add_project(add: flags.Add) -> None:
    """`--project` and `--region`."""
    add("--project", default="", metavar="P", help="Google Cloud project that pays")
    add("--region", default="", help="like europe-west4")


def add_account(add: flags.Add) -> None:
    """`--service_account`: whose rights containers have."""
    add(
        "--service_account",
        default="",
        metavar="ADDRESS",
        help="identity of what runs there (the project's default one)",
    )


def add_endpoint(add: flags.Add) -> None:
    """`--api_endpoint`: where Vertex AI answers."""
    add(
        "--api_endpoint",
        default="",
        metavar="HOST[:PORT]",
        help="another address of the API, as Private Service Connect has it; "
        "127.0.0.1:PORT is spoken to without encryption and credentials",
    )


def refuse(problems: Problems) -> None:
    """UsageError with all mistakes, if there are some."""
    if problems.found:
        raise UsageError(str(SpecError("Vertex AI", problems.found)))
