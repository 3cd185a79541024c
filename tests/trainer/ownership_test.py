"""The lock of a bucket, as TensorFlow reads and writes it (`ram://`, in memory)."""

from feature_specs import locks
from trainer.ownership import TensorFlowObjects, sole_training


def test_objects_are_written_read_and_removed():
    objects, path = TensorFlowObjects(), "ram://bucket/a/lock"
    assert objects.read(path) is None
    objects.write(path, b"one")  # once: `ram://` alone appends to what is there
    assert objects.read(path) == b"one"
    objects.remove(path)
    objects.remove(path)  # which is not there any more
    assert objects.read(path) is None


def test_a_training_into_a_bucket_holds_its_directory(monkeypatch):
    monkeypatch.setattr(locks, "_SETTLE_S", 0.01)
    path = f"ram://bucket/checkpoints/{locks.NAME}"
    with sole_training("ram://bucket/checkpoints"):
        assert b'"process": ' in TensorFlowObjects().read(path)
    assert TensorFlowObjects().read(path) is None
