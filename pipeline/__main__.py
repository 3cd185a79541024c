"""`python -m pipeline run|compile ...`, the same as `trailrank pipeline ...`."""

import sys

import trailrank

if __name__ == "__main__":
    sys.exit(trailrank.main(["trailrank", "pipeline", *sys.argv[1:]]))
