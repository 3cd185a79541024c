"""A SavedModel that is ready to be asked, and what says that its files are whole."""
