"""KuaiRand's logs as a TensorFlow Dataset, and where `trailrank fetch` gets them.

    import tensorflow_datasets as tfds
    import pipeline.fetch.kuairand_tfds  # makes the name known

    builder = tfds.builder("kuairand/pure")  # or kuairand/1k, kuairand/27k
    builder.download_and_prepare()
    rows = builder.as_dataset(split="standard")  # or "random"

The archive comes with our own download (`download.py` says why) into TFDS' download
directory, and is checked by its md5. TFDS' manual directory goes first: it may hold the
archive, or what `trailrank fetch` made of it.

`trailrank fetch` stops at the CSV files, which `trailrank pipeline` reads; with
`--tfds` it prepares the data set, too. TFDS writes its copy row by row, some 4,000 a
second: Pure takes ten minutes, 1K an hour, 27K a day.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds

from pipeline.fetch import kuairand
from pipeline.fetch.download import progress_bars
from pipeline.fetch.errors import FetchError

SPLITS = ("standard", "random")

# Every column of the logs, in their order, as KuaiRand documents them.
COLUMNS = {
    "user_id": "The user, numbered anew in each release.",
    "video_id": "The video, numbered anew in each release.",
    "date": "Day of the impression in China, YYYYMMDD.",
    "hourmin": "Hour and minute of the impression in China, HHMM.",
    "time_ms": "Begin of the impression, unix milliseconds.",
    "is_click": "Two columns of covers: clicked. A single column: a valid play, that "
    "is longer than 7 s, or to the end of a video up to 7 s.",
    "is_like": "Liked the video.",
    "is_follow": "Followed its author.",
    "is_comment": "Wrote a comment.",
    "is_forward": "Forwarded the video.",
    "is_hate": "Said to dislike it.",
    "long_view": "Watched 18 s, or to the end of a shorter video.",
    "play_time_ms": "Watched, milliseconds.",
    "duration_ms": "Length of the video, milliseconds.",
    "profile_stay_time": "Time on the author's profile.",
    "comment_stay_time": "Time in the comments.",
    "is_profile_enter": "Opened the author's profile.",
    "is_rand": "The video was drawn at random instead of recommended.",
    "tab": "Where in the app, 0 to 14.",
}


@dataclasses.dataclass(eq=False)
class KuaiRandConfig(tfds.core.BuilderConfig):
    """A release as TFDS knows it; by default the one that is called alike."""

    release: kuairand.Release | None = None


class KuaiRand(tfds.core.GeneratorBasedBuilder):
    """A release's impressions, a split for each feed, in the order of the files."""

    name = "kuairand"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Not needed with a network. Without one, put the release's archive (such as "
        f"KuaiRand-Pure.tar.gz) from {kuairand.BASE_URL} here, or the folder that "
        "`trailrank fetch` made of it."
    )
    BUILDER_CONFIGS = [
        KuaiRandConfig(name=name.removeprefix("kuairand-"), description=release.name)
        for name, release in kuairand.RELEASES.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Impressions of short videos with a dozen signals of feedback, "
            "a part of them drawn at random.",
            features=tfds.features.FeaturesDict(
                {
                    name: tfds.features.Scalar(np.int64, doc=text)
                    for name, text in COLUMNS.items()
                }
            ),
            homepage=kuairand.HOMEPAGE,
            license=kuairand.LICENCE,
            citation=kuairand.CITATION,
            disable_shuffling=True,  # the logs' order is kept
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, int]]]]:
        data = self._data_folder(dl_manager)
        return {
            split: self._generate_examples(sorted(data.glob(f"log_{split}_*.csv")))
            for split in SPLITS
        }

    def _data_folder(self, dl_manager: tfds.download.DownloadManager) -> pathlib.Path:
        """The CSV files: unpacked by hand, from an archive by hand, or downloaded."""
        archive = None
        manual = _manual_dir(dl_manager)
        if manual is not None:
            if kuairand.is_fetched(self.release, manual):
                return kuairand.data_folder(self.release, manual)
            at_hand = manual / self.release.file.name
            archive = at_hand if at_hand.is_file() else None
        out = pathlib.Path(dl_manager.download_dir)
        with progress_bars(rich.console.Console()) as progress:
            return self.fetch(out, progress, archive)

    @property
    def release(self) -> kuairand.Release:
        """The builder's own."""
        config = self.builder_config
        return config.release or kuairand.RELEASES[f"kuairand-{config.name}"]

    def fetch(
        self,
        out: pathlib.Path,
        progress: rich.progress.Progress,
        archive: pathlib.Path | None = None,
    ) -> pathlib.Path:
        """The release's CSV files, downloaded and unpacked in `out`: their folder."""
        return kuairand.fetch(self.release, out, progress, archive)

    def prepare(self, out: pathlib.Path) -> None:
        """The data set, of the CSV files that `fetch` has left in `out`."""
        self.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=out, try_download_gcs=False
            )
        )

    def _generate_examples(
        self, paths: list[pathlib.Path]
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """(number of the row in the split, its columns)."""
        number = 0
        for path in paths:
            with path.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    yield number, _as_integers(row, path)
                    number += 1


def builder_of(name: str, data_dir: pathlib.Path) -> KuaiRand:
    """The builder of a release as `kuairand.RELEASES` calls it."""
    return KuaiRand(config=name.removeprefix("kuairand-"), data_dir=data_dir)


def _manual_dir(dl_manager: tfds.download.DownloadManager) -> pathlib.Path | None:
    try:
        return pathlib.Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS tells that it is missing or empty
        return None


def _as_integers(row: dict[str, str], path: pathlib.Path) -> dict[str, int]:
    try:
        return {name: int(row[name]) for name in COLUMNS}
    except (KeyError, TypeError, ValueError) as error:
        raise FetchError(
            f"{path}: a log's row must have an integer in each of its "
            f"{len(COLUMNS)} columns, got {row} ({error!r})."
        ) from None
