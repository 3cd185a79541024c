"""Which versions of which models are loaded, and under which labels."""
