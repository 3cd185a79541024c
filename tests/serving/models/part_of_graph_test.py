"""Part of a SavedModel: what a signature needs is there, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from serving.models.part_of_graph import keep
from serving.models.session import LoadError, load_signatures, read_meta_graph


class _Toy(tf.Module):
    """A table from a file, a variable that one signature has, a branch."""

    def __init__(self, words: str):
        super().__init__()
        self.factor = tf.Variable(3)
        self.unused = tf.Variable(5)
        initializer = tf.lookup.TextFileInitializer(
            words,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def place(self, word):
        place = tf.cast(self.table.lookup(word), tf.int32)
        # Functions that are reached through an attribute alone: one, and a list.
        few = tf.cond(tf.size(word) > 1, lambda: self.factor * place, lambda: place)
        branches = [lambda: few, lambda: few + 100, lambda: few]
        return {"place": tf.switch_case(tf.size(word) - 1, branches)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="x")])
    def other(self, x):
        return {"y": self.unused * x}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("part")
    (folder / "words").write_text("ant\nbee\ncat\n")
    module = _Toy(str(folder / "words"))
    signatures = {"place": module.place, "other": module.other}
    tf.saved_model.save(module, str(folder / "model"), signatures=signatures)
    return str(folder / "model")


def test_tables_variables_and_branches_of_a_part_are_there(toy):
    found = load_signatures(toy, ["place"])
    assert list(found) == ["place"]
    words = np.array([b"cat", b"?", b"bee"], object)
    assert found["place"]({"word": words})["place"].tolist() == [6, -3, 3]
    assert found["place"]({"word": words[:1]})["place"].tolist() == [2]
    assert found["place"]({"word": words[:2]})["place"].tolist() == [106, 97]


def test_what_other_signatures_need_is_left_out(toy):
    graph = read_meta_graph(toy).graph_def
    signature = read_meta_graph(toy).signature_def["other"]
    before = len(graph.library.function)
    keep(graph, [info.name for info in signature.outputs.values()])
    assert 0 < len(graph.library.function) < before
    ops = {node.op for node in graph.node}
    ops |= {n.op for f in graph.library.function for n in f.node_def}
    assert "Mul" in ops and "LookupTableFindV2" not in ops and "If" not in ops
    with tf.Graph().as_default():
        tf.import_graph_def(graph, name="")  # whole in itself


def test_a_signature_that_there_is_not_is_named(toy):
    with pytest.raises(LoadError, match="no signature 'rank'. It has other, place"):
        load_signatures(toy, ["rank"])


def test_a_part_is_loaded_without_tensorflows_advice(toy, capfd):
    load_signatures(toy, ["place"])
    told = capfd.readouterr()
    assert "deprecat" not in told.err and "Restoring" not in told.err
