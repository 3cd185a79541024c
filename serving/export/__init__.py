"""From a trained ranker to a SavedModel: signatures, fusion, warmup, model card."""
