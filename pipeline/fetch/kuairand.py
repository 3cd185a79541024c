"""KuaiRand (Gao et al., CIKM '22): its three releases, from Zenodo to CSV files.

    OUT/KuaiRand-Pure/data/log_*.csv    what `--spec kuairand` reads
    OUT/KuaiRand-Pure/fetched.json      the archive's checksum, and each file's size

The command goes through the builder in `kuairand_tfds`, which gives the same files as a
data set of TFDS, too.
"""

from __future__ import annotations

import dataclasses
import pathlib

import rich.progress

from pipeline.fetch.disk import sole_writer
from pipeline.fetch.download import Patience, RemoteFile, download, verify
from pipeline.fetch.unpack import is_complete, unpack

BASE_URL = "https://zenodo.org/records/10439422/files"
LICENCE = "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/"
HOMEPAGE = "https://kuairand.com"
CITATION = """\
@inproceedings{gao2022kuairand,
  title = {KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly
           Exposed Videos},
  author = {Chongming Gao and Shijun Li and Yuan Zhang and Jiawei Chen and Biao Li
            and Wenqiang Lei and Peng Jiang and Xiangnan He},
  booktitle = {Proceedings of the 31st ACM International Conference on Information
               and Knowledge Management},
  series = {CIKM '22},
  year = {2022},
  doi = {10.1145/3511808.3557624},
}"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """One of KuaiRand's three sizes.

    Attributes:
        name: Of the archive and of the folder in it.
        md5: Of the archive, as Zenodo publishes it. TensorFlow Datasets' registry
            wants a SHA-256 and an exact size, which nobody publishes, so the md5 is
            checked by us and TFDS checks nothing.
        unpacked_bytes: About, from KuaiRand's README; rounded up to be safe.
        base_url: The folder of the archive.
    """

    name: str
    md5: str
    unpacked_bytes: int
    base_url: str = BASE_URL
    patience: Patience = dataclasses.field(default_factory=Patience)

    @property
    def file(self) -> RemoteFile:
        """The archive."""
        return RemoteFile(
            url=f"{self.base_url}/{self.name}.tar.gz",
            checksum=f"md5:{self.md5}",
            patience=self.patience,
        )


RELEASES = {
    "kuairand-pure": Release(
        name="KuaiRand-Pure",
        md5="0820331067a3784d9691136f772b35a7",
        unpacked_bytes=210_000_000,
    ),
    "kuairand-1k": Release(
        name="KuaiRand-1K",
        md5="6b0b9c8222d67fcd4c676218edca3f1f",
        unpacked_bytes=4_700_000_000,
    ),
    "kuairand-27k": Release(
        name="KuaiRand-27K",
        md5="3e3c799a24e2d23a4d2c757fbf9adf59",
        unpacked_bytes=50_000_000_000,
    ),
}


def data_folder(release: Release, out: pathlib.Path) -> pathlib.Path:
    """Where the CSV files are after a fetch into `out`."""
    return out / release.name / "data"


def is_fetched(release: Release, out: pathlib.Path) -> bool:
    """Whether an earlier fetch into `out` finished and its files are still whole.

    Raises:
        FetchError: There is a folder of that name, but not a whole one of ours.
    """
    return is_complete(out / release.name, release.file.checksum)


def fetch(
    release: Release,
    out: pathlib.Path,
    progress: rich.progress.Progress,
    archive: pathlib.Path | None = None,
) -> pathlib.Path:
    """Downloads and unpacks a release; returns the folder of its CSV files.

    An earlier call that was killed at any point is taken up where it stopped, one that
    finished is left as it is.

    Args:
        out: Created where it is missing.
        archive: The archive, where it is already; otherwise it is downloaded into
            `out`, and stays there.

    Raises:
        FetchError: With what to do.
    """
    with sole_writer(out):
        if is_fetched(release, out):
            return data_folder(release, out)
        if archive is None:
            archive = download(release.file, out, progress, release.unpacked_bytes)
        else:
            verify(archive, release.file, progress)
        unpack(
            archive,
            out / release.name,
            release.file.checksum,
            release.unpacked_bytes,
            progress,
        )
    return data_folder(release, out)
