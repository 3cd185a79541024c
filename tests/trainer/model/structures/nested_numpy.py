"""H-MTL and MFH written out: a dictionary of nodes, one row and one node at a time.

`Weights` only reads a layer's variables out, by code; what is done with them is written
here from MFH sec. IV, without the plan and the layout of `trainer.model.structures`.
"""

import itertools

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def mlp(x, layers):
    for kernel, bias in layers:
        x = relu(x @ kernel + bias)
    return x


def randomise(layer, seed=0, scale=0.6):
    """Random weights everywhere, the biases and combinations included."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * scale)


class Weights:
    """The weights of a nested structure by level and code of the node.

    Attributes:
        nodes: (level, code) -> [(kernel, bias), ...] of the node's MLP.
        switchers: (level, code, names of the outputs) -> function of one input, which
            gives name of the output -> vector.
        mixes: level -> [paths, nodes above], or None.
    """

    def __init__(self, structure):
        self.nodes, self.switchers, self.mixes = {}, {}, {}
        for index, level in enumerate(structure.levels):
            codes = level.plan.codes
            self.mixes[index] = None if level.mix is None else level.mix.numpy()
            for stack, nodes in zip(
                level.nodes.stacks, level.nodes.bundles, strict=True
            ):
                for group, node in enumerate(nodes):
                    layers = [_dense(dense, group) for dense in stack.stack]
                    self.nodes[index, codes[node]] = layers
            for fork in level.forks:
                for switcher, nodes in zip(fork.switchers, fork.nodes, strict=True):
                    for group, node in enumerate(nodes):
                        key = (index, codes[node], switcher.names)
                        assert key not in self.switchers
                        self.switchers[key] = _switcher(switcher, group)


def _dense(layer, group):
    return layer.kernel.numpy()[group], layer.bias.numpy()[group]


def _switcher(switcher, group):
    return {"shared_bottom": _shared_bottom, "mmoe": _mmoe}[switcher.config.kind](
        switcher, group
    )


def _shared_bottom(switcher, group):
    layers = [_dense(dense, group) for dense in switcher.shared.stack]
    return lambda x: dict.fromkeys(switcher.names, mlp(x, layers))


def _mmoe(switcher, group):
    """Experts of one layer and a gate an output (PLE fig. 1)."""
    experts, width = switcher.config.experts, switcher.config.units[0]
    kernel, bias = _dense(switcher.experts.first[0], group)
    gates = switcher.gates.scores.kernel.numpy()[group]

    def evaluate(x):
        outputs = [
            relu(x @ kernel[:, e * width :][:, :width] + bias[e * width :][:width])
            for e in range(experts)
        ]
        found = {}
        for index, name in enumerate(switcher.names):
            weights = softmax(x @ gates[:, index * experts :][:, :experts])
            found[name] = sum(w * o for w, o in zip(weights, outputs, strict=True))
        return found

    return evaluate


def hierarchical(weights, facets, x):
    """MFH eq. 4 for every leaf of one row: {frozenset of partitions: vector}.

    Args:
        weights: `Weights`.
        facets: Facet -> partitions, in the order of the tree.
    """
    values = {"": x}  # code -> what its node's MLP gives
    for level, partitions in enumerate(facets.values()):
        above = {}
        for code, value in values.items():
            outputs = weights.switchers[level, code, tuple(partitions)](value)
            for partition in partitions:
                name = f"{code}&{partition}" if code else partition
                above[name] = outputs[partition]
        if level == len(facets) - 1:
            return {frozenset(code.split("&")): v for code, v in above.items()}
        values = {c: mlp(v, weights.nodes[level + 1, c]) for c, v in above.items()}


def multi_facet(weights, facets, depth, x):
    """MFH sec. IV-D for every leaf of one row: {frozenset of partitions: vector}.

    Args:
        weights: `Weights`.
        facets: Facet -> partitions, in the order of the codes.
        depth: k.
    """
    names = list(facets)
    root = weights.switchers[0, "", tuple(names)](x)
    hidden = {facet: mlp(root[facet], weights.nodes[1, facet]) for facet in names}

    def code(partitions):
        """A combination {facet: partition} as the code of its node."""
        return "&".join(partitions[f] for f in names if f in partitions)

    def branch(level, partitions, missing):
        """The switcher of a node to the combinations of the missing facets."""
        outputs = tuple(
            "&".join(combination)
            for combination in itertools.product(*(facets[f] for f in missing))
        )
        return weights.switchers[level, code(partitions), outputs]

    values = {}
    for facet in names:
        outputs = weights.switchers[1, facet, tuple(facets[facet])](hidden[facet])
        for partition in facets[facet]:
            values[partition] = mlp(outputs[partition], weights.nodes[2, partition])

    for length in range(2, depth + 1):  # codes of so many partitions
        above = {}
        for position, partitions in enumerate(_combinations(facets, length)):
            inputs = 0
            for path, facet in enumerate(f for f in names if f in partitions):
                below = {f: p for f, p in partitions.items() if f != facet}
                outputs = branch(length, below, [facet])(values[code(below)])
                mix = weights.mixes[length][path, position]
                inputs = inputs + mix * outputs[partitions[facet]]
            own = code(partitions)
            above[own] = mlp(inputs, weights.nodes[length + 1, own])
        values = above

    leaves = {}
    for position, leaf in enumerate(_leaves(facets)):
        total = 0
        for path, kept in enumerate(itertools.combinations(names, depth)):
            below = {f: leaf[f] for f in kept}
            missing = [f for f in names if f not in kept]
            outputs = branch(depth + 1, below, missing)(values[code(below)])
            name = "&".join(leaf[f] for f in missing)
            # The paths go by the facets of their codes; for k = N - 1 the code that
            # leaves the last facet out comes first.
            total = total + weights.mixes[depth + 1][path, position] * outputs[name]
        leaves[frozenset(leaf.values())] = total
    return leaves


def _combinations(facets, length):
    """{facet: partition} of `length` facets, the last facet's the fastest."""
    for chosen in itertools.combinations(facets, length):
        for partitions in itertools.product(*(facets[f] for f in chosen)):
            yield dict(zip(chosen, partitions, strict=True))


def _leaves(facets):
    """{facet: partition} of every leaf, task by task, then by the spec's order."""
    order = ["task", *sorted(f for f in facets if f != "task")]
    for partitions in itertools.product(*(facets[f] for f in order)):
        yield dict(zip(order, partitions, strict=True))
