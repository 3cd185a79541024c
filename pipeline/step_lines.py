"""A line on a console for each step that ended, and what runs now."""

from __future__ import annotations

import rich.console
import rich.status

from pipeline.step_events import StepEvent

_STATES = {"done": "green", "cached": "cyan", "failed": "red"}


class StepLines:
    """Takes a run's events; a context, as what runs is shown by a spinner.

    Steps may run side by side, as on Vertex AI.
    """

    def __init__(self, console: rich.console.Console):
        self._console = console
        self._running: list[str] = []
        self._status: rich.status.Status | None = None

    def __enter__(self) -> StepLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def __call__(self, event: StepEvent) -> None:
        self._stop()
        if event.state == "running":
            self._running.append(event.step)
        else:
            self._running = [step for step in self._running if step != event.step]
            state = f"[{_STATES[event.state]}]{event.state}[/]"
            self._console.print(f"  {event.step:<20} {event.seconds:6.1f} s  {state}")
        if self._running:
            self._status = self._console.status(f"{', '.join(self._running)} ...")
            self._status.start()

    def say(self, text: str) -> None:
        """Prints a line about the run beside those of its steps."""
        self._console.print(text, style="yellow", highlight=False, markup=False)

    def _stop(self) -> None:
        """Takes the spinner away."""
        if self._status:
            self._status.stop()
            self._status = None
