"""`trailrank rank`: requests made of a run's users and items."""
