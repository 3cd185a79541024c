"""What training minimises: losses, their weights, the disentangle loss."""
