"""What a load test sends: requests of a run's users and items, or those of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from feature_specs import Spec
from feature_specs.errors import TrailrankError, UsageError
from feature_specs.places import Place
from serving.client.calls import Predict
from serving.export.requests import columns, rank_inputs
from serving.load.json_lines import JsonLine, read_json_lines

if TYPE_CHECKING:
    from serving.ranking.lookup import Examples, Values

ROWS, RANK = "serving_default", "rank"
_MOST_USERS, _MOST_ITEMS = 1000, 5000


class LoadRequestError(TrailrankError, ValueError):
    """A file of requests that cannot be sent; the message names the line."""


def read_requests(file: Place, signature: str | None = None) -> list[Predict]:
    """The requests of a file: a body of TensorFlow Serving's predict call on each line.

    That is `{"signature_name": "rank", "inputs": {...}}`, or `instances`, as for curl.

    Args:
        file: JSON lines.
        signature: Of lines that name none; by default `serving_default`.

    Raises:
        LoadRequestError: It cannot be read, or a line is no such body.
    """
    lines = read_json_lines(file, LoadRequestError)
    found = [_request(line, signature or ROWS) for line in lines]
    if not found:
        raise LoadRequestError(f"--requests {file}: no request in it; one a line.")
    return found


def _request(line: JsonLine, signature: str) -> Predict:
    where, body, begin = line
    if not isinstance(body, dict) or ("inputs" in body) == ("instances" in body):
        raise LoadRequestError(
            f"{where}: must be an object with `inputs` or `instances`, one of them, as "
            f"the body of a predict call is. Got {begin}"
        )
    named = body.get("signature_name", signature)
    if not isinstance(named, str):
        raise LoadRequestError(f"{where}: signature_name must be text. Got {named!r}.")
    if "inputs" in body:
        return Predict(signature=named, inputs=body["inputs"])
    if not isinstance(body["instances"], list):
        raise LoadRequestError(f"{where}: instances must be a list.")
    return Predict(signature=named, instances=body["instances"])


def requests_of_examples(
    examples: Examples,
    spec: Spec,
    *,
    signature: str,
    candidates: int,
    count: int,
    seed: int,
) -> list[Predict]:
    """Requests of the users shown something last, each with items shown last.

    Args:
        examples: A run's.
        spec: Its spec.
        signature: `rank`, or `serving_default`: a row a candidate.
        candidates: Of each request, drawn of 5,000 items at most; where there are
            fewer than are asked for, some come twice.
        count: Requests, of 1,000 users at most.
        seed: Of the draws.

    Raises:
        UsageError: Another signature, of which nobody knows the inputs.
    """
    if signature not in (RANK, ROWS):
        raise UsageError(
            f"--signature {signature}: requests of examples are made for {RANK} and "
            f"{ROWS}. Give --requests with bodies for another one."
        )
    users = examples.newest_users(_MOST_USERS)
    items = list(examples.newest_items(max(_MOST_ITEMS, candidates)).values())
    draws = np.random.default_rng(seed)
    found = []
    for user in draws.integers(len(users), size=count):
        shown = draws.choice(
            len(items), size=candidates, replace=len(items) < candidates
        )
        chosen = [items[n] for n in shown]
        found.append(
            Predict(
                signature=signature,
                inputs=_inputs(spec, signature, users[user], chosen),
            )
        )
    return found


def _inputs(
    spec: Spec, signature: str, user: Values, items: list[Values]
) -> dict[str, list[Any]]:
    if signature == RANK:
        return rank_inputs(spec, user, items)
    return columns(spec.served_features, [{**user, **item} for item in items])
