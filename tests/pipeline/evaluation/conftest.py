"""Exported models and days of examples, written once a file of tests."""

import pytest

from tests.pipeline.evaluation import exported


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """(name, slope, ...) -> the directory of an exported model."""
    folder = tmp_path_factory.mktemp("models")
    return lambda name, *args, **more: exported.save_model(folder / name, *args, **more)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two days in two directories."""
    folder = tmp_path_factory.mktemp("days")
    return [exported.write_day(folder / name, i) for i, name in enumerate("ab")]
