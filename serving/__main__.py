"""`python -m serving serve|rank ...`, the same as `trailrank serve|rank ...`."""

from __future__ import annotations

import sys

from serving import rank_command, serve_command

_COMMANDS = {"serve": serve_command.run, "rank": rank_command.run}


def main(argv: list[str]) -> int:
    """Runs one subcommand; the exit status."""
    if not argv or argv[0] not in _COMMANDS:
        print(f"usage: python -m serving {'|'.join(_COMMANDS)} ...", file=sys.stderr)
        return 2
    return _COMMANDS[argv[0]](argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
