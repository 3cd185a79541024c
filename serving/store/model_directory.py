"""A directory of models as a source: each subdirectory with a whole version is one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from serving.store.store_options import ModelSettings, VersionPolicy
from serving.store.version_directories import directories, find_versions, is_complete


class ModelDirectory:
    """`<path>/<name>/<version>/`; every model has the same policy and labels.

    A subdirectory is a model from its first whole version on, and stays one.

    Attributes:
        path: The directory.
        may_label_early: Labels are there from the start, before any version.
    """

    may_label_early = True

    def __init__(
        self, path: str, policy: VersionPolicy, labels: Mapping[str, int]
    ) -> None:
        self.path = path
        self._policy, self._labels = policy, labels
        self._models: dict[str, ModelSettings] = {}

    def models(self) -> dict[str, ModelSettings]:
        """The models found so far, by name."""
        for name in directories(self.path) or []:
            path = os.path.join(self.path, name)
            if name not in self._models and _has_whole_version(path):
                self._models[name] = ModelSettings(path, self._policy, self._labels)
        return dict(self._models)

    def unfinished(self) -> list[str]:
        """Version directories of names that are no models, for want of a whole one."""
        names = [n for n in directories(self.path) or [] if n not in self._models]
        paths = [os.path.join(self.path, name) for name in sorted(names)]
        return [v for path in paths for v in (find_versions(path) or {}).values()]


def _has_whole_version(path: str) -> bool:
    return any(is_complete(found) for found in (find_versions(path) or {}).values())
