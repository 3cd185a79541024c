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
    one = Encoding({"vocabulary city": "2 values (aa, bb; 1)"})
    other = Encoding({"vocabulary city": "2 values (bb, aa; 2)"})
    names = {encoded_dir("run/checkpoints/0a", e) for e in (one, one, other)}
    assert len(names) == 2
    assert all(name.startswith("run/checkpoints/0a-") for name in names)
