"""Compiled pipelines that Vertex AI runs by itself, as cron says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.cloud import service
from pipeline.cloud.errors import JobError
from pipeline.cloud.service import Patience, Tell, VertexPlace, ask, finish

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import ScheduleServiceClient
    from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest, Schedule


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A schedule, as people look at it.

    Attributes:
        id: By which it is named.
        name: For people.
        cron: When it runs, with its time zone.
        state: `ACTIVE`, `PAUSED` or `COMPLETED`.
        runs: How many it has begun.
        next_run: ISO time, UTC; empty if none will come.
        last_job: Id of the job that it began last, or why that one did not begin;
            empty before the first.
    """

    id: str
    name: str
    cron: str
    state: str
    runs: int
    next_run: str
    last_job: str

    @classmethod
    def of(cls, found: Schedule) -> Scheduled:
        """Of what the service tells."""
        next_run = found.next_run_time
        last = found.last_scheduled_run_response.run_response
        is_next = next_run and found.state.name == "ACTIVE"
        return cls(
            id=found.name.rpartition("/")[2],
            name=found.display_name,
            cron=found.cron,
            state=found.state.name,
            runs=found.started_run_count,
            next_run=next_run.isoformat(timespec="minutes") if is_next else "",
            last_job=last.rpartition("/")[2] if "/pipelineJobs/" in last else last,
        )


@dataclasses.dataclass(frozen=True)
class Schedules:
    """The schedules of a project's region.

    Attributes:
        client: Of the region.
        place: The region.
        tell: Is told while nobody answers.
        patience: With the network.

    All methods raise UnansweredError if nobody answers and JobError if the service
    refuses, as one does that has no schedule of this id.
    """

    client: ScheduleServiceClient
    place: VertexPlace
    tell: Tell
    patience: Patience = dataclasses.field(default_factory=Patience)

    def create(
        self, name: str, cron: str, request: CreatePipelineJobRequest
    ) -> Scheduled:
        """Begins a schedule; a run that is due while another one goes on is left out.

        Args:
            name: For people; no other schedule of the region has it. By it a schedule
                is found whose answer was lost on the way.
            cron: Of `cron.with_timezone`.
            request: Of `pipeline_job.build`, without an id.

        Raises:
            JobError: There is a schedule of this name.
        """
        if there := self._named(name):
            raise JobError(
                f"--name {name}: is the name of schedule {_id(there)} in "
                f"{self.place.region}. Delete that one, or take another name."
            )
        types = service.library()
        schedule = types.Schedule(
            display_name=name,
            cron=cron,
            create_pipeline_job_request=request,
            max_concurrent_run_count=1,
            max_concurrent_active_run_count=1,
            allow_queueing=False,
        )
        asked = types.CreateScheduleRequest(parent=self.place.parent, schedule=schedule)

        def once(timeout: float) -> Schedule:
            made = self._named(name)  # by a try whose answer was lost
            return made or self.client.create_schedule(asked, timeout=timeout)

        made = ask(
            once, f"making schedule {name}", patience=self.patience, tell=self.tell
        )
        return Scheduled.of(made)

    def known(self) -> list[Scheduled]:
        """All of the region, by name."""
        found = [Scheduled.of(schedule) for schedule in self._all()]
        return sorted(found, key=lambda schedule: (schedule.name, schedule.id))

    def pause(self, schedule: str) -> None:
        """No run begins until it is resumed; one that goes on goes on."""
        self._ask(self.client.pause_schedule, "pausing", schedule)

    def resume(self, schedule: str) -> None:
        """Runs begin again, from the next one on."""
        self._ask(self.client.resume_schedule, "resuming", schedule)

    def delete(self, schedule: str) -> None:
        """Ends it for ever; its jobs stay."""
        operation = self._ask(self.client.delete_schedule, "deleting", schedule)
        doing = f"deleting schedule {schedule}"
        finish(operation, doing, patience=self.patience, tell=self.tell)

    def _ask(self, method: Callable[..., Any], doing: str, schedule: str) -> Any:
        return ask(
            method,
            f"{doing} schedule {schedule}",
            name=f"{self.place.parent}/schedules/{schedule}",
            patience=self.patience,
            tell=self.tell,
        )

    def _all(self) -> list[Schedule]:
        return ask(
            lambda timeout: [
                *self.client.list_schedules(parent=self.place.parent, timeout=timeout)
            ],
            "listing schedules",
            patience=self.patience,
            tell=self.tell,
        )

    def _named(self, name: str) -> Schedule | None:
        found = (one for one in self._all() if one.display_name == name)
        return next(found, None)


def _id(schedule: Schedule) -> str:
    return schedule.name.rpartition("/")[2]
