"""Lines of steps on a terminal, where steps may run side by side."""

import io

import rich.console
import rich.text

from pipeline.step_events import StepEvent
from pipeline.step_lines import StepLines


def test_each_step_that_ends_is_a_line_and_the_others_are_shown():
    printed = io.StringIO()
    console = rich.console.Console(file=printed, force_terminal=True, width=80)
    with StepLines(console) as lines:
        lines(StepEvent("StatisticsGen", "running"))
        lines(StepEvent("EncodingGen", "running"))
        lines(StepEvent("StatisticsGen", "cached", 1.25))
        lines.say("[no markup] is asked again.")
        lines(StepEvent("EncodingGen", "failed", 62.5))
    assert "StatisticsGen, EncodingGen ..." in printed.getvalue()
    plain = rich.console.Console(file=io.StringIO(), width=80)
    plain.print(rich.text.Text.from_ansi(printed.getvalue()))
    told = plain.file.getvalue()
    assert "  StatisticsGen           1.2 s  cached" in told
    assert "[no markup] is asked again." in told
    assert "  EncodingGen            62.5 s  failed" in told
