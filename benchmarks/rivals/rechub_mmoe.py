"""torch-rechub's MMoE: by its trainer, and by a loop of one's own.

It has no shared bottom of its own, and batch normalisation in every layer that cannot
be switched off. For the same network as the others' one dense layer is put between its
inputs and its experts, and the normalisation is taken out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Iterator
from importlib import metadata

import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.basic.layers import MLP, EmbeddingLayer
from torch_rechub.models.multi_task import MMOE
from torch_rechub.trainers import MTLTrainer

from rivals.mmoe import Data, Sizes, Taken, Way, serve

_KIND = "classification"
_EPOCH = 16  # batches of an epoch of the trainer


def ways(data: Data, few: bool) -> list[Way]:
    """The trainer, and loops with PyTorch's faster Adams; once more as it comes."""
    # Threads wait for each other, on a busy machine for long.
    one = Data(data.path, dataclasses.replace(data.sizes, threads=1))
    found = [
        _way("trainer", data, trainer=True, documented=True),
        _way("loop, fused Adam", data, fused=True),
        _way("loop, fused Adam, 1 thread", one, fused=True),
    ]
    if few:
        return found
    return [
        *found,
        _way("trainer, fused Adam", data, trainer=True, fused=True),
        _way("loop, foreach Adam", data, foreach=True),
        _way("as it comes, loop, fused Adam", data, plain=True, fused=True),
        _way("as it comes, loop, 1 thread", one, plain=True, fused=True),
    ]


def _way(
    name: str,
    data: Data,
    trainer: bool = False,
    plain: bool = False,
    documented: bool = False,
    **adam,
) -> Way:
    torch.manual_seed(0)
    sizes = data.sizes
    model = _as_it_comes(sizes) if plain else _same(sizes)
    count = sum(p.numel() for p in model.parameters())
    train = (_trained if trainer else _looped)(model, data, adam)
    biases = {"biases of the gates": sizes.tasks * sizes.experts}
    return Way(name, count, train, extra=biases, same=not plain, documented=documented)


def _as_it_comes(sizes: Sizes) -> MMOE:
    ids = [SparseFeature(f"id{i}", sizes.rows, sizes.dim) for i in range(sizes.ids)]
    numbers = [DenseFeature(f"number{i}") for i in range(sizes.numbers)]
    towers = [{"dims": [sizes.tower]}] * sizes.tasks
    kinds = [_KIND] * sizes.tasks
    return MMOE([*ids, *numbers], kinds, sizes.experts, {"dims": [sizes.units]}, towers)


def _same(sizes: Sizes) -> MMOE:
    """With a bottom, and without batch normalisation."""
    model = _as_it_comes(sizes)
    model.embedding = _Bottom(model.embedding, sizes)
    model.experts = torch.nn.ModuleList(
        MLP(sizes.bottom, output_layer=False, dims=[sizes.units])
        for _ in range(sizes.experts)
    )
    model.gates = torch.nn.ModuleList(
        MLP(sizes.bottom, False, dims=[sizes.experts], activation="softmax")
        for _ in range(sizes.tasks)
    )
    stacks = [m for m in model.modules() if isinstance(m, torch.nn.Sequential)]
    for stack in stacks:
        for index, layer in enumerate(stack):
            if isinstance(layer, torch.nn.BatchNorm1d):
                stack[index] = torch.nn.Identity()
    return model


class _Bottom(torch.nn.Module):
    """The embeddings and one dense layer on them."""

    def __init__(self, embedding: EmbeddingLayer, sizes: Sizes):
        super().__init__()
        self.embedding = embedding
        self.dense = torch.nn.Linear(sizes.inputs, sizes.bottom)

    def forward(self, *args, **kwargs):
        return torch.relu(self.dense(self.embedding(*args, **kwargs)))


def _batches(data: Data) -> list[tuple[dict, torch.Tensor]]:
    """As torch-rechub wants them: a column each."""
    found = []
    for ids, numbers, labels in data.batches():
        columns = {f"id{i}": ids[:, i].copy() for i in range(ids.shape[1])}
        for i in range(numbers.shape[1]):
            columns[f"number{i}"] = numbers[:, i].copy()
        features = {name: torch.from_numpy(value) for name, value in columns.items()}
        found.append((features, torch.from_numpy(labels)))
    return found


def _looped(model: MMOE, data: Data, adam: dict) -> Iterator[Taken]:
    optimizer = torch.optim.Adam(model.parameters(), lr=data.sizes.rate, **adam)
    entropy = torch.nn.BCELoss()
    model.train()
    for features, labels in itertools.cycle(_batches(data)):
        torch.set_num_threads(data.sizes.threads)  # another way may have changed it
        outputs = model(features)
        # The mean over all is the tasks' mean, as the trainer takes it.
        loss = entropy(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield 1, loss.detach() * data.sizes.tasks


def _trained(model: MMOE, data: Data, adam: dict) -> Iterator[Taken]:
    """The trainer's epochs, short ones."""
    trainer = MTLTrainer(
        model,
        [_KIND] * data.sizes.tasks,
        optimizer_params={"lr": data.sizes.rate, **adam},
        n_epoch=1,
    )
    batches = _batches(data)
    for first in itertools.cycle(range(0, len(batches), _EPOCH)):
        own = batches[first : first + _EPOCH]
        torch.set_num_threads(data.sizes.threads)
        with contextlib.redirect_stderr(io.StringIO()):
            losses = trainer.train_one_epoch(own)
        yield len(own), sum(losses)


def _versions() -> dict[str, str]:
    rechub = metadata.version("torch-rechub")
    return {"torch-rechub": rechub, "torch": torch.__version__}


if __name__ == "__main__":
    serve(ways, _versions)
