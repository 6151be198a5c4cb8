"""One picture of a metal report: the largest implant in three planes, all of them in a projection, and the figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ShapeError
from fastprep.qc._figure import new_figure, write_figure
from fastprep.qc._planes import Plane, frame_of, host_of, planes_at

if TYPE_CHECKING:
    from fastprep.ops._metal import MetalReport

_Array = npt.NDArray[Any]
_INCHES = 4.0
#: HU from black to white: soft tissue with what streaks do to it, and bone to metal for the projection.
_WINDOW, _PROJECTION = (-250.0, 350.0), (-200.0, 2000.0)
#: Orange, which is on no grey scale, and how much of what lies under it is seen.
_COLOUR = (1.0, 0.45, 0.0, 0.75)
_NUMBER = "cyan"
#: Implants that have a number and a line.
_MOST = 8


def metal_picture(scan: Any, report: MetalReport, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Write a PNG: three planes through the largest implant, a coronal projection of maxima, and the report in words.

    Implants are orange; the largest have their number beside them in the projection. Planes are in the proportions of
    the grid, patient's right on the left; without metal they cross in the middle of the scan.

    Parameters
    ----------
    scan : what the report is of: Image, or array (z, y, x), on the host.
    report : of `fastprep.detect_metal`.
    path : of the PNG; whole or not there.
    title : over the picture.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed: ``pip install fastprep[report]``.
    ShapeError
        A scan of another shape than the report's.
    WriteError
        The operating system refused.

    Examples
    --------
    >>> report = fastprep.detect_metal(ct)                     # doctest: +SKIP
    >>> metal_picture(ct, report, "patient-07_metal.png")      # doctest: +SKIP
    """
    stored, marks = host_of(report.stored), host_of(report.mask)
    if tuple(host_of(scan).shape) != stored.shape:
        msg = f"scan of shape {tuple(host_of(scan).shape)}: expected that of the report's, {stored.shape}"
        raise ShapeError(msg)
    codes, spacing = frame_of(scan, 3)
    planes = planes_at(_middle(report, stored.shape), stored.shape, codes, spacing if codes else report.spacing)
    planes.sort(key=lambda plane: plane.name)
    figure = new_figure(2.6 * _INCHES, 2 * _INCHES)
    places = figure.add_gridspec(2, 3, width_ratios=(1, 1, 0.6))
    shown = iter(((0, 0), (0, 1), (1, 0), (1, 1)))
    for plane in planes:
        axes = figure.add_subplot(places[next(shown)])
        _draw(axes, report.units(plane.of(stored).astype(np.float32)), plane.of(marks), plane.aspect, _WINDOW)
        axes.set_title(plane.name)
    front = next((p for p in planes if p.name == "coronal"), planes[len(planes) // 2])
    axes = figure.add_subplot(places[next(shown)])
    highest = front.largest(stored)
    _draw(axes, report.units(highest.astype(np.float32)), front.largest(marks), front.aspect, _PROJECTION)
    axes.set_title(f"{front.name} projection of maxima")
    _numbers(axes, report, front, highest.shape)
    words = figure.add_subplot(places[:, 2])
    words.set_axis_off()
    words.text(0, 1, _text(report), va="top", family="monospace", size=8, wrap=True)
    # Its line is there without words, too: it keeps the first row's own titles inside.
    figure.suptitle(title or " ")
    write_figure(figure, path)


def _middle(report: MetalReport, shape: Sequence[int]) -> list[int]:
    """A voxel of the largest implant near its centroid, or the middle of the scan."""
    if not report.count:
        return [n // 2 for n in shape]
    largest = int(np.argmax(report.regions.voxels))
    return [round(float(c)) for c in report.regions.centroid[largest]]


def _draw(axes: Any, hu: _Array, marks: _Array, aspect: float, window: tuple[float, float]) -> None:
    axes.imshow(hu, cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect, interpolation="nearest")
    overlay = np.zeros((*marks.shape, 4))
    overlay[marks != 0] = _COLOUR
    axes.imshow(overlay, aspect=aspect, interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def _numbers(axes: Any, report: MetalReport, front: Plane, shape: Sequence[int]) -> None:
    cut = next(a for a, where in enumerate(front.at) if isinstance(where, int))
    for k in _largest(report):
        row, column = (float(c) for a, c in enumerate(report.regions.centroid[k]) if a != cut)
        down, across = front.seen_at(row, column, shape)
        axes.annotate(
            str(report.regions.label[k]),
            (across, down),
            (6, 6),
            textcoords="offset points",
            color=_NUMBER,
            size=8,
            weight="bold",
        )


def _largest(report: MetalReport) -> list[int]:
    return [int(k) for k in np.argsort(-report.regions.voxels, kind="stable")[:_MOST]]


def _text(report: MetalReport) -> str:
    """The report as a column of words."""
    lines = [
        f"threshold  {report.threshold:g} HU",
        f"implants   {report.count}",
        f"volume     {report.volume_mm3:.0f} mm3",
        f"artifact   {report.severity}",
    ]
    if report.count:
        found = report.artifact
        lines += [
            "",
            f"index   {found.index:5.0f} HU",
            f"shadow  {found.shadow:5.0f} HU",
            f"streak  {found.streak:5.0f} HU",
            f"spread  {found.spread:5.0f} HU",
            f"ray     {found.ray:5.0f} HU",
            "",
            "implant    mm3  artifact",
        ]
        words = {one.label: f"{one.severity}, {one.index:.0f} HU" for one in found.implants}
        for k in _largest(report):
            label = int(report.regions.label[k])
            lines.append(f"{label:7d} {report.regions.volume_mm3[k]:6.0f}  {words.get(label, '')}")
        if report.count > _MOST:
            lines.append(f"and {report.count - _MOST} smaller")
    if report.dropped:
        lines += ["", f"{report.dropped} parts below {report.min_volume_mm3:g} mm3 are not counted"]
    notes = [*report.notes, *(report.artifact.notes if report.count else ())]
    return "\n".join([*lines, *(f"\n{_wrapped(note)}" for note in notes)])


def _wrapped(text: str) -> str:
    from textwrap import fill

    return fill(text, 34)
