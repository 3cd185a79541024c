"""Two weeks day by day: warm starts, faults that the gates stop, and the same weights
in the end as of one run over all days.

One story, told once for all tests here: each day's run goes on from the last one's, in
one process. What the gates stop costs no training.
"""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import read_preset, read_spec
from feature_specs.errors import Status, TrailrankError
from pipeline.ledger import Ledger, read_ledger
from pipeline.run import run_pipeline
from pipeline.run_config import RunConfig
from pipeline.run_record import RunRecord, read_record
from tests.daily_logs import DAILY_SPEC, write_day
from tpu_configs import load_slice
from trainer.days.encoding import Encoding, read_encoding

pytestmark = pytest.mark.slow

# One pass over few rows: small batches and high rates.
_PRESET = """
bottom: [32]
tower: [16]
trail: {units: [4], dim: 4, dropout: 0.1}
optimizer: {learning_rate: 0.005, table_learning_rate: 0.1}
"""
_SLICE = dataclasses.replace(load_slice("cpu"), batch_size=50)
_FIRST, _FIRST_DAYS = 20220408, 6


@dataclasses.dataclass
class Weeks:
    """The story so far.

    Attributes:
        folder: Holds `logs/` and `run/`.
        records: Day of the newest log -> what its run pushed.
        encodings: The same of its encoding.
        refused: What was refused -> the message.
        one_run: The same days in one run, with the last one's encoding.
        compared: Day up to which that one goes.
    """

    folder: pathlib.Path
    seed: int
    records: dict[int, RunRecord] = dataclasses.field(default_factory=dict)
    encodings: dict[int, Encoding] = dataclasses.field(default_factory=dict)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    one_run: RunRecord | None = None
    compared: int = 0

    @property
    def root(self) -> pathlib.Path:
        return self.folder / "run"

    @property
    def ledger(self) -> Ledger:
        return read_ledger(self.root)

    def write(self, day: int, fault: str | None = None) -> None:
        write_day(self.folder / "logs", day, self.seed, fault)

    def run(self, **settings) -> RunRecord:
        config = RunConfig(
            spec=read_spec(DAILY_SPEC),
            preset=read_preset(_PRESET),
            slice=_SLICE,
            logs=self.folder / "logs",
            seed=self.seed,
            **{"root": self.root, **settings},
        )
        return run_pipeline(config)

    def goes_on(self, day: int, fault: str | None = None, **settings) -> None:
        """The next day's log is there, and its run pushes a model."""
        self.write(day, fault)
        record = self.run(**settings)
        assert record.pushed, record.refused
        self.records[day] = record
        self.encodings[day] = read_encoding(record.transform_graph)

    def stops(self, what: str, **settings) -> None:
        """The run is refused with exit status 3, or as a mistake of the logs."""
        before = self.ledger.serving
        with pytest.raises(TrailrankError) as refused:
            self.run(**settings)
        self.refused[what] = str(refused.value)
        assert refused.value.exit_status in (Status.REFUSED, Status.FAILED)
        assert self.ledger.serving == before  # the last good model keeps serving


def _tell(weeks: Weeks) -> None:
    """All that happens."""
    for day in range(_FIRST, _FIRST + _FIRST_DAYS):
        weeks.write(day)
    weeks.goes_on(20220413)
    weeks.goes_on(20220414)
    weeks.goes_on(20220415, "new value")
    _as_one_run(weeks, 20220415)
    _missing_day(weeks)
    _faults(weeks)
    _same_file_again(weeks)
    _poisoned(weeks)
    _accepted(weeks)


def _as_one_run(weeks: Weeks, day: int) -> None:
    graph = weeks.records[day].transform_graph
    root = weeks.folder / "one"
    weeks.one_run, weeks.compared = weeks.run(root=root, encoding=graph), day


def _missing_day(weeks: Weeks) -> None:
    """There is no log of the 16th, and that has to be said."""
    weeks.write(20220417)
    weeks.stops("missing day")


def _faults(weeks: Weeks) -> None:
    """Each is stopped and mended; then the three days are trained at once."""
    said = ("20220416",)
    for day, fault in ((20220418, "flipped likes"), (20220419, "in seconds")):
        weeks.write(day, fault)
        weeks.stops(fault, missing_days=said)
        weeks.write(day)  # mended
    weeks.goes_on(20220419, missing_days=said)


