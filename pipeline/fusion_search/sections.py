"""Sections `fusion` from weights or a file, checked as a spec's own."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping

import yaml

from feature_specs import Spec, SpecError, read_spec, views
from feature_specs.places import Place
from feature_specs.spec import FusionSpec
from feature_specs.yaml_text import YamlMistake, read_yaml
from pipeline.fusion_search import weighing
from pipeline.fusion_search.errors import FusionSearchError


def with_task_weights(spec: Spec, weights: Mapping[str, float]) -> FusionSpec:
    """The spec's section with other exponents for all rows, as a request gives them.

    Raises:
        FusionSearchError: There is no such task, or a weight is no number.
    """
    names = [task.name for task in spec.tasks]
    if not weights:
        raise FusionSearchError("--weights: name one task at least, like skip=-0.5.")
    for name, weight in weights.items():
        if name not in names:
            raise FusionSearchError(
                f"--weights: there is no task {name!r}. The tasks are "
                f"{', '.join(names)}."
            )
        if not math.isfinite(weight):
            raise FusionSearchError(
                f"--weights: that of {name!r} must be a number. Got {weight}."
            )
    facets = {
        facet: {
            partition: {n: w for n, w in own.items() if n not in weights}
            for partition, own in by_partition.items()
        }
        for facet, by_partition in spec.fusion.facets.items()
    }
    return dataclasses.replace(
        spec.fusion, weights={**spec.fusion.weights, **weights}, facets=facets
    )


def read_section(spec: Spec, flag: str, file: Place) -> FusionSpec:
    """The section `fusion` of a YAML file, such as `fusion.yaml` or a whole spec.

    Args:
        spec: Of the run, whose tasks and facets the section names.
        flag: That named the file.
        file: Its path.

    Raises:
        FusionSearchError: It cannot be read, or does not fit the run.
    """
    try:
        found = read_yaml(pathlib.Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YamlMistake) as error:
        told = getattr(error, "strerror", None) or error
        raise FusionSearchError(f"{flag} {file}: cannot be read ({told}).") from None
    if not isinstance(found, dict) or "fusion" not in found:
        raise FusionSearchError(
            f"{flag} {file}: must have a section `fusion`, as the fusion.yaml of "
            "`trailrank fusion search` has."
        )
    whole = {**views.values(spec, views.EVERYTHING), "fusion": found["fusion"]}
    try:
        section = read_spec(yaml.safe_dump(whole), f"{flag} {file}").fusion
    except SpecError as error:
        raise FusionSearchError(f"{error}") from None
    weighing.check_length(spec.fusion, section)
    return section
