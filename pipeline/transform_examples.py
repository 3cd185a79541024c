"""The Transform step alone, from Python: raw examples -> what a model reads.

In a run of the whole pipeline TFX's own Transform does the same with the same
`preprocessing_fn`.
"""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from feature_specs import Spec, locks, views
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import (
    Place,
    PlaceError,
    absolute,
    as_glob,
    check_directory,
    check_is_no_glob,
    check_writable_directory,
)
from pipeline.quiet import load_beam, quiet_imports
from pipeline.reporting.files import read_json

if TYPE_CHECKING:
    import apache_beam as beam

_REPORT = "report.json"


class Transformed(NamedTuple):
    """Where the step's two outputs lie.

    Attributes:
        examples: Directory with a folder `Split-day-YYYYMMDD` a day, for `train`, and
            the `report.json` of the examples that they were made of.
        graph: Directory of the transform, for `export`.
    """

    examples: str
    graph: str


def transform_examples(spec: SpecLike, examples: Place, out: Place) -> Transformed:
    """Encodes the examples of `make_examples` as a model reads them.

    Vocabularies and scales are those of the training days; `encoding.json` names them,
    for `train`. It runs in this process: for logs of some gigabytes take
    `run_pipeline`, whose steps run where Beam is told to.

    >>> found = trailrank.transform_examples("tiny.yaml", "examples", "transformed")
    >>> sorted(os.listdir(found.examples))
    ['Split-day-20240101', 'Split-day-20240102', 'encoding.json', 'report.json']

    Args:
        spec: What the examples hold: a shipped name, a file or a spec.
        examples: Directory of this machine that `make_examples` wrote.
        out: Gets `transformed_examples/` and `transform_graph/`; a new directory.

    Raises:
        PlaceError: There are no examples, or `out` holds something already.
        LockedError: Another command writes to `out`.
    """
    known, source = as_spec(spec), pathlib.Path(examples)
    remedy = "Name the directory that `make_examples` wrote."
    check_directory("examples", source, remedy, _REPORT)
    check_writable_directory("out", out)
    check_is_no_glob("out", out)
    target = pathlib.Path(absolute(out))
    with locks.owned(target):
        return _transform(known, source, target)


def _transform(spec: Spec, source: pathlib.Path, target: pathlib.Path) -> Transformed:
    if any(path.name != locks.NAME for path in target.iterdir()):
        raise PlaceError(
            f"out {target}: must be a new directory, as it holds something. Name "
            "another, or empty it."
        )
    train, evaluation = _checked(source)
    load_beam()
    # Nothing half-made may be taken for the whole, which would be days too few.
    with tempfile.TemporaryDirectory(dir=target, prefix=".unfinished-") as folder:
        unfinished = _outputs(folder)
        _run(spec, source, train, evaluation, unfinished)
        # As many rows as went in; who reads them can count.
        shutil.copy(source / _REPORT, unfinished.examples)
        _write_encoding(unfinished)
        found = _outputs(target)
        for made, place in zip(unfinished, found, strict=True):
            os.rename(made, place)
    return found


def _checked(source: pathlib.Path) -> tuple[list[str], list[str]]:
    """Splits to train on and to evaluate on; all their files are whole."""
    path = source / _REPORT
    report = read_json(path, "Make the examples again.")
    with quiet_imports():
        from trainer.days.shards import check_whole
    try:
        train, evaluation = list(report["train"]), list(report["evaluation"])
    except (KeyError, TypeError) as error:
        raise PlaceError(
            f"{path}: is no report of examples ({error!r}). Make the examples again."
        ) from None
    for split in (*train, *evaluation):
        folder = source / f"Split-{split}"
        files = sorted(map(str, folder.glob("*.gz")))
        if not files:
            raise PlaceError(
                f"{folder}: must hold the split's examples, as {path} says. Got none. "
                "Make the examples again."
            )
        check_whole(files)
    return train, evaluation


def _outputs(directory: Place) -> Transformed:
    names = ("transformed_examples", "transform_graph")
    return Transformed(*(os.path.join(directory, name) for name in names))


def _run(
    spec: Spec,
    source: pathlib.Path,
    train: list[str],
    evaluation: list[str],
    target: Transformed,
) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.examples.build import LOCAL_RUNNER

    with quiet_imports():
        import tensorflow_transform.beam as tft_beam

        from pipeline.transform import preprocessing_fn

    function = functools.partial(
        preprocessing_fn, custom_config={"spec": views.text(spec, views.ENCODING)}
    )
    # No state cache: the reason stands beside the DAG's Beam arguments.
    options = PipelineOptions(
        [f"--runner={LOCAL_RUNNER}", "--max_cache_memory_usage_mb=0"]
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        beam.Pipeline(options=options) as pipeline,
        tft_beam.Context(temp_dir=scratch),
    ):
        rows, config = _read(pipeline, spec, source, train, "training days")
        fitted = (rows, config) | "Fit" >> tft_beam.AnalyzeDataset(function)
        _ = fitted | "Write graph" >> tft_beam.WriteTransformFn(target.graph)
        for split in (*train, *evaluation):
            rows, config = _read(pipeline, spec, source, [split], split)
            data = ((rows, config), fitted) | f"Encode {split}" >> (
                tft_beam.TransformDataset(output_record_batches=True)
            )
            _write(data, split, os.path.join(target.examples, f"Split-{split}"))


def _write_encoding(target: Transformed) -> None:
    """Tells `train` what the ids and scales of the examples mean."""
    from trainer.days.encoding import read_encoding

    read_encoding(target.graph).write(target.examples)


def _read(
    pipeline: beam.Pipeline,
    spec: Spec,
    source: pathlib.Path,
    splits: list[str],
    label: str,
) -> tuple[beam.PCollection, Any]:
    """Record batches of some splits, and how tensors are read from them."""
    from tfx_bsl.public import tfxio

    from pipeline.schema import build_schema

    files = tfxio.TFExampleRecord(
        [os.path.join(as_glob(source), f"Split-{split}", "*.gz") for split in splits],
        schema=build_schema(spec),
        telemetry_descriptors=["trailrank"],
    )
    rows = pipeline | f"Read {label}" >> files.BeamSource()
    return rows, files.TensorAdapterConfig()


def _write(data: Any, split: str, directory: str) -> None:
    """Transformed record batches -> a compressed TFRecord file of tf.Examples."""
    import apache_beam as beam
    from tfx_bsl.coders import example_coder

    batches, metadata = data
    coder = example_coder.RecordBatchToExamplesEncoder(metadata.schema)
    _ = (
        batches
        | f"Encode examples {split}" >> beam.FlatMapTuple(lambda b, _: coder.encode(b))
        | f"Write {split}"
        >> beam.io.WriteToTFRecord(
            os.path.join(directory, "transformed_examples"), file_name_suffix=".gz"
        )
    )
