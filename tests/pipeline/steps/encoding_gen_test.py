"""EncodingGen as TFX runs it: artifacts and parameters in, a transform graph out."""

import json

from tfx.types import standard_artifacts

from pipeline.steps.encoding_gen import EncodingGen
from tests.pipeline.encoding.make_test import _FIRST, _SECOND, _SPEC, _write_day
from trainer.days.encoding import read_encoding


def _run(train_days, graph, **parameters):
    examples, output = (
        standard_artifacts.Examples(),
        standard_artifacts.TransformGraph(),
    )
    examples.uri, output.uri = train_days[-1][1], str(graph)
    defaults = {"earlier": "", "digest_of_earlier": "", "fixed": 0, "refresh": 0}
    EncodingGen.EXECUTOR_SPEC.executor_class().Do(
        {"examples": [examples]},
        {"transform_graph": [output]},
        {
            "spec": _SPEC.text,
            "train_days": json.dumps(train_days),
            **defaults,
            **parameters,
        },
    )
    return read_encoding(str(graph))


def test_it_extends_the_last_encoding_or_takes_it_or_makes_it_anew(tmp_path):
    first = _write_day(tmp_path / "1", _FIRST, [5, 5, 3])
    second = _write_day(tmp_path / "2", _SECOND, [8, 8, 8])
    base = _run([first], tmp_path / "a")
    assert base.vocabularies == {"tab": ("5", "3")}
    earlier = {"earlier": str(tmp_path / "a"), "digest_of_earlier": base.digest}
    longer = _run([second], tmp_path / "b", **earlier)
    assert longer.vocabularies == {"tab": ("5", "3", "8")}
    assert _run([second], tmp_path / "c", **earlier, fixed=1) == base
    anew = _run([first, second], tmp_path / "d", **earlier, refresh=1)
    assert anew.vocabularies == {"tab": ("8", "5", "3")}
    kept = _run([first, second], tmp_path / "e", **earlier, refresh=2)
    assert (kept.vocabularies, kept.scales) == (anew.vocabularies, base.scales)
    assert anew.scales != base.scales
