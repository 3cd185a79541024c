"""The ranker: embeddings, shared bottom, sharing structure and towers."""
