"""Tensors as they travel: TensorFlow Serving's JSON, and its protocol buffers."""
