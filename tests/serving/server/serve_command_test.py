"""The flags of `trailrank serve` that say which models and versions are served."""

import pytest

from feature_specs.errors import UsageError
from feature_specs.places import PlaceError
from serving.server.serve_command import read_flags
from serving.store.store_options import Retries, StoreOptions, VersionPolicy, specific
from serving.store.text_protos import ConfigFileError


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "models.config"
    file.write_text(
        'model_config_list { config { name: "m" base_path: "/models/m" '
        'model_platform: "tensorflow" } }'
    )
    return str(file)


def test_a_directory_is_followed_at_its_newest_version(tmp_path, models):
    expected = StoreOptions(models_dir=models)
    assert read_flags(["--models", models])[0] == expected
    assert read_flags(["--root", str(tmp_path)])[0] == expected


def test_versions_and_labels(models):
    flags = ["--versions", "41,42", "--label", "stable=41", "--label", "canary=42"]
    found, _ = read_flags(["--models", models, *flags])
    assert found.policy == specific([41, 42])
    assert found.labels == {"stable": 41, "canary": 42}
    two, _ = read_flags(["--models", models, "--versions", "latest:2"])
    assert two.policy == VersionPolicy(most=2)


def test_upstream_s_names(config):
    found, options = read_flags(
        [
            f"--model_config_file={config}",
            "--model_config_file_poll_wait_seconds=5",
            "--file_system_poll_wait_seconds=0",
            "--allow_version_labels_for_unavailable_models=true",
            "--max_num_load_retries=2",
        ]
    )
    assert found == StoreOptions(
        model_config_file=config,
        config_poll_s=5.0,
        poll_s=0.0,
        allow_early_labels=True,
        retries=Retries(most=2),
    )
    assert options.batching is None


def test_files_of_upstream(tmp_path, models):
    monitoring, batching = tmp_path / "monitoring", tmp_path / "batching"
    monitoring.write_text('prometheus_config { enable: true path: "/m" }')
    batching.write_text("max_batch_size { value: 8 }")
    flags = ["--models", models, "--monitoring_config_file", str(monitoring)]
    sized = ["--batching_parameters_file", str(batching)]
    _, options = read_flags([*flags, "--enable_batching", *sized])
    assert options.monitoring_path == "/m"
    assert options.batching.max_batch_size == 8
    with pytest.raises(UsageError, match="--batching_parameters_file needs --enable"):
        read_flags([*flags, *sized])
    with pytest.raises(UsageError, match="--monitoring_config_file, not both"):
        read_flags([*flags, "--monitoring_path", "/n"])


def test_what_cannot_be_served_is_told_before_anything_is_loaded(tmp_path, config):
    with pytest.raises(PlaceError, match="no model here"):
        read_flags(["--models", str(tmp_path)])
    with pytest.raises(ConfigFileError, match="/none: cannot be read"):
        read_flags(["--model_config_file", str(tmp_path / "none")])
    broken = tmp_path / "broken.config"
    broken.write_text("model_config_list {")
    with pytest.raises(ConfigFileError, match="broken.config:1:"):
        read_flags(["--model_config_file", str(broken)])
    with pytest.raises(UsageError, match="Leave out --versions and --label"):
        read_flags(["--model_config_file", config, "--versions", "all"])


def test_one_place_is_named(models, config, capsys):
    for flags in ([], ["--models", models, "--model_config_file", config]):
        with pytest.raises(SystemExit):
            read_flags(flags)
    assert "--model_config_file" in capsys.readouterr().err
