"""TensorFlow Serving's `--model_config_file`: its own text proto, read and checked.

    model_config_list {
      config {
        name: "ranker" base_path: "/models/ranker" model_platform: "tensorflow"
        model_version_policy { specific { versions: 41 versions: 42 } }
        version_labels { key: "stable" value: 41 }
      }
    }

A file is taken as a whole or refused as a whole, with a message that says why.
"""

from __future__ import annotations

import logging
import os

from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_pb2
from tensorflow_serving.config import model_server_config_pb2 as config_pb2

from feature_specs.places import PlaceError, check_is_no_glob
from serving.store.store_options import ALL, ModelSettings, VersionPolicy, specific
from serving.store.text_protos import ConfigFileError, parse, read_text

_LOG = logging.getLogger("trailrank.serving")
_EXAMPLE = (
    "model_config_list { config { name: ... base_path: ... model_platform: ... } }"
)


class ModelConfigFile:
    """The models that a file names; `models` reads it again each time.

    Attributes:
        path: The file, which may be in a bucket.
        may_label_early: A label that is new may be for a version that is not loaded.
    """

    def __init__(self, path: str, may_label_early: bool = False) -> None:
        self.path, self.may_label_early = path, may_label_early
        self._warned: set[str] = set()

    def models(self) -> dict[str, ModelSettings]:
        """The models by name.

        Raises:
            ConfigFileError: The file cannot be read, or a rule of its is broken.
        """
        config = _parse(read_text(self.path), self.path)
        for name in _names_with_logging(config) - self._warned:
            self._warned.add(name)
            _LOG.warning("model %r: logging_config is for tensorflow/serving", name)
        return _settings(config, self.path)

    def unfinished(self) -> list[str]:
        """Nothing: a file's models are models with or without a version."""
        return []


def read_model_config(text: str, where: str) -> dict[str, ModelSettings]:
    """The models of a configuration by name; none if its list is empty.

    Args:
        text: Of a `tensorflow.serving.ModelServerConfig`.
        where: The file's name, for messages.

    Raises:
        ConfigFileError: It is no such text, or breaks a rule of one.
    """
    return _settings(_parse(text, where), where)


def _parse(text: str, where: str) -> config_pb2.ModelServerConfig:
    return parse(text, config_pb2.ModelServerConfig(), where, _EXAMPLE)


def _settings(
    config: config_pb2.ModelServerConfig, where: str
) -> dict[str, ModelSettings]:
    kind = config.WhichOneof("config")
    if kind != "model_config_list":
        raise ConfigFileError(
            f"{where}: must hold a model_config_list. Got "
            f"{kind or 'an empty configuration'}. Write "
            "`model_config_list {}` to serve no model."
        )
    models: dict[str, ModelSettings] = {}
    for index, one in enumerate(config.model_config_list.config):
        if not one.name:
            raise ConfigFileError(f"{where}: config {index}: name is missing.")
        place = f"{where}: model {one.name!r}"
        if one.name in models:
            raise ConfigFileError(f"{place}: is listed twice. Leave one out.")
        models[one.name] = _model(one, place)
    return models


def _model(config: config_pb2.ModelConfig, place: str) -> ModelSettings:
    _check_platform(config, place)
    path = config.base_path
    if not os.path.isabs(path) and "://" not in path:
        raise ConfigFileError(
            f"{place}: base_path must be an absolute path or URI. Got {path!r}."
        )
    try:
        check_is_no_glob("base_path", path)
    except PlaceError as error:
        raise ConfigFileError(f"{place}: {error}") from None
    for label, version in config.version_labels.items():
        if not label or version < 0:
            raise ConfigFileError(
                f"{place}: version_labels must be a name and a version of 0 or more. "
                f"Got {label!r}: {version}."
            )
    policy = _policy(config.model_version_policy, place)
    return ModelSettings(path, policy, dict(config.version_labels))


def _check_platform(config: config_pb2.ModelConfig, place: str) -> None:
    # The enum came before the name of the platform, and is still understood.
    platform = config.model_platform
    if config.model_type and platform:
        raise ConfigFileError(
            f"{place}: model_type and model_platform are both set. Leave out one."
        )
    if config.model_type == config_pb2.TENSORFLOW:
        platform = "tensorflow"
    if platform != "tensorflow":
        raise ConfigFileError(
            f'{place}: model_platform must be "tensorflow". Got {platform!r}.'
        )


def _policy(
    policy: source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy,
    place: str,
) -> VersionPolicy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return ALL
    if kind == "specific":
        versions = list(policy.specific.versions)
        if not versions or min(versions) < 0:
            raise ConfigFileError(
                f"{place}: specific must name versions of 0 or more. Got {versions}."
            )
        return specific(versions)
    # Left out, or `latest {}`: as upstream, one.
    return VersionPolicy(most=policy.latest.num_versions or 1)


def _names_with_logging(config: config_pb2.ModelServerConfig) -> set[str]:
    models = config.model_config_list.config
    return {one.name for one in models if one.HasField("logging_config")}