def _same_file_again(weeks: Weeks) -> None:
    logs = weeks.folder / "logs"
    shutil.copy(logs / "log_20220419.csv", logs / "log_20220420.csv")
    weeks.stops("same file")


def _accepted(weeks: Weeks) -> None:
    """A drift that somebody knows of is let pass, with a reason."""
    weeks.write(20220421, "drifted")
    weeks.stops("drifted")
    weeks.goes_on(
        20220421,
        "drifted",
        accept_days=("20220421",),
        accept_reason="longer videos since the new player",
    )


def _poisoned(weeks: Weeks) -> None:
    """The clicks of the day that a model is judged on are noise: its AUC says so."""
    weeks.write(20220420, "poisoned")
    before = weeks.ledger.serving
    record = weeks.run()
    assert not record.pushed
    weeks.refused["poisoned"] = record.refused
    assert weeks.ledger.serving == before
    weeks.write(20220420)  # mended


@pytest.fixture(scope="module")
def weeks(tmp_path_factory, any_seed) -> Weeks:
    told = Weeks(tmp_path_factory.mktemp("weeks"), any_seed)
    _tell(told)
    return told


# --- what it comes to -----------------------------------------------------------------


def test_each_day_trains_yesterdays_evaluation_day(weeks):
    runs = [run for run in weeks.ledger.runs if run.outcome == "pushed"]
    trained = [set(run.trained) for run in runs]
    for before, now, run in zip(trained, trained[1:], runs[1:], strict=False):
        assert before < now
        assert not now & set(run.judged)
    assert runs[1].judged == ("day-20220414",)
    assert set(runs[1].trained) - set(runs[0].trained) == {"day-20220413"}


def test_only_new_days_are_made(weeks):
    made = {run.id: run.made for run in weeks.ledger.runs if run.outcome == "pushed"}
    assert list(made.values())[1:3] == [("day-20220414",), ("day-20220415",)]


def test_the_weights_are_those_of_one_run_over_all_days_bit_by_bit(weeks):
    daily, whole = weeks.records[weeks.compared], weeks.one_run
    found, expected = (_weights(record.model) for record in (daily, whole))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)


def _weights(model: str) -> dict[str, np.ndarray]:
    path = f"{model}/variables/variables"
    names = [name for name, _ in tf.train.list_variables(path)]
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in names if "ranker" in name}


def test_the_gates_stop_the_days_that_they_should_and_name_the_cause(weeks):
    told = weeks.refused
    assert (
        "label_like" in told["flipped likes"] and "exchanged" in told["flipped likes"]
    )
    assert "1000" in told["in seconds"].replace(",", "")
    assert "play_time_ms" in told["in seconds"] or "watch" in told["in seconds"]
    assert "20220416" in told["missing day"]
    assert "duration" in told["drifted"] and "--accept_day 20220421" in told["drifted"]
    assert "click" in told["poisoned"]


def test_a_file_of_the_day_before_is_no_new_day(weeks):
    assert "20220420" in weeks.refused["same file"]


def test_an_accepted_day_is_noted_with_who_and_why(weeks):
    (day,) = [day for day in weeks.ledger.days if day.split == "day-20220421"]
    assert day.accepted["why"] == "longer videos since the new player"
    assert day.accepted["who"]


def test_a_value_never_changes_its_id(weeks):
    last = weeks.encodings[20220421]
    for encoding in weeks.encodings.values():
        assert last.extends(encoding)
    # The value of the 15th is learned when that day is trained on.
    known = {day: e.vocabularies["category"] for day, e in weeks.encodings.items()}
    assert "brand_new" not in known[20220415]
    assert known[20220419] == (*known[20220415], "brand_new")


def test_run_json_describes_what_serves(weeks):
    record = read_record(weeks.root)
    assert record.version == weeks.ledger.serving.version
    assert record.pushed and not record.refused
    versions = [p.name for p in (weeks.root / "models" / "daily").iterdir()]
    assert sorted(v for v in versions if v.isdigit())[-1] == record.version


def test_no_step_is_left_running(weeks):
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(weeks.root / "metadata.sqlite")
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    states = {
        mlmd.Execution.State.Name(execution.last_known_state)
        for execution in metadata_store.MetadataStore(config).get_executions()
    }
    assert states <= {"COMPLETE", "CACHED", "FAILED"}
