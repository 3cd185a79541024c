"""Training jobs on machines of Google Cloud: `trailrank job submit`.

Nothing here imports TensorFlow; what a job runs there is `trailrank train`.
"""
