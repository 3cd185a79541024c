"""`python -m feature_specs check|show ...`, the same as `trailrank spec ...`."""

import sys

import trailrank

if __name__ == "__main__":
    sys.exit(trailrank.main(["trailrank", "spec", *sys.argv[1:]]))
