"""Steps of the DAG, each a thin shell around a function of its room."""
