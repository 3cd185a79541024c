"""How much a treatment changes a measure, with intervals over users.

A measure is a sum over a sum of user totals, R = sum(y) / sum(n): likes over
impressions, enjoyment over days. Users are independent, their rows are not, so

1. each user's share in an arm's R is linearised (the delta method; Deng, Knoblich and
   Lu, KDD 2018): z = R + (y - R n) / mean(n), whose mean is R;
2. what the days before tell of a user is taken out (CUPED; Deng et al., WSDM 2013):
   z - theta (x - mean(x)), where x is the same of the days before, on which everybody
   had the control, and theta the slope of z on x inside the arms;
3. the relative change of two independent means is t / c - 1, its variance by the delta
   method var(t) / c^2 + t^2 var(c) / c^4.

The interval of a single look is the normal one. That of daily looks is a confidence
sequence: it holds on all days at once, whenever one stops. It is the normal mixture of
Robbins (Annals of Mathematical Statistics 41, 1970), as Johari, Koomen, Pekelis and
Walsh use it for A/B tests (Always Valid Inference, Operations Research 70, 2022, sec.
4.2): with the variance v of an estimate on a day, a half-width of

    sqrt(v (1 + v / tau^2) (log(1 + tau^2 / v) - 2 log(alpha)))

where tau is the size of changes that it is most sensitive to, fixed beforehand. It
needs that what an estimate gains is independent of what it was: so it is for means over
more and more days of the same users, where the days of a user are alike (Jennison and
Turnbull, Group Sequential Methods, 2000, ch. 11).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pipeline.arrays import Array
from pipeline.reporting.intervals import LEVEL

MIXTURE_SD = 0.05  # tau, of a relative change
FEWEST = 10  # users of an arm with anything at all, for an interval
_NORMAL = 1.959963984540054  # |z| stays below with probability LEVEL = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserSums:
    """A measure's totals of some users [U].

    Attributes:
        y: Numerators.
        n: Denominators; a user without any has 0.
    """

    y: Array
    n: Array

    def of(self, chosen: Array) -> UserSums:
        return UserSums(y=self.y[chosen], n=self.n[chosen])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """A treatment's measure over the control's.

    Attributes:
        change: Relative: 0.02 is 2 % more. NaN where fewer than `FEWEST` users of an
            arm have any of it: no normal law holds there.
        half: Half of the 95 % interval of one look.
        half_always: Half of the one that holds on all days at once.
        control: The control's value, after CUPED.
        treatment: The treatment's.
        variance_left: Of the change, as a share of what it is without CUPED.
    """

    change: float
    half: float
    half_always: float
    control: float
    treatment: float
    variance_left: float

    @property
    def low(self) -> float:
        return self.change - self.half

    @property
    def high(self) -> float:
        return self.change + self.half

    @property
    def is_significant(self) -> bool:
        """Whether the interval of one look leaves 0 out."""
        return abs(self.change) > self.half

    @property
    def is_always_significant(self) -> bool:
        """Whether the interval of all looks leaves 0 out."""
        return abs(self.change) > self.half_always


def ratio(sums: UserSums) -> float:
    """Sum over sum; NaN over nothing."""
    total = float(sums.n.sum())
    return float(sums.y.sum()) / total if total else math.nan


def linearised(sums: UserSums) -> Array:
    """[U] each user's share in the ratio, by the delta method."""
    found = ratio(sums)
    return found + (sums.y - found * sums.n) / sums.n.mean()


def effect(
    control: UserSums,
    treatment: UserSums,
    before: tuple[UserSums, UserSums] | None = None,
    mixture_sd: float = MIXTURE_SD,
) -> Effect:
    """The relative change of a measure.

    Args:
        control: Of the control's users.
        treatment: Of the treatment's.
        before: The same of the same users on the days before; None for no CUPED.
        mixture_sd: tau of the confidence sequence.
    """
    if min(np.count_nonzero(arm.y) for arm in (control, treatment)) < FEWEST:
        return _nothing(control, treatment)
    plain = linearised(control), linearised(treatment)
    adjusted = _cuped(plain, before) if before is not None else plain
    change, variance = _relative(*adjusted)
    _, without = _relative(*plain)
    return Effect(
        change=change,
        half=_NORMAL * math.sqrt(variance),
        half_always=always_half(variance, mixture_sd),
        control=float(adjusted[0].mean()),
        treatment=float(adjusted[1].mean()),
        variance_left=variance / without if without else math.nan,
    )


def always_half(variance: float, mixture_sd: float = MIXTURE_SD) -> float:
    """Half of the confidence sequence's interval of an estimate with this variance."""
    if not variance:
        return 0.0
    gained = mixture_sd**2 / variance
    odds = math.log1p(gained) - 2 * math.log(1 - LEVEL)
    return math.sqrt(variance * (1 + 1 / gained) * odds)


def _cuped(
    plain: tuple[Array, Array], before: tuple[UserSums, UserSums]
) -> tuple[Array, Array]:
    """Both arms' shares less what the days before tell."""
    both = UserSums(
        y=np.concatenate([part.y for part in before]),
        n=np.concatenate([part.n for part in before]),
    )
    if not both.n.sum():
        return plain
    shares = linearised(both)
    shares = shares - shares.mean()
    cut = len(plain[0])
    known = shares[:cut], shares[cut:]
    inside = [(x - x.mean(), z - z.mean()) for x, z in zip(known, plain, strict=True)]
    spread = sum(float(x @ x) for x, _ in inside)
    if not spread:
        return plain
    theta = sum(float(x @ z) for x, z in inside) / spread
    return plain[0] - theta * known[0], plain[1] - theta * known[1]


def _relative(control: Array, treatment: Array) -> tuple[float, float]:
    """(relative change of the means, its variance)."""
    c, t = float(control.mean()), float(treatment.mean())
    of_c = float(control.var(ddof=1)) / len(control)
    of_t = float(treatment.var(ddof=1)) / len(treatment)
    return t / c - 1, of_t / c**2 + t**2 * of_c / c**4


def _nothing(control: UserSums, treatment: UserSums) -> Effect:
    nan = math.nan
    return Effect(
        change=nan,
        half=nan,
        half_always=nan,
        control=ratio(control),
        treatment=ratio(treatment),
        variance_left=nan,
    )
