"""What Trailrank is measured against, by `examples.py` and `training.py`."""
