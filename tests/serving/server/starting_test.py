"""A server starts with every model available, or says why it cannot."""

import threading

import pytest

from serving.server.starting import ServeError, ready_store
from serving.store.store_options import ALL, StoreOptions


def config(path, name, base, more="") -> StoreOptions:
    file = path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "{name}" base_path: "{base}" '
        f'model_platform: "tensorflow" {more} }} }}'
    )
    return StoreOptions(model_config_file=str(file), poll_s=0.01)


def test_a_configured_model_without_a_version_is_waited_for(
    tmp_path, put_version, caplog
):
    caplog.set_level("INFO", "trailrank.serving")
    options, stores = config(tmp_path, "ranker", tmp_path / "ranker"), []
    start = threading.Thread(target=lambda: stores.append(ready_store(options)))
    start.start()
    put_version(tmp_path / "ranker" / "1")
    start.join(60)
    assert stores[0].get("ranker").servable()[0] == 1


def test_what_is_waited_for_is_told(tmp_path, put_version, caplog, monkeypatch):
    caplog.set_level("INFO", "trailrank.serving")
    put_version(tmp_path / "ranker" / "1")
    policy = "model_version_policy { specific { versions: 7 } }"
    options = config(tmp_path, "ranker", tmp_path / "ranker", policy)
    looks = []

    def push_after_two_looks(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            put_version(tmp_path / "ranker" / "7")

    monkeypatch.setattr("serving.server.starting.time.sleep", push_after_two_looks)
    store = ready_store(options)
    assert looks == [0.01, 0.01]
    assert store.get("ranker").servable()[0] == 7
    told = "model 'ranker' has none. "
    assert caplog.text.count(told) == 1
    assert f"{tmp_path / 'ranker'}: version 7 is not there (yet)." in caplog.text


def test_a_configured_model_that_cannot_load_ends_the_start(tmp_path):
    (tmp_path / "ranker" / "1").mkdir(parents=True)
    (tmp_path / "ranker" / "1" / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ServeError, match="'ranker' cannot be served: .*no SavedModel"):
        ready_store(config(tmp_path, "ranker", tmp_path / "ranker"))


def test_a_configuration_without_a_model_ends_the_start(tmp_path):
    file = tmp_path / "models.config"
    file.write_text("model_config_list {}")
    with pytest.raises(ServeError, match=r"models\.config: names no model"):
        ready_store(StoreOptions(model_config_file=str(file)))


def test_a_label_of_the_flags_must_be_available_or_allowed(tmp_path, put_version):
    for number in ("1", "2"):
        put_version(tmp_path / "m" / number)
    labels = {"stable": 1}
    options = StoreOptions(models_dir=str(tmp_path), labels=labels)
    with pytest.raises(ServeError, match="'m': label 'stable' is for version 1, which"):
        ready_store(options)
    early = StoreOptions(
        models_dir=str(tmp_path), labels=labels, allow_early_labels=True
    )
    assert ready_store(early).get("m").labels() == labels
    both = StoreOptions(models_dir=str(tmp_path), labels=labels, policy=ALL)
    assert ready_store(both).get("m").servable(1)[0] == 1
