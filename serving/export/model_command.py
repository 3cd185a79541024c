"""`trailrank model show DIR`: what an exported model is, from the SavedModel alone.

    trailrank model show RUN/models/kuairand
    trailrank model show RUN/models/kuairand/1650000000 --json

It prints the fused score's formula and weights, the signatures, what the model was
trained on, the gates that it has passed and its spec. DIR is a version, or the
directory of all versions, of which the newest is shown.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from feature_specs.flags import ArgumentParser
from serving.export.model_card import as_markdown, model_dir_of, read_card, read_gates


def run(argv: Sequence[str]) -> int:
    """`trailrank model ...`; returns the exit status."""
    args = parser().parse_args(argv)
    path = model_dir_of(args.model)
    card = read_card(path)
    gates = read_gates(path)
    if args.json:
        judged = [dataclasses.asdict(gate) for gate in gates]
        print(json.dumps({**json.loads(card.to_json()), "gates": judged}, indent=1))
    else:
        print(f"{path}\n\n{as_markdown(card, gates)}")
    return 0


def parser() -> ArgumentParser:
    """Of the command and its subcommand."""
    found = ArgumentParser(prog="trailrank model", description=__doc__)
    commands = found.add_subparsers(required=True, metavar="show")
    show = commands.add_parser("show", help="formula, signatures, lineage and spec")
    show.add_argument("model", metavar="DIR", help="of a model, or of its versions")
    show.add_argument("--json", action="store_true", help="print JSON")
    return found
