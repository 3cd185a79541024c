"""The Trainer step's own checks, before it trains."""

import pytest
import tensorflow as tf

from pipeline.training import check_days, encoded_dir
from trainer.days.checkpoints import CheckpointError
from trainer.days.encoding import Encoding
from trainer.days.state import TrainingState


def test_a_run_without_a_day_that_was_trained_is_refused(tmp_path):
    """Later days may be added; without an earlier one the weights would know of it."""
    state = TrainingState({}, [{"day": "day-20220408"}, {"day": "day-20220409"}])
    checkpoint = tf.train.Checkpoint(state=tf.Variable(state.to_json()))
    checkpoint.save(str(tmp_path / "ckpt"))
    check_days(str(tmp_path), ["day-20220408", "day-20220409", "day-20220410"])
    check_days(str(tmp_path / "none"), ["day-20220409"])
    with pytest.raises(CheckpointError, match="no other days .* Got day-20220408. Add"):
        check_days(str(tmp_path), ["day-20220409", "day-20220410"])


def test_each_encoding_has_checkpoints_of_its_own():
    sizes = {"room": {"city": 3}, "base_sizes": {"city": 2}}
    one = Encoding("20220408", vocabularies={"city": ("aa", "bb")}, **sizes)
    other = Encoding("20220408", vocabularies={"city": ("bb", "aa")}, **sizes)
    longer = one.extended_by("day-20220409", {"city": {"cc": 1}})
    names = [encoded_dir("run/checkpoints/0a", e) for e in (one, longer, other)]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("run/checkpoints/0a-") for name in names)
