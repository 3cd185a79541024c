"""What figures share; and that the kit is light, so that every room may import it."""

import importlib.util
import subprocess
import sys

import pytest

from pipeline.reporting import figures
from pipeline.reporting.intervals import Gain

pytest.importorskip("matplotlib")


@pytest.fixture
def panel():
    return figures.new_figure(3, 2).subplots()


def test_seventy_series_differ_in_colour_or_marker():
    drawn = {(figures.colour(n), figures.marker(n)) for n in range(70)}
    assert len(drawn) == 70
    assert figures.colour(10) == figures.colour(0) == figures.BLUE


def test_a_png_has_the_figure_s_inches_at_160_dots():
    image = figures.png(figures.new_figure(3, 2))
    assert image.startswith(b"\x89PNG")
    width, height = image[16:20], image[20:24]  # of the header, big-endian
    assert [int.from_bytes(side, "big") for side in (width, height)] == [480, 320]


def test_a_gain_is_a_dot_with_its_interval_filled_where_it_is_significant(panel):
    gain = Gain(mean=0.02, low=0.01, high=0.03, pairs=3)
    figures.draw_gain(panel, gain, 1, figures.GREEN, "s")
    figures.draw_gain(panel, Gain(mean=0, low=-1, high=1, pairs=3), 0, figures.BLUE)
    sure, unsure = panel.containers
    assert sure.lines[0].get_xydata().tolist() == [[0.02, 1]]
    (bar,) = sure.lines[2]
    assert bar.get_segments()[0][:, 0].tolist() == pytest.approx([0.01, 0.03])
    assert sure.lines[0].get_markerfacecolor() == figures.GREEN
    assert unsure.lines[0].get_markerfacecolor() == "white"


def test_a_gain_of_one_seed_has_no_bar(panel):
    nan = float("nan")
    figures.draw_gain(panel, Gain(mean=0.1, low=nan, high=nan, pairs=1), 0, "k")
    (dot,) = panel.containers
    assert not dot.has_xerr


def test_rows_of_gains_begin_at_the_top(panel):
    figures.finish_gains(panel, ["mmoe", "ple"], "like (AUC)")
    assert [label.get_text() for label in panel.get_yticklabels()] == ["mmoe", "ple"]
    assert panel.get_ylim() == (1.5, -0.5)
    assert panel.get_title() == "like (AUC)"
    assert not panel.spines["top"].get_visible()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not figures.is_possible()
    with pytest.raises(RuntimeError, match="extra `report` of trailrank"):
        figures.require_matplotlib()


def test_the_kit_imports_neither_tensorflow_nor_beam_nor_another_room():
    code = (
        "import sys\n"
        "from pipeline.reporting import figures, files, intervals, metrics, tables\n"
        "heavy = {'tensorflow', 'apache_beam', 'tfx', 'scipy', 'matplotlib'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
        "rooms = ('pipeline.', 'trainer.', 'serving', 'tpu_configs')\n"
        "print(sorted(n for n in sys.modules if n.startswith(rooms)))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    heavy, ours = done.stdout.splitlines()
    assert heavy == "[]"
    kit = [
        f"pipeline.reporting.{n}"
        for n in ["figures", "files", "intervals", "metrics", "tables"]
    ]
    assert ours == str(sorted(["pipeline.reporting", *kit, "trainer.keras2"]))
