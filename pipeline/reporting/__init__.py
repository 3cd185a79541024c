"""What every report is made of, once: metrics, intervals, figures, tables, files.

Nothing here knows a model, a run or Beam, and importing it brings no TensorFlow: of our
rooms it imports `feature_specs` at most, so that `trainer` may use it too.
"""
