"""One picture of a comparison: a scan before and after, what differs, histograms, and the figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.image import Image
from fastprep.qc._bins import edges_of
from fastprep.qc._figure import new_figure, write_figure
from fastprep.qc._planes import Plane, frame_of, host_of, planes_at
from fastprep.qc.compare import Comparison, is_one_scale

_Array = npt.NDArray[Any]
_INCHES, _BELOW = 3.4, 3.3
_COLOURS = {"truth": "tab:green", "before": "0.55", "after": "tab:blue"}
#: Shares of the voxels that are black, white, or of the strongest colour.
_BLACK, _WHITE, _FULL = 0.5, 99.5, 99.5


def comparison_picture(
    before: Any,
    after: Any,
    comparison: Comparison,
    path: str | os.PathLike[str],
    mask: Any = None,
    *,
    truth: Any = None,
    title: str = "",
) -> None:
    """Write a PNG: a scan before and after and their difference, histograms, how values add up, and all figures.

    Planes cross in the middle of the mask, in the proportions of the grid, patient's right on the left. All share one
    grey window unless they are on two scales; differences share symmetric colours. With a truth it comes first, and
    the differences are those from it.

    Parameters
    ----------
    before, after : Images, or arrays (z, y, x) or (y, x), on the host.
    comparison : of `fastprep.qc.compare`.
    path : of the PNG; whole or not there.
    mask : array or Image of the same shape, non-zero inside; by default every voxel.
    truth : where it is known.
    title : over the picture.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed: ``pip install fastprep[report]``.
    ShapeError, ArgumentError
        Shapes that differ or have no two or three axes, or an empty mask.
    WriteError
        The operating system refused.

    Examples
    --------
    >>> found = compare(raw, clean, data_range=4095)                   # doctest: +SKIP
    >>> comparison_picture(raw, clean, found, "patient-04_compare.png")  # doctest: +SKIP
    """
    scans = {"before": before, "after": after} if truth is None else {"truth": truth, "before": before, "after": after}
    arrays = {name: _numbers(x) for name, x in scans.items()}
    inside = np.ones(arrays["before"].shape, bool) if mask is None else host_of(mask) != 0
    _check(arrays, inside)
    first = next(iter(arrays))
    pairs = [(first, name) for name in list(arrays)[1:]]
    middle = [int(np.median(found)) for found in inside.nonzero()]
    planes = planes_at(middle, inside.shape, *frame_of(before, inside.ndim))

    columns = len(arrays) + len(pairs)
    wide, high = _panel(planes, inside.shape)
    figure = new_figure(max(columns * wide, 11), len(planes) * high + _BELOW)
    upper, lower = figure.add_gridspec(2, 1, height_ratios=(len(planes) * high, _BELOW))
    rows = upper.subgridspec(len(planes), columns)
    windows = _windows(arrays, inside)
    reach = max(_reach(arrays[a], arrays[b], inside) for a, b in pairs)
    differences = []
    for row, plane in enumerate(planes):
        pictures = [(name, plane.of(x), {"cmap": "gray", **windows[name]}) for name, x in arrays.items()]
        for a, b in pairs:
            change = plane.of(arrays[b]).astype(np.float64) - plane.of(arrays[a])
            pictures.append((f"{b} - {a}", change, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}))
        for column, (name, picture, how) in enumerate(pictures):
            axes = figure.add_subplot(rows[row, column])
            drawn = axes.imshow(picture, aspect=plane.aspect, interpolation="antialiased", **how)
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(name)
            if column == 0:
                axes.set_ylabel(plane.name)
            if column >= len(arrays):
                differences.append((drawn, axes))
    figure.colorbar(
        differences[-1][0], ax=[axes for _, axes in differences], location="right", aspect=30, pad=0.02, shrink=0.8
    )
    parts = lower.subgridspec(1, 3, width_ratios=(1, 1, 1.2))
    _curves(figure, parts, {name: x[inside] for name, x in arrays.items()})
    _words(figure.add_subplot(parts[2]), comparison)
    if title:
        figure.suptitle(title)
    write_figure(figure, path)


def _numbers(x: Any) -> _Array:
    """An Image's values in physical units."""
    array = host_of(x)
    if isinstance(x, Image) and not x.rescale.is_identity:
        return np.asarray(x.rescale(array.astype(np.float32)))
    return array


def _check(arrays: dict[str, _Array], inside: _Array) -> None:
    shapes = {x.shape for x in (*arrays.values(), inside)}
    if len(shapes) > 1 or inside.ndim not in (2, 3):
        told = ", ".join(f"{name} {x.shape}" for name, x in {**arrays, "mask": inside}.items())
        msg = f"shapes of {told}: expected one shape of two or three axes"
        raise ShapeError(msg)
    if not inside.any():
        msg = "mask is empty: expected at least one voxel inside"
        raise ArgumentError(msg)


def _panel(planes: Sequence[Plane], shape: Sequence[int]) -> tuple[float, float]:
    """Inches of one panel: the pictures of two axes are large, those of three are many."""
    if len(shape) == 3:
        return _INCHES, _INCHES * 0.9
    height, width = planes[0].of(np.empty(shape, bool)).shape
    tall = height * planes[0].aspect / width
    return 1.4 * _INCHES, 1.4 * _INCHES * min(max(tall, 0.4), 1.4)


def _windows(arrays: dict[str, _Array], inside: _Array) -> dict[str, dict[str, float]]:
    """The grey window of each: one for all, unless they are on scales of their own."""
    ends = {name: tuple(np.percentile(x[inside], (_BLACK, _WHITE)).tolist()) for name, x in arrays.items()}
    before = ends["before"]
    if all(is_one_scale(before, each) for each in ends.values()):
        low, high = min(e[0] for e in ends.values()), max(e[1] for e in ends.values())
        return {name: {"vmin": low, "vmax": high} for name in ends}
    return {name: {"vmin": low, "vmax": high} for name, (low, high) in ends.items()}


def _reach(a: _Array, b: _Array, inside: _Array) -> float:
    change = np.abs(b[inside].astype(np.float64) - a[inside])
    return float(np.percentile(change, _FULL)) or float(change.max()) or 1.0


def _curves(figure: Any, parts: Any, values: dict[str, _Array]) -> None:
    """How often each value occurs, and how many voxels lie below it."""
    names = list(values)
    edges = edges_of(values[names[0]], np.concatenate([values[name].astype(np.float64) for name in names[1:]]))
    histogram, below = (figure.add_subplot(parts[i]) for i in (0, 1))
    for name, x in values.items():
        counts, _ = np.histogram(x, edges)
        how = {"color": _COLOURS[name], "linewidth": 1.4}
        histogram.stairs(counts, edges, label=name, **how)
        share = (np.count_nonzero(x < edges[0]) + np.concatenate([[0], counts.cumsum()])) / x.size
        below.plot(edges, share, label=name, **how)
    # A peak of air or of black border is no reason to see nothing else.
    histogram.set(xlabel="value", ylabel="voxels", yscale="log")
    below.set(xlabel="value", ylabel="share of voxels below", ylim=(0, 1.01))
    for axes in (histogram, below):
        axes.spines[["top", "right"]].set_visible(False)
    below.legend(frameon=False)


def _words(axes: Any, comparison: Comparison) -> None:
    axes.set_axis_off()
    table, *notes = str(comparison).split("\nnote: ")
    text = "\n".join([table, "", *(fill(note, 56) for note in notes)])
    axes.text(0, 1, text, va="top", family="monospace", size=9, transform=axes.transAxes)
