"""The API reference: HTML of every module of the rooms, from the docstrings.

    python docs/build_reference.py build/docs      # `make docs`

It imports every module, so it takes a minute and the environment of `make test`. What
pdoc warns of is an error here, except for what is no fault of a docstring (`_KNOWN`).
"""

from __future__ import annotations

import pathlib
import re
import sys
import types
import warnings

import pdoc
import pdoc.render

import trailrank

_ROOMS = ("trailrank", "pipeline", "serving", "trainer", "tpu_configs", "feature_specs")
_LEFT_OUT = "!trainer.preflight.compile_hlo"  # runs where JAX is, TensorFlow is not
_KNOWN = (
    # The signature of a NamedTuple's constructor has no module to look its types up in;
    # the reference then shows them as they are written.
    r"Error parsing type annotation .*\.__init__\. Import of .* failed",
    r"Couldn't import trainer\.preflight\.compile_hlo",
    r"Suppressed execution of",  # of libraries, while they are imported
)


def main(argv: list[str]) -> int:
    """Writes the reference to the directory given; the exit status."""
    if len(argv) != 2:
        print(f"usage: python {argv[0]} DIRECTORY", file=sys.stderr)
        return 2
    out = pathlib.Path(argv[1])
    _load_names(trailrank)
    pdoc.render.configure(docformat="google", footer_text="Trailrank")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        pdoc.pdoc(*_ROOMS, _LEFT_OUT, output_directory=out)
    faults = [w for w in told if _is_fault(w)]
    for fault in faults:
        print(f"docs: {fault.message}", file=sys.stderr)
    print(f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages")
    return 1 if faults else 0


def _load_names(package: types.ModuleType) -> None:
    """Imports what the package imports lazily: pdoc looks at what is there."""
    for name in getattr(package, "__all__", ()):
        getattr(package, name)


def _is_fault(told: warnings.WarningMessage) -> bool:
    """Whether pdoc itself warns, and of something that can be mended here."""
    if "pdoc" not in pathlib.Path(told.filename).parts:
        return False
    return not any(re.search(known, str(told.message)) for known in _KNOWN)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
