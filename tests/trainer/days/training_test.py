"""A training step: what it reads and updates is in order, in the graph that runs too."""

import collections
import dataclasses

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from feature_specs.model import WeightsConfig
from tpu_configs import SliceConfig
from trainer import strategy
from trainer.days.training import Training

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)


def _optimized_graph(step, batch):
    """The graph of a step as TensorFlow runs it, its own optimizations done."""
    running = context.context()
    running.enable_graph_collection()
    running.enable_run_metadata()
    try:
        step(batch)
        found = running.export_run_metadata().function_graphs
    finally:
        running.disable_run_metadata()
        running.disable_graph_collection()
    graphs = [one.post_optimization_graph for one in found]
    return max(graphs, key=lambda graph: len(graph.node))


def _unordered(graph) -> list[tuple[str, str]]:
    """(read, update) of one variable, of which neither waits for the other."""
    waits = {
        node.name: [name.lstrip("^").split(":")[0] for name in node.input]
        for node in graph.node
    }

    def before(name: str) -> set[str]:
        found, todo = set(), [name]
        while todo:
            new = set(waits.get(todo.pop(), ())) - found
            found |= new
            todo += new
        return found

    reads, updates = collections.defaultdict(list), collections.defaultdict(list)
    for node in graph.node:
        if node.op in ("ReadVariableOp", "ResourceGather"):
            reads[waits[node.name][0]].append(node.name)
        elif node.op.startswith(("ResourceApply", "ResourceScatter", "Assign")):
            updates[waits[node.name][0]].append(node.name)
    assert len(reads) > 20 and len(updates) > 20
    return [
        (read, update)
        for variable, found in updates.items()
        for update in found
        for read in reads[variable]
        if read not in before(update) and update not in before(read)
    ]


@pytest.mark.parametrize(
    "weights",
    [
        WeightsConfig(kind="uncertainty", surgery=True),
        WeightsConfig(kind="gradnorm", surgery=True),
        WeightsConfig(decay={"click": 0.5}),
    ],
    ids=lambda weights: weights.kind,
)
def test_no_update_races_with_a_reading(spec, config, make_rows, weights):
    """TensorFlow's optimizations lost such an order once: the weights that surgery read
    were, now and then, those of the next step."""
    config = dataclasses.replace(config, weights=weights)
    training = Training(spec, config, SLICE, strategy.create("cpu"), seed=0)
    step = tf.function(training.one_step, autograph=False)
    assert _unordered(_optimized_graph(step, make_rows(64, seed=0).batch())) == []


@pytest.mark.parametrize("of_a_tpu", [False, True])
def test_tables_may_be_read_as_on_a_tpu_elsewhere(spec, config, make_rows, of_a_tpu):
    """There each large table is gathered from once, before all else."""
    tables = {
        name: dataclasses.replace(table, buckets=5_000)
        for name, table in spec.tables.items()
    }
    large = dataclasses.replace(spec, tables=tables)
    training = Training(
        large, config, SLICE, strategy.create("cpu"), seed=0, tables_of_a_tpu=of_a_tpu
    )
    features = make_rows(8, seed=0).batch().features
    (network,) = training.ranker.networks
    found = network.embeddings.look_up_ahead(features).keys() - features.keys()
    assert bool(found) is of_a_tpu
