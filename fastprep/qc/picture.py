"""One picture of a bias correction: the scan before, the field, the scan after, and their histograms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.qc._bins import edges_of
from fastprep.qc._figure import new_figure, write_figure
from fastprep.qc._planes import Plane, frame_of, host_of, planes_at

if TYPE_CHECKING:
    from fastprep.ops._bias import BiasField

_Array = npt.NDArray[Any]
_INCHES = 3.2


def bias_picture(
    original: Any, result: BiasField, path: str | os.PathLike[str], mask: Any = None, *, title: str = ""
) -> None:
    """Write a PNG: original, field and corrected in three planes, and the histograms before and after.

    The planes cross in the middle of the mask, in the proportions of the grid, patient's right on the left. Original
    and corrected share one grey window; the field is drawn with the geometric mean 1 inside the mask, and the corrected
    scan with the factor that goes with it. Histograms are of the voxels inside the mask.

    Parameters
    ----------
    original : Image, or array (z, y, x) or (y, x), on the host.
    result : what `fastprep.n4` or one of the other correctors made of it.
    path : of the PNG; whole or not there.
    mask : array or Image of the same shape, non-zero inside; by default every voxel.
    title : over the picture.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed: ``pip install fastprep[report]``.
    ShapeError, ArgumentError, NonFiniteError
        Shapes that differ or have no two or three axes, an empty mask, NaN or infinity inside it.
    WriteError
        The operating system refused.

    Examples
    --------
    >>> result = fastprep.n4(scan, brain, shrink_factor=4)     # doctest: +SKIP
    >>> bias_picture(scan, result, "patient-04_bias.png", brain)  # doctest: +SKIP
    """
    before, log_field = host_of(original), host_of(result.log_field)
    after = host_of(result.corrected)
    inside = np.ones(before.shape, bool) if mask is None else host_of(mask) != 0
    _check(before, log_field, after, inside)
    log_mean = log_field[inside].mean(dtype=np.float64)
    # A field is known up to a factor: with its mean taken out, before and after are on one scale.
    scale = float(np.exp(log_mean))
    planes = _planes(original, inside)

    figure = new_figure(3 * _INCHES, (len(planes) + 0.75) * _INCHES)
    rows = figure.add_gridspec(len(planes) + 1, 3, height_ratios=[*[1.0] * len(planes), 0.75])
    window = {"cmap": "gray", "vmin": 0.0, "vmax": float(np.percentile(before[inside], 99.5))}
    window["vmin"] = min(0.0, float(before[inside].min()))
    gains = np.exp(np.percentile(log_field[inside], (0.5, 99.5)) - log_mean)
    reach = float(np.abs(gains - 1).max()) or 1e-3
    colours = {"cmap": "RdBu_r", "vmin": 1 - reach, "vmax": 1 + reach}
    fields = []
    for row, plane in enumerate(planes):
        columns = (
            ("original", plane.of(before), window),
            ("field", np.exp(plane.of(log_field) - log_mean), colours),
            ("corrected", plane.of(after) * scale, window),
        )
        for column, (name, picture, how) in enumerate(columns):
            axes = figure.add_subplot(rows[row, column])
            drawn = axes.imshow(picture, aspect=plane.aspect, interpolation="nearest", **how)
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(name)
            if column == 0:
                axes.set_ylabel(plane.name)
            if name == "field":
                _outline(axes, plane.of(inside))
                fields.append((drawn, axes))
    bar = figure.colorbar(fields[0][0], ax=[axes for _, axes in fields], location="bottom", aspect=30, pad=0.01)
    bar.set_label("times the geometric mean")
    _histograms(figure.add_subplot(rows[len(planes), :]), before[inside], after[inside] * scale)
    if title:
        figure.suptitle(title)
    write_figure(figure, path)


def _histograms(axes: Any, before: _Array, after: _Array) -> None:
    edges = edges_of(before, after)
    for name, values, colour in (("original", before, "0.55"), ("corrected", after, "tab:blue")):
        counts, _ = np.histogram(values, edges)
        mean = float(values.mean(dtype=np.float64))
        cv = f", CV {float(values.std(dtype=np.float64)) / mean:.3f}" if mean else ""
        axes.stairs(counts, edges, label=f"{name}{cv}", color=colour, linewidth=1.4)
    axes.set(xlabel="intensity inside the mask", ylabel="voxels")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _outline(axes: Any, marks: _Array) -> None:
    if marks.any() and not marks.all() and min(marks.shape) > 1:
        axes.contour(marks, levels=[0.5], colors="black", linewidths=0.5)


def _planes(original: Any, inside: _Array) -> list[Plane]:
    """The cuts through the middle of what is inside."""
    middle = [int(np.median(found)) for found in inside.nonzero()]
    return planes_at(middle, inside.shape, *frame_of(original, inside.ndim))


def _check(before: _Array, log_field: _Array, after: _Array, inside: _Array) -> None:
    if before.ndim not in (2, 3) or not before.shape == log_field.shape == after.shape == inside.shape:
        shapes = ", ".join(str(x.shape) for x in (before, log_field, after, inside))
        msg = f"original, field, corrected and mask of shapes {shapes}: expected one shape of two or three axes"
        raise ShapeError(msg)
    if not inside.any():
        msg = "mask is empty: expected at least one voxel inside"
        raise ArgumentError(msg)
    for name, x in (("original", before), ("result.log_field", log_field), ("result.corrected", after)):
        bad = int(np.count_nonzero(~np.isfinite(x[inside])))
        if bad:
            msg = f"{name} holds {bad} values inside the mask that are NaN or infinite"
            raise NonFiniteError(msg)
