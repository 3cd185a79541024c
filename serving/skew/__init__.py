"""`trailrank skew`: whether what is served is what was trained on."""
