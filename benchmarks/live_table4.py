"""SFV table 4, live: sparse tasks trained separately, or beside the dense ones.

    python benchmarks/live_table4.py [--quick] [--work DIR] [--seeds 7 8] [--splits 4]

The control trains the sparse tasks separately (SFV fig. 5a). The treatments train them
beside the dense ones: as they are, with negatives down-sampled until half of the rows
are positives, and with their losses upweighted. The sparse tasks are likes and visits
to profiles, with label means of some 2 %: rarer ones are not counted in an arm of some
dozens of users. The worlds, trainings and experiments are `live`'s. `--work` goes on
where it was stopped; the last line is one JSON object.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import live

from feature_specs import load_preset
from feature_specs.imbalance import ImbalanceConfig

FACTORS = (10, 20, 50, 100, 1000)
_BALANCE = ImbalanceConfig(balance=0.5)


def table() -> live.LiveTable:
    """SFV table 4: a row a strategy of imbalance learning, a column a measure."""
    # The weights of the losses that the spec has for sparse tasks count nowhere.
    plain = dataclasses.replace(
        load_preset("mmoe"), loss_weights=dict.fromkeys(live.SPARSE, 1.0)
    )

    def differs(**said: Any) -> live.Variant:
        return live.Variant(preset=dataclasses.replace(plain, **said))

    def upweighted(factor: float) -> live.Variant:
        return differs(loss_weights=dict.fromkeys(live.SPARSE, float(factor)))

    return live.LiveTable(
        title="SFV table 4, sparse tasks",
        name="live_table4",
        variants={
            "separate": differs(separate=live.SPARSE),
            "none": differs(),
            "sampling": differs(imbalance=dict.fromkeys(live.SPARSE, _BALANCE)),
            **{f"upweighting {factor}": upweighted(factor) for factor in FACTORS},
        },
        columns={
            "Like (sparse)": "like",
            "Profile enter (sparse)": "profile_enter",
            "Long view (dense)": "long_view",
        },
        quick=("separate", "upweighting 50"),
    )


if __name__ == "__main__":
    live.main(table(), __doc__)
