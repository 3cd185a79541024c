"""TFMA measures the same of the same exported model and examples."""

import pytest

from pipeline.evaluation.model_evaluation import evaluate_models
from pipeline.evaluation.tfma_config import tfma_eval_config
from tests.pipeline.evaluation.tiny import SLICED


@pytest.mark.slow
def test_tfma_finds_the_same(export, days, tmp_path):
    import tensorflow_model_analysis as tfma

    model, config = export("for_tfma", 4.0), tfma_eval_config(SLICED)
    (split, folder) = days[0]
    result = tfma.run_model_analysis(
        tfma.default_eval_shared_model(model, eval_config=config),
        config,
        data_location=f"{folder}/Split-{split}/*.gz",
        output_path=str(tmp_path),
    )
    (found,) = evaluate_models(SLICED, [model], days[:1])
    for slice_name, tasks in {"": found.tasks, **found.slices}.items():
        key = (("slice_liked", int(slice_name[-1])),) if slice_name else ()
        metrics = dict(result.slicing_metrics)[key]
        for task in tasks:
            found_there = metrics[task.task][""]
            own = {name: v.get("doubleValue") for name, v in found_there.items()}
            for name, value in {
                "calibration": task.calibration,
                "mean_label": task.label_mean,
                "mean_prediction": task.prediction_mean,
            }.items():
                assert own[name] == pytest.approx(value, rel=1e-5), name
            if task.kind == "binary":
                assert own["auc"] == pytest.approx(task.auc, abs=5e-4)
            else:
                error = own["root_mean_squared_error"]
                assert error == pytest.approx(task.rmse, rel=1e-5)
