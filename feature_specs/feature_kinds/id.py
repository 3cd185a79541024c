"""`kind: id`."""

from __future__ import annotations

from feature_specs.feature_kinds.base import feature_kind
from feature_specs.feature_kinds.hashed import Hashed


@feature_kind("id")
class Id(Hashed):
    """One id a row, hashed into `table`."""

    is_id = True
    facet_by_value = True
