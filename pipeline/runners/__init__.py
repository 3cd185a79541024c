"""Where the DAG runs: on this machine (`local`) or compiled for Vertex (`vertex`)."""
