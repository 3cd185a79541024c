"""Which keys of a preset are searched, and where.

    optimizer.learning_rate: {low: 0.001, high: 0.05, log: true}
    epochs_per_day: {low: 1, high: 3}         # whole numbers, as both ends are
    bottom: [[64], [128], [256, 128]]         # one of these

A key is that of `compare --vary`: where the value stands in the preset's file. Both
ends of a range and every choice are put there before anything is trained, and the
preset is checked as ever, alone and with the spec.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from feature_specs import ModelConfig, Spec, SpecError
from feature_specs.build import closest, parse_yaml
from feature_specs.preset import check_preset
from feature_specs.preset_kinds import WEIGHTS_KINDS
from feature_specs.yaml_text import YamlMistake, read_yaml
from pipeline.compare.errors import CompareError
from pipeline.compare.variants import Variant, with_values
from pipeline.tune.errors import TuneError

FLAG = "--space"
_RANGE_KEYS = ("low", "high", "log")
_FIGURES = 3  # significant ones of a drawn number
_RATES, _WEIGHTS = 5.0, 4.0  # how far from the preset's own, either way
_LAMBDAS = (0.0, 0.003, 0.01, 0.03, 0.1)  # SFV table 2, and less
_WIDTH_STEP = 4


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if both are.

    Attributes:
        low: Smallest.
        high: Largest.
        log: Whether their logarithms are drawn evenly.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """What is checked before anything is trained."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def as_yaml(self) -> Any:
        """As a file of the space says it."""
        return {"low": self.low, "high": self.high, "log": self.log}

    def told(self, drawn: float) -> float:
        """A drawn number as the preset gets it: with three figures, in the range."""
        if self.is_whole:
            return drawn
        return min(max(float(f"{drawn:.{_FIGURES}g}"), self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of some values, each as it stands in a preset's file."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """What is checked before anything is trained."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        return value in self.values

    def as_yaml(self) -> Any:
        """As a file of the space says it."""
        return list(self.values)


Domain = Range | Choices
Space = Mapping[str, Domain]


def parse_space(text: str, source: str) -> dict[str, Domain]:
    """The space that a YAML text holds; `source` names it in errors.

    Raises:
        SpecError: It is no YAML mapping.
        TuneError: A key is neither a range nor choices.
    """
    raw = parse_yaml(text, source)
    return {key: domain_of(value, f"{source}: {key}") for key, value in raw.items()}


def parse_searched(texts: Sequence[str]) -> dict[str, Domain]:
    """`KEY={low: LOW, high: HIGH, log: true}` or `KEY=[VALUE, ...]` of each `--search`.

    Raises:
        TuneError: One has another form, or a key is there twice.
    """
    found: dict[str, Domain] = {}
    for text in texts:
        key, equals, listed = (part.strip() for part in text.partition("="))
        try:
            value = read_yaml(listed)
        except YamlMistake:
            value = None
        if not key or not equals:
            raise TuneError(
                f"--search {text!r}: must be a key of a preset and its values, like "
                '"bottom=[[64], [128]]" or '
                '"optimizer.learning_rate={low: 0.001, high: 0.05, log: true}".'
            )
        if key in found:
            raise TuneError(f"--search {key}: is there twice; leave one out.")
        found[key] = domain_of(value, f"--search {key}")
    return found


def domain_of(value: Any, where: str) -> Domain:
    """A range or choices, as YAML has them.

    Raises:
        TuneError: It is neither; the message begins with `where`.
    """
    if isinstance(value, (Range, Choices)):
        return value
    if isinstance(value, list):
        if len(value) < 2 or any(value.count(one) > 1 for one in value):
            raise TuneError(f"{where}: must list two values or more, each once.")
        return Choices(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= value.keys():
        raise TuneError(
            f"{where}: must be a list of values, or a range like {{low: 0.001, high: "
            f"0.1, log: true}}. Got {value!r}."
        )
    for key in value:
        if key not in _RANGE_KEYS:
            raise TuneError(
                f"{where}: has no use for {key!r}.{closest(key, [*_RANGE_KEYS])}"
            )
    return _range(value["low"], value["high"], value.get("log", False), where)


def _range(low: Any, high: Any, log: Any, where: str) -> Range:
    for number in (low, high):
        if type(number) not in (int, float) or not math.isfinite(number):
            raise TuneError(f"{where}: low and high must be numbers. Got {number!r}.")
    if not isinstance(log, bool):
        raise TuneError(f"{where}: log must be true or false. Got {log!r}.")
    if low >= high:
        raise TuneError(f"{where}: low must be below high. Got {low} and {high}.")
    if log and low <= 0:
        raise TuneError(
            f"{where}: a range with log must be above 0. Got low {low}. List values "
            "instead if 0 is one of them."
        )
    return Range(low, high, log)


def check_space(space: Space, preset: ModelConfig, spec: Spec) -> None:
    """That the preset may have every end of every range, and every choice.

    Raises:
        TuneError: There is no key, or a value that the preset or the spec refuses.
    """
    if not space:
        raise TuneError(f"{FLAG}: must name one key of the preset at least.")
    for key, domain in space.items():
        for value in domain.ends:
            try:
                changed = with_values(preset, Variant("preset", {key: value}), FLAG)
                check_preset(changed, spec)
            except CompareError as error:
                raise TuneError(str(error)) from None
            except SpecError as error:
                raise TuneError(f"{FLAG} {key}: {error}") from None


def own_value(preset: ModelConfig, spec: Spec, key: str) -> Any:
    """What the preset has at a key, as YAML has it; None where it says nothing."""
    place: Any = json.loads(json.dumps(dataclasses.asdict(preset)))
    place["loss_weights"] = {
        task.name: task.loss_weight for task in spec.tasks
    } | place["loss_weights"]
    for part in key.split("."):
        place = place.get(part) if isinstance(place, dict) else None
    return place


# --- the default ----------------------------------------------------------------------


def default_space(preset: ModelConfig, spec: Spec) -> dict[str, Domain]:
    """What is searched if nothing is said, around the preset's own values.

    Rates up to fivefold either way, one to three passes over a day, widths of bottom,
    experts and towers halved and doubled, dropout, the number of experts and lambda
    where there are any, and the weights of sparse tasks up to fourfold either way.
    """
    optimizer, switcher = preset.optimizer, preset.switcher
    found: dict[str, Domain] = {
        "optimizer.learning_rate": _around(optimizer.learning_rate, _RATES),
        "optimizer.table_learning_rate": _around(optimizer.table_learning_rate, _RATES),
        "epochs_per_day": Range(1, max(3, preset.epochs_per_day)),
        "dropout": Range(0.0, max(0.3, preset.dropout)),
        **_widths("bottom", preset.bottom),
        **_widths("tower", preset.tower),
    }
    if spec.trail_features:
        found["trail.dropout"] = Range(0.0, max(0.5, preset.trail.dropout))
    if not preset.structure.of_kind.nested and not preset.structure.of_kind.apart:
        if not switcher.of_kind.in_subspaces:
            found |= _widths("switcher.units", switcher.units)
        if switcher.of_kind.mixes:
            least = max(1, switcher.experts // 2)
            found["switcher.experts"] = Range(least, 2 * switcher.experts, log=True)
            values = sorted({*_LAMBDAS, preset.disentangle})
            found["disentangle"] = Choices(tuple(values))
    if WEIGHTS_KINDS[preset.weights.kind].reads:
        weights = {t.name: t.loss_weight for t in spec.tasks if t.sparse}
        for name, weight in (weights | preset.loss_weights).items():
            if weight > 0:
                found[f"loss_weights.{name}"] = _around(weight, _WEIGHTS)
    return found


def _around(value: float, factor: float) -> Range:
    return Range(float(value / factor), float(value * factor), log=True)


def _widths(key: str, own: Sequence[int]) -> dict[str, Domain]:
    """Half as wide, as wide, twice as wide; nothing where there is no layer."""
    half = [max(_WIDTH_STEP, width // 2) for width in own]
    wide = [half, list(own), [2 * width for width in own]]
    values = [one for place, one in enumerate(wide) if one not in wide[:place]]
    return {key: Choices(tuple(values))} if own else {}
