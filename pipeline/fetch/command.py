"""The command `trailrank fetch`.

    trailrank fetch kuairand-pure --out DATA
    trailrank pipeline run --spec kuairand --logs DATA/KuaiRand-Pure/data --root RUN

`trailrank fetch --help` is the page for its users.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import rich.console

from feature_specs.flags import ArgumentParser
from pipeline.fetch import kuairand, movielens
from pipeline.fetch.download import progress_bars

_TFDS = "tfds:"
_NAMES = (*kuairand.RELEASES, "movielens")
_CHOICES = f"{', '.join(_NAMES)}, or {_TFDS}NAME"
_DESCRIPTION = """\
Brings a public data set here, as the files that a shipped spec reads.

data sets:
  name            download  unpacked  what it is
  kuairand-pure    45 MB     194 MB   KuaiRand, 2.6 million impressions of 27,285 users
                                      on 7,583 videos; histories have gaps
  kuairand-1k       1 GB     4.3 GB   KuaiRand, 11.8 million impressions, whole
                                      histories of 1,000 users
  kuairand-27k    9.2 GB      46 GB   KuaiRand, 323 million impressions, whole
                                      histories of 27,285 users
  movielens         5 MB       2 MB   MovieLens 100k, 100,000 ratings of 943 users
  tfds:NAME                           any data set of TensorFlow Datasets, prepared in
                                      --out: tfds:movielens/25m-ratings
"""

_EPILOG = f"""\
examples:
  trailrank fetch kuairand-pure --out DATA
  trailrank pipeline run --spec kuairand --logs DATA/KuaiRand-Pure/data --root RUN

  trailrank fetch movielens --out ML
  trailrank pipeline run --spec movielens --logs ML --root RUN --eval_days 23

  trailrank fetch tfds:movielens/100k-ratings --out TFDS
  trailrank pipeline run --spec movielens_tfds --logs TFDS --root RUN --eval_days 23

A download that broke off or was stopped goes on where it was when the same command is
run again, and one that is finished is not done again. Every archive is checked against
its published checksum. kuairand-* with --tfds writes a copy as a data set of TFDS, too
(4,000 rows a second).

without a network:
  Download the archive on another machine, copy it here, and name it with --archive.
    {kuairand.BASE_URL}/KuaiRand-Pure.tar.gz  (-1K, -27K)
    {movielens.ARCHIVE.url}
  movielens also reads RecBole's copy (--atomic): ml-100k.inter, .user and .item, which
  are in RecBole's package, in recbole/dataset_example/ml-100k.

terms of use:
  KuaiRand   {kuairand.LICENCE}
             Gao et al., KuaiRand: An Unbiased Sequential Recommendation Dataset with
             Randomly Exposed Videos, CIKM 2022, doi 10.1145/3511808.3557624
  MovieLens  GroupLens' terms: research, no commercial use without their permission;
             https://files.grouplens.org/datasets/movielens/ml-100k-README.txt
             Harper and Konstan, The MovieLens Datasets: History and Context,
             ACM TiiS 5(4), 2015, doi 10.1145/2827872
"""


def run(argv: Sequence[str]) -> int:
    """`trailrank fetch ...`; returns the exit status."""
    found = parser()
    args = found.parse_args(argv)
    is_tfds = args.data_set.startswith(_TFDS)
    if not is_tfds and args.data_set not in _NAMES:
        found.error(f"data_set: choose from {_CHOICES}; not {args.data_set}")
    if is_tfds and (args.archive or args.tfds):
        found.error(f"--archive and --tfds are not for {args.data_set}")
    if args.tfds and args.data_set not in kuairand.RELEASES:
        found.error(f"--tfds is for kuairand-*, not for {args.data_set}")
    if args.atomic and args.data_set != "movielens":
        found.error(f"--atomic is for movielens, not for {args.data_set}")
    if args.atomic and args.archive:
        found.error("--atomic and --archive are two sources: give one of them")
    console = rich.console.Console()
    try:
        if is_tfds:
            _fetch_tfds(args, console)
        elif args.data_set == "movielens":
            _fetch_movielens(args, console)
        else:
            _fetch_kuairand(args, console)
    except KeyboardInterrupt:
        console.print("Run the same command again to go on from here.")
        raise
    return 0


def _fetch_kuairand(args: argparse.Namespace, console: rich.console.Console) -> None:
    release = kuairand.RELEASES[args.data_set]
    data = kuairand.data_folder(release, args.out)
    if kuairand.is_fetched(release, args.out):
        _say(console, f"{data} is complete already: nothing to do.")
    else:
        from pipeline.fetch import kuairand_tfds  # seconds, once something is to do

        builder = kuairand_tfds.builder_of(args.data_set, args.out)
        with progress_bars(console) as progress:
            builder.fetch(args.out, progress, args.archive)
        _say(console, f"{data} is complete.")
        if args.archive is None:
            _say(console, f"{args.out / release.file.name} is needed no more.")
    if args.tfds:
        from pipeline.fetch import kuairand_tfds

        builder = kuairand_tfds.builder_of(args.data_set, args.out)
        builder.prepare(args.out)
        _say(console, f"{builder.data_path} has it as a data set of TFDS.")
    _say(
        console,
        f"Licence: {kuairand.LICENCE}\nTrain on it:\n"
        f"  trailrank pipeline run --spec kuairand --logs {data} --root RUN",
    )


def _fetch_movielens(args: argparse.Namespace, console: rich.console.Console) -> None:
    if args.atomic:
        frames = movielens.read_atomic(args.atomic)
    else:
        with progress_bars(console) as progress:
            frames = movielens.fetch(args.out, progress, args.archive)
    movielens.write(frames, args.out)
    ratings = frames["ratings"]
    _say(
        console,
        f"{args.out}: {ratings.height:,} ratings of "
        f"{ratings['user_id'].n_unique():,} users. Train on them:\n  trailrank "
        f"pipeline run --spec movielens --logs {args.out} --root RUN --eval_days 23",
    )


def _fetch_tfds(args: argparse.Namespace, console: rich.console.Console) -> None:
    from pipeline.fetch.tfds_data import prepare

    name = args.data_set.removeprefix(_TFDS)
    info = prepare(name, args.out)
    rows = ", ".join(f"{s} {i.num_examples:,}" for s, i in info.splits.items())
    _say(
        console,
        f"{args.out}: {info.full_name} ({rows} rows). A spec reads it with\n"
        f"  log: {{format: tfds, tfds: {{name: {name}, split: "
        f"{next(iter(info.splits))}}}, ...}}\nand --logs {args.out}",
    )


def _say(console: rich.console.Console, text: str) -> None:
    """Text with paths: neither markup nor line breaks of ours may change them."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(
        prog="trailrank fetch", description=_DESCRIPTION, epilog=_EPILOG
    )
    add = found.add_argument
    add("data_set", help=_CHOICES)
    add("--out", required=True, type=pathlib.Path, help="directory to write")
    add("--archive", type=pathlib.Path, help="the archive, downloaded elsewhere")
    add("--tfds", action="store_true", help="prepare kuairand-* as a TFDS, too")
    add("--atomic", type=pathlib.Path, help="directory with RecBole's ml-100k files")
    return found
