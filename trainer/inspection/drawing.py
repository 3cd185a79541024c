"""What the figures have in common."""


def short(expert: str) -> str:
    """`skip expert 0` -> `skip 0`."""
    owner, _, number = expert.rpartition(" expert ")
    return f"{owner} {number}" if owner else expert
