"""The nights of an experiment whose models are retrained: each on what its arm showed.

    the day's log of all users -> examples, from the state of the day before
    -> those of the arm's users -> a day of training, on from the run's checkpoints
    -> an export, which serves the arm from the next day on

Examples, encoding, training and export are those of a run. Features see the users of
all arms, as they do when they are served; labels are of the arm's users alone. On the
days before the treatments all arms learn from all users, whom the control served.

    OUT/nights/before/, day-003/     logs, examples and state of all users
    OUT/nights/day-003/<arm>/        the arm's examples, its encoding
    OUT/nights/<arm>/checkpoints/    on from a copy of the run's
    OUT/models/<arm>/<day>/          what served after so many days
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from feature_specs import Spec, read_preset
from feature_specs.spec import KEY_USER
from pipeline.experiment.design import Arm, Design
from pipeline.experiment.errors import ExperimentError
from pipeline.quiet import load_beam, quiet_imports
from pipeline.run_record import RunRecord, read_record
from pipeline.simulator.block import LOG_COLUMNS
from serving.export.model_card import read_card

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_can_retrain(design: Design) -> None:
    """ExperimentError if there is nothing to go on from, or nothing to retrain."""
    models = [arm for arm in design.arms if arm.is_model]
    if not models:
        raise ExperimentError(
            "--retrain: no arm is a model. Name a run, or leave --retrain out."
        )
    for arm in models:
        if not arm.run:
            raise ExperimentError(
                f"--retrain: arm {arm.name} is an exported model, whose training "
                "cannot go on. Name the run that trained it."
            )
        record = read_record(arm.run)
        last = max({*record.example_dirs} - {*record.eval_splits}, default="")
        if last >= f"day-{design.date(0):%Y%m%d}":
            raise ExperimentError(
                f"--retrain: the run of arm {arm.name} has trained on {last}, and the "
                f"experiment begins on {design.date(0):%Y%m%d}. Run it on the days "
                "before."
            )
    if not design.history_days:
        raise ExperimentError(
            "--retrain: needs --logs with days before the first served one."
        )


@dataclasses.dataclass(frozen=True)
class Nights:
    """What is done after each day.

    Attributes:
        design: Of the experiment.
        spec: Of its models.
        out: Its directory.
        tables: Side files of the logs.
    """

    design: Design
    spec: Spec
    out: pathlib.Path
    tables: Mapping[str, pl.DataFrame]

    def before(self, history: pl.DataFrame) -> None:
        """Makes what the first night goes on from: state, and copies of checkpoints."""
        place = self._place(-1)
        first, last = self.design.settings.start, self.design.date(-1)
        self._examples(place, history, f"{first:%Y%m%d}:{last:%Y%m%d}", None)
        for arm in self._models:
            target = self.out / "nights" / arm.name / "checkpoints"
            with _whole(target) as folder:
                source = _record(arm).checkpoints
                shutil.copytree(source, folder, dirs_exist_ok=True)

    def after(self, day: int, log: pl.DataFrame) -> None:
        """Retrains every model arm on a served day.

        Args:
            day: 0 is the first one.
            log: Of all users.
        """
        place, date = self._place(day), f"{self.design.date(day):%Y%m%d}"
        self._examples(place, log, date, self._place(day - 1) / "state")
        for arm in self._models:
            if not os.path.exists(model_of(self.out, arm, day + 1)):
                self._retrain(arm, day, place, f"day-{date}")

    @property
    def _models(self) -> list[Arm]:
        return [arm for arm in self.design.arms if arm.is_model]

    def _place(self, day: int) -> pathlib.Path:
        name = "before" if day < 0 else f"day-{day:03d}"
        return self.out / "nights" / name

    def _examples(
        self,
        place: pathlib.Path,
        log: pl.DataFrame,
        days: str,
        state: pathlib.Path | None,
    ) -> None:
        """Examples of all users, and the state at the days' end."""
        from pipeline.examples.make import make_examples

        with _whole(place / "logs") as folder:
            lines = log.sort("user_id", "time_ms").select(LOG_COLUMNS)
            lines.write_csv(folder / "log_standard_pure.csv")
            for name, table in self.tables.items():
                table.write_csv(folder / f"{name}_pure.csv")
        if (place / "state").exists():
            return
        for part in ("examples", "state"):  # the state is moved last
            shutil.rmtree(place / f".{part}", ignore_errors=True)
        load_beam()
        make_examples(
            self.spec,
            place / "logs",
            place / ".examples",
            days=days,
            eval_days=0,
            learned_through=None if state else days.split(":")[1],
            allow_small_days=True,
            state_from=state,
            state_to=place / ".state",
        )
        shutil.rmtree(place / "examples", ignore_errors=True)
        (place / ".examples").rename(place / "examples")
        (place / ".state").rename(place / "state")

    def _retrain(self, arm: Arm, day: int, place: pathlib.Path, split: str) -> None:
        """A day of training, and its export."""
        with quiet_imports():
            from pipeline.training import quantiles_of
            from serving.export.export import export
            from trainer.days.checkpoints import newest_state
            from trainer.train import train
        examples = self._own_examples(arm, day, place, split)
        graph = self._encoding(arm, day, place)
        preset = read_preset(read_card(arm.model).preset, f"preset of {arm.run}")
        weights = self.out / "nights" / arm.name / "checkpoints"
        before = newest_state(str(weights))
        assert before is not None  # `before` has copied them
        _, state = before
        ranker = train(
            self.spec,
            preset,
            examples,
            encoding=graph,
            checkpoints=weights,
            days=[split.removeprefix("day-")],
            # A training goes on as it began.
            batch_size=state.run["batch_size"],
            precision=state.run["precision"],
            seed=state.run["seed"],
        )
        export(
            ranker,
            graph,
            self.spec,
            model_of(self.out, arm, day + 1),
            quantiles=quantiles_of(self.spec, [os.fspath(place / "examples")]),
        )

    def _encoding(self, arm: Arm, day: int, place: pathlib.Path) -> pathlib.Path:
        """The arm's encoding with the day's new values."""
        from pipeline.encoding.make import make_encoding

        target = place / arm.name / "encoding"
        earlier = self._place(day - 1) / arm.name / "encoding"
        if not target.exists():
            with _whole(target) as folder:
                make_encoding(
                    self.spec,
                    place / "examples",
                    folder,
                    earlier=earlier if day else _record(arm).transform_graph,
                )
        return target

    def _own_examples(
        self, arm: Arm, day: int, place: pathlib.Path, split: str
    ) -> pathlib.Path:
        """The directory with the day's examples of the arm's users."""
        if day < self.design.pre_days:
            return place / "examples"
        number = self.design.arms.index(arm)
        target = place / arm.name / "examples"
        if not target.exists():
            with _whole(target) as folder:
                own = folder / f"Split-{split}"
                own.mkdir()
                for file in sorted((place / "examples" / own.name).glob("*.gz")):
                    _copy_of_users(file, own / file.name, self.design, number)
        return target


def model_of(out: pathlib.Path, arm: Arm, days: int) -> str:
    """Directory of the model that serves an arm after so many days of retraining."""
    return str(out / "models" / arm.name / str(days)) if days else arm.model


def _record(arm: Arm) -> RunRecord:
    return read_record(arm.run)


def _copy_of_users(
    source: pathlib.Path, target: pathlib.Path, design: Design, number: int
) -> None:
    """Copies the examples of an arm's users, in their order."""
    import tensorflow as tf

    key = {KEY_USER: tf.io.FixedLenFeature([], tf.int64)}
    with tf.io.TFRecordWriter(str(target), "GZIP") as writer:
        for batch in tf.data.TFRecordDataset(str(source), "GZIP").batch(4_096):
            users = tf.io.parse_example(batch, key)[KEY_USER].numpy()
            own = design.assign(users) == number
            for record in batch.numpy()[own]:
                writer.write(record)


@contextlib.contextmanager
def _whole(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder that gets a directory's name when the block is done; what is there
    already stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as made:
        folder = pathlib.Path(made, "whole")
        folder.mkdir()
        yield folder
        (folder / ".trailrank.lock").unlink(missing_ok=True)
        if not target.exists():
            folder.rename(target)
