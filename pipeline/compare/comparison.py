"""What is compared with what, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from feature_specs import ModelConfig, Spec, SpecError, load_preset
from feature_specs.build import closest
from feature_specs.preset import check_preset
from pipeline.compare.errors import CompareError
from pipeline.compare.examples import Examples
from pipeline.compare.sizes import MATCHED, count_weights, match_size, remembering
from pipeline.compare.variants import Variant
from tpu_configs import SliceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entrant:
    """One preset of a comparison.

    Attributes:
        name: Of the shipped preset, or of the file without its suffix.
        config: The preset as it is trained.
        weights: Its trainable weights outside the embedding tables.
        asked: The preset before its size was matched.
    """

    name: str
    config: ModelConfig
    weights: int
    asked: ModelConfig

    @property
    def is_scaled(self) -> bool:
        """Whether its widths are others than the preset's."""
        return self.config != self.asked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Presets, and what they are trained and judged on.

    Attributes:
        examples: The rows.
        entrants: The presets, in the order they were named.
        seeds: Each preset is trained with each.
        slice: What a training runs on.
        baseline: Name of the preset that gains are over; None without one.
        reference: Name of the preset whose size the others have; None if not matched.
        seesaw: The two tasks of the seesaw scatter; none if the spec has one task.
        variants: Entrant -> the values that it has of the varied keys; none of those
            that stay as they are.
    """

    examples: Examples
    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    slice: SliceConfig
    baseline: str | None
    reference: str | None
    seesaw: tuple[str, ...]
    variants: Mapping[str, Variant] = dataclasses.field(default_factory=dict)

    def entrant(self, name: str) -> Entrant:
        """The entrant called `name`."""
        return next(entrant for entrant in self.entrants if entrant.name == name)

    def poor_matches(self) -> list[str]:
        """A sentence for each preset whose size could not be matched."""
        if self.reference is None:
            return []
        target = self.entrant(self.reference).weights
        return [
            f"{entrant.name} has {entrant.weights / target:.0%} of the weights of "
            f"{self.reference}: its widths, in steps of 4, come no nearer."
            for entrant in self.entrants
            if not is_single(entrant.config)
            and abs(entrant.weights / target - 1) > MATCHED
        ]


def load_presets(names: Sequence[str]) -> dict[str, ModelConfig]:
    """Name -> checked preset, in order.

    Raises:
        SpecError: There is no such preset, or it has mistakes.
        ValueError: Two have one name.
    """
    found: dict[str, ModelConfig] = {}
    for name in names:
        config, short = load_preset(name), pathlib.PurePath(name).stem
        if short in found:
            raise CompareError(
                f"--presets: must have names of their own. Got two called {short!r}. "
                "Leave one out, or rename its file."
            )
        found[short] = config
    return found


def choose_baseline(presets: dict[str, ModelConfig], wanted: str | None) -> str | None:
    """The preset that gains are over: the named one, or the first single-task one."""
    if wanted:
        return _named("--baseline", wanted, presets)
    return next((n for n, config in presets.items() if is_single(config)), None)


def choose_reference(presets: dict[str, ModelConfig], wanted: str | None) -> str | None:
    """Whose size the others get: the named preset, or the first that shares at all."""
    if wanted:
        return _named("--reference", wanted, presets)
    return next((n for n, config in presets.items() if not is_single(config)), None)


def choose_seesaw(spec: Spec, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Two tasks: the named ones, or the first binary one and the first regression."""
    names = [task.name for task in spec.tasks]
    if wanted:
        for name in wanted:
            if name not in names:
                raise CompareError(
                    f"--seesaw {name!r}: spec {spec.name!r} has no such task."
                    f"{closest(name, names)}"
                )
        if len(set(wanted)) < len(wanted):
            raise CompareError(f"--seesaw: must be two tasks. Got {wanted[0]!r} twice.")
        return tuple(wanted)
    chances = [t.name for t in spec.tasks if t.of_kind.is_probability]
    others = [t.name for t in spec.tasks if not t.of_kind.is_probability]
    if chances and others:
        return chances[0], others[0]
    return tuple(names[:2]) if len(names) > 1 else ()


def plan_entrants(
    presets: dict[str, ModelConfig],
    spec: Spec,
    reference: str | None,
    report: Callable[[str], None] = lambda name: None,
) -> tuple[Entrant, ...]:
    """The presets with their sizes, matched to the reference's if there is one.

    Args:
        presets: Name -> preset.
        spec: What they are trained on.
        reference: Name of the preset whose size the others get; None leaves all.
        report: Is called with the name of the preset that is being sized.

    Raises:
        ValueError: A preset does not fit the spec.
    """
    for name, config in presets.items():
        try:
            check_preset(config, spec)
        except SpecError as error:
            raise CompareError(f"--presets {name}: {error}") from None

    count = remembering(lambda config: count_weights(spec, config))
    entrants = []
    target = count(presets[reference]) if reference else 0
    for name, asked in presets.items():
        report(name)
        matched = reference is not None and name != reference
        config = match_size(asked, target, count) if matched else asked
        entrants.append(
            Entrant(name=name, config=config, weights=count(config), asked=asked)
        )
    return tuple(entrants)


def is_single(config: ModelConfig) -> bool:
    """Whether every task has a network of its own."""
    return config.structure.of_kind.apart


def _named(flag: str, wanted: str, presets: dict[str, ModelConfig]) -> str:
    short = pathlib.PurePath(wanted).stem
    # A preset that is varied has its values after its name.
    varied = next((name for name in presets if name.startswith(f"{short} ")), "")
    for name in (wanted, short, varied):
        if name in presets:
            return name
    raise CompareError(
        f"{flag} {wanted!r}: must be one of --presets.{closest(short, [*presets])}"
    )
