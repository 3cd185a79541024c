"""Which class is which kind."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs.model import SwitcherConfig
from trainer.model.switchers.base import Switcher
from trainer.model.switchers.extraction import (
    CustomizedGateControl,
    ProgressiveLayeredExtraction,
)
from trainer.model.switchers.mixtures import (
    Mixture,
    MultiGateMixture,
    MultiLevelMixture,
)
from trainer.model.switchers.routing import SubNetworkRouting
from trainer.model.switchers.shared import (
    AsymmetricSharing,
    CustomizedSharing,
    SharedBottom,
)
from trainer.model.switchers.stitch import CrossStitch, Sluice

_SWITCHERS: dict[str, type[Switcher]] = {
    "shared_bottom": SharedBottom,
    "asymmetric": AsymmetricSharing,
    "customized": CustomizedSharing,
    "cross_stitch": CrossStitch,
    "sluice": Sluice,
    "moe": Mixture,
    "mmoe": MultiGateMixture,
    "ml_mmoe": MultiLevelMixture,
    "cgc": CustomizedGateControl,
    "ple": ProgressiveLayeredExtraction,
    "snr": SubNetworkRouting,
}


def create(
    config: SwitcherConfig, names: Sequence[str], groups: int = 1, **kwargs
) -> Switcher:
    """The switcher that a preset names, with an output for each of `names`."""
    return _SWITCHERS[config.kind](config, names, groups, **kwargs)
