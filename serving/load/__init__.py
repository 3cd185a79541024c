"""`trailrank loadtest`: requests when they are due, whether or not others wait."""
