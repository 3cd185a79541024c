"""Raw examples -> what a model reads: what is learned, and the graph that does it.

    encoders  what a raw value becomes: one encoder a kind of feature
    hashing   ids -> rows of a table
    known     what an encoder may ask
    learn     summaries of days -> an `Encoding`, or a longer one
    graph     an `Encoding` -> a graph of tensorflow_transform
    make      all of it, for the step and from Python

No pass over rows in any of them.
"""
