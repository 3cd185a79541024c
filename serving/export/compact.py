"""A traced function -> the same function in a fraction of its ops.

A request pays for every op of a graph, a few microseconds each, however few its rows.
Functions are inlined, weights that are small become constants, and what follows from
constants alone, or is used by nobody, is worked out or dropped by TensorFlow's own
optimizer of graphs (Grappler). A server runs that when it loads a model, but it can
fold no variable, and leaves functions that hold state as they are.

Large tables stay variables: they are in the SavedModel once, for all signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.grappler import tf_optimizer

LARGEST_CONSTANT_BYTES = 1 << 20  # of one weight; those of a layer are far below it

_INLINE = ("function",)
_FOLD = ("pruning", "constfold", "shape", "arithmetic", "dependency", "constfold")
_ROUNDS = 2  # what one round makes constant lets the next fold more


def compact(
    function: tf.types.experimental.ConcreteFunction, variables: Iterable[tf.Variable]
) -> tf.types.experimental.ConcreteFunction:
    """The same inputs and outputs, of the same values, for the weights of now.

    Args:
        function: Of one dictionary of tensors, to a dictionary of tensors.
        variables: Those whose values no longer change.
    """
    graph_def = _optimized(function, function.graph.as_graph_def(), _INLINE)
    captures = _captures(function)
    small = {
        v.handle._id: v  # of the eager tensor: the only thing that a capture shares
        for v in variables
        if v.shape.num_elements() * v.dtype.size <= LARGEST_CONSTANT_BYTES
    }
    frozen = {n: small[h._id] for n, h in captures.items() if h._id in small}
    _freeze(graph_def, {name: v.numpy() for name, v in frozen.items()})
    _bind_placeholders(graph_def)
    for _ in range(_ROUNDS):
        graph_def = _optimized(function, graph_def, _FOLD)
    return _function(function, graph_def, captures)


def _captures(function: tf.types.experimental.ConcreteFunction) -> dict[str, tf.Tensor]:
    """Placeholder -> the variable's or table's handle that it stands for."""
    inside = [tensor.op.name for tensor in function.graph.internal_captures]
    return dict(zip(inside, function.captured_inputs, strict=True))


def _optimized(
    function: tf.types.experimental.ConcreteFunction,
    graph_def: graph_pb2.GraphDef,
    passes: tuple[str, ...],
) -> graph_pb2.GraphDef:
    meta_graph = tf.compat.v1.train.export_meta_graph(
        graph_def=graph_def, graph=function.graph, clear_devices=True
    )
    for name in list(meta_graph.collection_def):
        del meta_graph.collection_def[name]
    ends = meta_graph_pb2.CollectionDef()
    ends.node_list.value.extend(t.name for t in (*function.inputs, *function.outputs))
    meta_graph.collection_def["train_op"].CopyFrom(ends)  # what has to be kept
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.min_graph_nodes = -1
    rewrites.optimizers.extend(passes)
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.function_optimization = rewrites.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _freeze(graph_def: graph_pb2.GraphDef, values: Mapping[str, Any]) -> None:
    """Reads of variables -> constants, where the variable's placeholder is listed."""
    nodes = {node.name: node for node in graph_def.node}

    def source(name: str) -> str:
        node = nodes[_node_name(name)]
        return source(node.input[0]) if node.op == "Identity" else node.name

    for node in list(graph_def.node):
        if node.op not in _READS or (name := source(node.input[0])) not in values:
            continue
        if node.op == "ReadVariableOp":
            _become_constant(node, values[name])
        else:
            held = graph_def.node.add()
            held.name = f"{node.name}/table"
            _become_constant(held, values[name])
            _become_gather(node, held.name)


def _bind_placeholders(graph_def: graph_pb2.GraphDef) -> None:
    """Placeholders that have an input -> Identity, which is optimized away.

    In a function nobody feeds them: they stand where a transform's inputs were.
    """
    for node in graph_def.node:
        if node.op == "PlaceholderWithDefault":
            dtype = node.attr["dtype"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = dtype


_READS = ("ReadVariableOp", "ResourceGather")


def _become_constant(node: node_def_pb2.NodeDef, value: Any) -> None:
    tensor = tf.make_tensor_proto(value)
    del node.input[:]
    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)


def _become_gather(node: node_def_pb2.NodeDef, table: str) -> None:
    indices, *controls = node.input[1:]
    node.op = "Gather"
    node.input[:] = [table, indices, *controls]
    types = {"Tparams": node.attr["dtype"].type, "Tindices": node.attr["Tindices"].type}
    node.attr.clear()
    for name, value in types.items():
        node.attr[name].type = value


def _function(
    like: tf.types.experimental.ConcreteFunction,
    graph_def: graph_pb2.GraphDef,
    captures: Mapping[str, tf.Tensor],
) -> tf.types.experimental.ConcreteFunction:
    """The graph as a function, with its placeholders bound to inputs and handles."""
    (inputs,), _ = like.structured_input_signature
    own = [t.op.name for t in like.inputs[: len(inputs)]]
    names = dict(zip(own, sorted(inputs), strict=True))
    used = {_node_name(i) for node in graph_def.node for i in node.input}
    bound = [n for n in graph_def.node if n.name in names or n.name in captures]
    for node in bound:
        graph_def.node.remove(node)
    outputs = like.structured_outputs
    ends = [t.name for t in like.outputs]

    @tf.function(input_signature=[inputs], autograph=False)
    def compacted(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        feeds = {own: features[name] for own, name in names.items() if own in used}
        graph = tf.compat.v1.get_default_graph()
        feeds |= {n: graph.capture(h) for n, h in captures.items() if n in used}
        found = tf.graph_util.import_graph_def(
            graph_def, input_map=feeds, return_elements=ends, name=""
        )
        for tensor, before in zip(found, like.outputs, strict=True):
            tensor.set_shape(before.shape)
        return dict(zip(sorted(outputs), found, strict=True))

    return compacted.get_concrete_function()


def _node_name(name: str) -> str:
    """`^a/b:1` -> `a/b`"""
    return name.lstrip("^").split(":")[0]
