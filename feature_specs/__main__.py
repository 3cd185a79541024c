"""`python -m feature_specs check|show ...`, the same as `trailrank spec ...`."""

import sys

from feature_specs.command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
