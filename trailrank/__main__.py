"""`python -m trailrank COMMAND ...`, the same as `trailrank COMMAND ...`."""

from trailrank.cli import console_main

if __name__ == "__main__":
    console_main()
