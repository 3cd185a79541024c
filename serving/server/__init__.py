"""`trailrank serve`: REST and gRPC over one service, with limits on everything."""
