"""Compiles the training step and `rank` for a TPU slice, without a TPU.

TensorFlow lowers them in this process; the TPU compiler works in a process and an
environment of its own (`environment`), which gets files.
"""
