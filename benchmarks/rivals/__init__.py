"""What `benchmarks/examples.py` measures Trailrank's example generation against."""
