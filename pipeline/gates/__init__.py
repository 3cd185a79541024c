"""What stands between new data or a new model and what serves."""
