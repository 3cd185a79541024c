"""`python -m trainer train ...`, the same as `trailrank train ...`."""

import sys

from trainer.command import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[2:] if sys.argv[1:2] == ["train"] else sys.argv[1:]))
