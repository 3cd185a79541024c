"""The model side: input, layers, the ranker, losses and the day loop.

Importing this package loads nothing heavy; its modules import TensorFlow themselves.
"""
