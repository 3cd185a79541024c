"""Registries of kinds, and the plugins that add to them."""

import os
import pickle
import subprocess
import sys

import pytest

from feature_specs import FeatureSpec, plugins
from feature_specs.feature_kinds import FEATURE_KINDS, Code, Dense, Embedded, Id
from feature_specs.plugins import PLUGINS
from feature_specs.registry import Registry, RoomTable, UnknownKindError


class _Base:
    pass


class _Derived(_Base):
    name = "derived"

    def __str__(self):
        return self.name


def test_a_registry_names_what_it_knows():
    registry: Registry[type] = Registry("switcher", "@switcher(name)")
    registry.add("mine", _Base)
    registry.add("mine", _Base)  # a module that is imported again
    assert list(registry) == ["mine"] and "mine" in registry and len(registry) == 1
    with pytest.raises(
        UnknownKindError, match=r"'yours': is not registered\. Known: m"
    ):
        registry["yours"]


def test_a_name_has_one_owner():
    registry: Registry[type] = Registry("switcher", "@switcher(name)")
    registry.add("mine", _Base)
    with pytest.raises(ValueError, match=r"'mine': is registered already, by .*_Base"):
        registry.add("mine", _Derived)


def test_a_room_treats_a_derived_kind_as_what_it_is_derived_from():
    table: RoomTable[str] = RoomTable(
        "pipeline.room", "encodes features of", "@encodes"
    )
    with pytest.raises(UnknownKindError) as caught:
        table[_Derived()]
    assert str(caught.value).startswith(
        "pipeline.room: nothing encodes features of kind 'derived'. Register it with "
        "@encodes(_Derived), in a module that TRAILRANK_PLUGINS names"
    )
    table.register(_Base)("base")
    assert table[_Derived()] == "base"
    table.register(_Derived)("own")
    assert (table[_Derived()], table[_Base()]) == ("own", "base")


def test_kinds_compare_and_print_by_what_they_are():
    assert FEATURE_KINDS["id"] == Id() and FEATURE_KINDS["id"] != FEATURE_KINDS["code"]
    assert {Id(), Id(), Code()} == {Id(), Code()}
    assert (str(Id()), repr(Id())) == ("id", "Id('id')")
    assert isinstance(FEATURE_KINDS["bucket"], Embedded)
    assert isinstance(FEATURE_KINDS["number"], Dense)


_PLUGIN = """
from feature_specs.feature_kinds import Code, feature_kind

@feature_kind("weekday")
class Weekday(Code):
    def type_rule(self):
        return "must be a day of the week."
"""
_CHECK = (
    "from feature_specs.feature_kinds import FEATURE_KINDS\n"
    "from feature_specs import load_spec, load_preset\n"
    "assert 'weekday' not in FEATURE_KINDS\n"
    "load_{0}({1!r})\n"
    "assert 'weekday' in FEATURE_KINDS\n"
)


@pytest.mark.parametrize(("what", "name"), [("spec", "kuairand"), ("preset", "mmoe")])
def test_another_process_knows_the_plugins_that_the_environment_names(
    tmp_path, what, name
):
    (tmp_path / "my_kinds.py").write_text(_PLUGIN)
    done = _python(tmp_path, _CHECK.format(what, name), "my_kinds, ")
    assert done.returncode == 0, done.stderr


def test_an_installed_package_names_its_plugins(tmp_path):
    (tmp_path / "my_kinds.py").write_text(_PLUGIN)
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trailrank.plugins]\nmine = my_kinds\n")
    done = _python(tmp_path, _CHECK.format("spec", "kuairand"), "")
    assert done.returncode == 0, done.stderr


def test_a_package_that_comes_later_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(plugins._entry_points().names)
    info = tmp_path / "later-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trailrank.plugins]\nlater = kinds\n")
    assert set(plugins._entry_points().names) - before == {"later"}


_UNPICKLED = (
    "import pickle, sys\n"
    "found = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
    "assert type(found.of_kind).__name__ == 'Weekday'\n"
)


def test_a_feature_that_comes_from_another_process_knows_its_kind(tmp_path):
    (tmp_path / "my_kinds.py").write_text(_PLUGIN)
    feature = FeatureSpec(name="day", group="context", kind="weekday")
    done = _python(tmp_path, _UNPICKLED, "my_kinds", pickle.dumps(feature).hex())
    assert done.returncode == 0, done.stderr


def _python(folder, code, names, *argv):
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": path, PLUGINS: names}
    command = [sys.executable, "-c", code, *argv]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("no_such_module", None, r"Got 'no_such_module' \(ModuleNotFoundError: No mod"),
        ("broken_plugin", "1 / 0", r"Got 'broken_plugin' \(ZeroDivisionError: divisi"),
        ("taken_plugin", _PLUGIN.replace("weekday", "id"), r"'id': is registered alre"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_told_each_time(
    tmp_path, monkeypatch, good, module, text, message
):
    from feature_specs import read_spec

    if text:
        (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(PLUGINS, module)
    monkeypatch.setattr(plugins, "_loaded", set())
    for _ in range(2):
        with pytest.raises(plugins.PluginError, match=message) as caught:
            read_spec(good)
        assert str(caught.value).startswith("TRAILRANK_PLUGINS: must name modules")
