"""The step that tries an exported model. No postponed annotations: TFX reads them."""

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from feature_specs import read_spec
from pipeline.gates import blessing as marks
from pipeline.gates.infra import check_export, write_report


@component
def InfraValidator(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    spec: Parameter[str],
) -> None:
    """Loads and asks the model in a process with TensorFlow alone, and says if it may
    serve.

    A refused model is no failed step, or the next run would try it again: the artifact
    holds `INFRA_BLESSED` or `INFRA_NOT_BLESSED`, the property `blessed`, and the report
    that `pipeline.gates.infra.read_report` reads.

    Args:
        model: The Trainer's.
        blessing: What came of it.
        spec: The spec's view for evaluation, with `evaluation.infra`.
    """
    limits = read_spec(spec).evaluation.infra
    report = check_export(path_utils.serving_model_path(model.uri), limits)
    write_report(blessing.uri, report)
    marks.write_blessing(blessing.uri, report.blessed, marks.INFRA)
    marks.mark(blessing, report.blessed)
