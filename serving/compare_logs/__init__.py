"""What the log of a version on trial says: `trailrank compare-logs`."""
