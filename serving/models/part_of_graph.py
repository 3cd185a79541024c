"""Loads no more of a SavedModel than some of its signatures need.

TensorFlow improves all of a graph before it runs any of it. For a model that is asked a
few times, as a gate asks those that a new one is compared with, that takes most of the
time; what the other signatures do is half of an export.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2

_INIT = "__saved_model_init_op"


def load_part(
    session: tf.compat.v1.Session,
    path: str,
    meta_graph: meta_graph_pb2.MetaGraphDef,
    names: Sequence[str],
) -> None:
    """Makes some signatures of an exported model ready in a session.

    Args:
        session: Its graph is empty, and the default one.
        path: Directory of a SavedModel that `tf.saved_model.save` wrote.
        meta_graph: The graph in it.
        names: Of signatures that it has.

    Raises:
        tf.errors.OpError: The variables or a table cannot be read.
    """
    part = meta_graph_pb2.MetaGraphDef()
    part.CopyFrom(meta_graph)
    init = meta_graph.signature_def[_INIT].outputs[_INIT].name
    saver = meta_graph.saver_def
    wanted = [saver.restore_op_name, saver.save_tensor_name, init]
    for name in names:
        signature = meta_graph.signature_def[name]
        wanted += [info.name for info in signature.outputs.values()]
        wanted += [info.name for info in signature.inputs.values()]
    keep(part.graph_def, [name for name in wanted if name])
    restored = tf.compat.v1.train.import_meta_graph(part)
    if restored is not None:
        restored.restore(session, os.path.join(path, "variables", "variables"))
    if init:
        assets = {
            asset.tensor_info.name: os.path.join(path, "assets", asset.filename)
            for asset in meta_graph.asset_file_def
        }
        session.run(init, assets)


def keep(graph: tf.compat.v1.GraphDef, tensors: Iterable[str]) -> None:
    """Takes everything out of a graph that some of its tensors do not depend on."""
    nodes = {node.name: node for node in graph.node}
    needed: dict[str, node_def_pb2.NodeDef] = {}
    left = [_node_of(tensor) for tensor in tensors]
    while left:
        name = left.pop()
        if name not in needed:
            needed[name] = nodes[name]
            left += map(_node_of, nodes[name].input)
    functions = {found.signature.name: found for found in graph.library.function}
    called = _called(needed.values(), functions)
    kept = [node for node in graph.node if node.name in needed]
    del graph.node[:], graph.library.function[:], graph.library.gradient[:]
    graph.node.extend(kept)
    graph.library.function.extend(functions[name] for name in sorted(called))


def _node_of(tensor: str) -> str:
    """`^name`, `name:1` -> `name`."""
    return tensor.lstrip("^").partition(":")[0]


def _called(
    nodes: Iterable[node_def_pb2.NodeDef],
    functions: Mapping[str, function_pb2.FunctionDef],
) -> set[str]:
    """Names of the functions that some nodes, or functions called by them, call."""
    found: set[str] = set()
    left = list(nodes)
    while left:
        node = left.pop()
        names = {node.op}
        for value in node.attr.values():
            names |= {value.func.name, *(one.name for one in value.list.func)}
        for name in names & functions.keys() - found:
            found.add(name)
            left += functions[name].node_def
    return found
