"""Every figure can be drawn at every size, and shows what it says."""

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from trainer.inspection import draw_gates, draw_matrices, plot
from trainer.inspection.conflicts import layer_gradients
from trainer.inspection.inspection import ExpertUse, GateUse, Inspection

_RNG = np.random.default_rng(0)


def _gates(tasks, experts, node="", skew=1.0):
    weights = _RNG.dirichlet([skew] * experts, [50, tasks])
    entropy = -(weights * np.log(weights + 1e-12)).sum(axis=2).mean(axis=0)
    names = tuple(f"expert {e}" for e in range(experts))
    return GateUse(
        node=node,
        level=1,
        readers=tuple(f"task_number_{t}" for t in range(tasks)),
        experts=(names,) * tasks,
        rows=np.full(tasks, 50.0),
        mean=weights.mean(axis=0),
        sd=weights.std(axis=0),
        entropy=entropy,
    )


def _experts(count, node=""):
    correlation = _RNG.random([count, count])
    np.fill_diagonal(correlation, math.nan)
    return ExpertUse(
        node=node,
        level=1,
        names=tuple(f"expert {e}" for e in range(count)),
        correlation=correlation,
        moving=np.arange(count) > 0,
        largest_weight=np.ones(count),
    )


def _layers(tasks, count):
    return tuple(
        layer_gradients(f"layer {i}", np.cov(_RNG.normal(size=[tasks, 9])))
        for i in range(count)
    )


def _inspection(**parts):
    tasks = parts.pop("tasks", 3)
    names = tuple(f"task_number_{t}" for t in range(tasks))
    return Inspection(tasks=names, step=7, rows=50, gradient_rows=8, **parts)


def _axes_with_bars(figure):
    return [axes for axes in figure.axes if axes.patches]


def test_a_group_of_bars_a_task_as_high_as_the_means():
    use = _gates(3, 4)
    (axes,) = _axes_with_bars(draw_gates.draw(_inspection(gates=(use,))))
    heights = np.array([[bar.get_height() for bar in c] for c in axes.containers])
    np.testing.assert_allclose(heights, use.mean.T)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(use.readers)


def test_many_tasks_go_on_in_a_second_row():
    use = _gates(17, 8)
    rows = _axes_with_bars(draw_gates.draw(_inspection(gates=(use,))))
    assert [len(axes.get_xticks()) for axes in rows] == [9, 8]
    heights = np.concatenate([[b.get_height() for b in c] for c in rows[1].containers])
    np.testing.assert_allclose(heights, use.mean[9:].T.ravel())


def test_more_bars_than_one_can_read_become_a_map():
    use = _gates(32, 40)
    figure = draw_gates.draw(_inspection(gates=(use,)))
    assert not _axes_with_bars(figure)
    shown = [np.asarray(a.images[0].get_array()) for a in figure.axes if a.images]
    np.testing.assert_allclose(shown, [use.mean.T, use.sd.T])


def test_of_many_nodes_the_most_skewed_and_the_most_even_are_drawn():
    skews = [5.0, 0.1, 9.0, 0.2, 50.0, 0.3, 99.0, 2.0]
    gates = tuple(_gates(2, 3, node=f"n{s}", skew=s) for s in skews)
    found = [use.node for use in draw_gates.chosen(gates)]
    assert found == ["n0.1", "n0.2", "n0.3", "n9.0", "n50.0", "n99.0"]
    figure = draw_gates.draw(_inspection(gates=gates))
    dots = [line.get_xdata() for line in figure.axes[0].get_lines()]
    shares = np.concatenate([use.entropy_share for use in gates])
    np.testing.assert_allclose(dots[0], shares)  # all in the summary


def test_dead_experts_stand_out():
    figure = draw_matrices.draw_experts(_inspection(experts=(_experts(3),)))
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal"]


def test_the_experts_that_are_most_alike_are_drawn():
    levels = [_experts(2, node=str(n)) for n in range(12)]
    levels.append(_experts(1, node="alone"))
    figure = draw_matrices.draw_experts(_inspection(experts=tuple(levels)))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    kept = sorted(levels[:12], key=lambda level: -level.overlap)[:9]
    assert len(titles) == 9
    assert {title.split(",")[0] for title in titles} == {f"node {k.node}" for k in kept}
    assert "The JSON has 3 more" in figure.get_suptitle()


def test_cosines_are_drawn_by_layer_and_norms_beside_them():
    layers = _layers(4, 3)
    figure = draw_matrices.draw_conflicts(_inspection(tasks=4, layers=layers))
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes[:3]]
    for matrix, layer in zip(shown, layers, strict=True):
        above = np.triu_indices(4, 1)
        np.testing.assert_allclose(matrix[above], layer.cosines[above])
    norms = [line.get_xdata() for line in figure.axes[3].get_lines()]
    np.testing.assert_allclose(norms, [layer.norms for layer in layers])


@pytest.mark.parametrize(("tasks", "experts", "nodes"), [(1, 1, 1), (32, 40, 9)])
def test_pngs_of_the_smallest_and_the_largest(tasks, experts, nodes):
    found = plot.pngs(
        _inspection(
            tasks=tasks,
            gates=tuple(_gates(tasks, experts, node=str(n)) for n in range(nodes)),
            experts=tuple(_experts(experts, node=str(n)) for n in range(nodes)),
            layers=_layers(tasks, 12) if tasks > 1 else (),
        )
    )
    assert (
        list(found) == ["utilisation", "experts", "conflicts"][: 3 if tasks > 1 else 1]
    )
    for png in found.values():
        assert png.startswith(b"\x89PNG")
        width, height = (int.from_bytes(png[a : a + 4], "big") for a in (16, 20))
        assert 200 < width < 6000
        assert 100 < height < 6000


def test_what_is_not_known_is_left_blank():
    use = _gates(2, 3)
    use.mean[0], use.sd[0], use.entropy[0] = math.nan, math.nan, math.nan
    (axes,) = _axes_with_bars(draw_gates.draw(_inspection(gates=(use,))))
    assert [bar.get_height() for c in axes.containers for bar in c][::2] == [0, 0, 0]
