"""`python -m pipeline run|compile ...`, the same as `trailrank pipeline ...`."""

import sys

from pipeline.command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
