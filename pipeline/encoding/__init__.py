"""Raw examples -> what a model reads: what is learned of days, and the graph that does it.

`learn` and `extend` turn summaries of days into an `Encoding`, `write_transform_graph`
an `Encoding` into a graph of tensorflow_transform: no pass over rows in either.
"""
