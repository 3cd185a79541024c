"""The steps of the pipeline, as TFX has them: one component a file, a thin shell.

Each calls plain functions of its room, which know no TFX. Their inputs and outputs are
TFX's standard artifacts, so that its other tools read them.
"""
