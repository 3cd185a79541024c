"""What operators ask of a run's directory: status, history, lineage, rollback, prune.

Nothing here imports TensorFlow, TFX or Beam: each answers in a second or so.
"""
