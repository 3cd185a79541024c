"""What to do instead of an op that no TPU step can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Found in a message or in the type of an op -> the advice. The first that fits counts.
_ADVICE = (
    (
        r"PyFunc|py_function|numpy_function",
        "Python cannot run in a step: write it with TensorFlow ops, or do it on the "
        "host, in the input.",
    ),
    (
        r"StringFormat|PrintV2|\bPrint\b",
        "tf.print cannot run in a step: return the value from it, or leave it out.",
    ),
    (
        r"String|AsString|DecodeRaw|tf\.string|Regex|DT_STRING",
        "A TPU has no strings: do it on the host (the encoding, or the input) "
        "and hand over whole numbers.",
    ),
    (
        r"HashTable|LookupTable|is_initialized",
        "Lookup tables are the host's: look up in the encoding and hand over "
        "whole numbers.",
    ),
    (
        r"Ragged|Sparse(?:Reshape|Segment|ToDense|FillEmptyRows)|SparseTensor",
        "Ragged and sparse tensors have no static shape: pad to a fixed length, with "
        "0 for missing, as the features' `length` does.",
    ),
    (
        r"ResourceSparseApply",
        "Sparse gradients of a table do not compile: build the ranker with "
        "sparse_gradients=False.",
    ),
    (
        r"compile-time constant",
        "A size or axis is computed in the step: a TPU needs it as a number when it "
        "compiles. Take it from a static shape (`x.shape`, not `tf.shape(x)`), or "
        "mask rows instead of cutting them off.",
    ),
    (
        r"static input shape|fully defined|unknown rank|dimension is None",
        "Every shape must be known: give the batch a fixed size and pad it.",
    ),
    (
        r"HBM|RESOURCE_EXHAUSTED|Ran out of memory",
        "Take fewer buckets or a smaller dim for the tables named above, unified "
        "embeddings (`unified` in the preset), a smaller batch_per_core, or a slice "
        "whose chips have more memory.",
    ),
    (
        r"dynamic|[Bb]ounded",
        "Keep shapes static: mask rows (multiply by 0 or tf.where) instead of cutting "
        "them off.",
    ),
)
_OTHERWISE = (
    "Rewrite it with ops that work on numbers of static shape, or move it to the host, "
    "into the input."
)


def remedy_of(message: str, kinds: Iterable[str] = ()) -> str:
    """Advice for an error message and the types of the ops it is about."""
    return _fitting(message, kinds)[1]


def culprits_of(message: str) -> str:
    """What the types of the ops look like that a message without names is about."""
    return _fitting(message, ())[0]


def _fitting(message: str, kinds: Iterable[str]) -> tuple[str, str]:
    for text in (" ".join(kinds), message):
        for pattern, advice in _ADVICE:
            if re.search(pattern, text):
                return pattern, advice
    return "^$", _OTHERWISE
