"""What the figures have in common."""

# Okabe and Ito's palette for colour-blind readers, its yellow replaced by darker ones.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255"),
    *("#999933", "#777777", "#000000"),
)


def short(expert: str) -> str:
    """`skip expert 0` -> `skip 0`."""
    owner, _, number = expert.rpartition(" expert ")
    return f"{owner} {number}" if owner else expert
