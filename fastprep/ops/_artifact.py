"""The artifact of metal: how its surroundings differ from the same tissue where no metal is near.

    T = the body, without metal and what is within ``inner`` mm of it, cavities of air and masses of bone
    S = T within ``outer`` mm of an implant, in the axial slices that hold it
    R = T above and below S, in the nearest slices that are more than ``outer`` mm from those with metal

    shadow = mean over S of max(0, lo - HU) - the same over R        lo, hi = mean -+ 2 std of the soft tissue of R
    streak = mean over S of max(0, HU - hi) - the same over R
    spread = sqrt(var S - var R)                                     of HU in [-350, 450]
    ray    = sqrt(mean square over S' - the same over R')            of each ray less the mean of its neighbours
    index  = sqrt(shadow^2 + ray^2)

What is subtracted is the mean over the slices of R and one standard deviation of theirs: anatomy differs, too.
S' and R' are fans of 96 rays in up to 9 slices each, ``ray`` mm long, from where they leave the implant. Where slices
without metal hold too little tissue, R is that of the same slices ``far`` mm from all metal. The definition and its
thresholds are ours; the constants are those of `fastprep.core.artifact.Definition`.

Only boxes around the implants are looked at. From a GPU they are copied to the host: the answer is a few numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.artifact import (
    USUAL_RAY,
    Artifact,
    Definition,
    Fan,
    ImplantArtifact,
    deviations,
    excess,
    fan_of,
    mean_square,
    ray_differences,
    soft_range,
    upper,
    variance,
    worst_of,
)
from fastprep.core.connectivity import check_connectivity
from fastprep.core.device_view import DeviceView
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.ops._arrays import view_of
from fastprep.ops._sample import sample
from fastprep.ops.dilate import dilate
from fastprep.ops.opening import opening
from fastprep.registry import gpu_driver, kernel

if TYPE_CHECKING:
    from fastprep.ops._metal import MetalReport

_Bool = npt.NDArray[np.bool_]
_Box = tuple[tuple[int, int], ...]

#: Rays around an implant, the slices they are drawn in, and the least part of one that must be tissue, in mm.
_RAYS, _SLICES, _LEAST_RAY = 96, 9, 10.0
#: Slices with metal that are searched for tissue far from it.
_FAR_SLICES = 9
#: Places far from metal that rays are drawn from.
_PLACES = 36


class _Block(NamedTuple):
    """A box of the scan, axes (axial, row, column): HU, and what is tissue."""

    hu: npt.NDArray[np.float64]
    tissue: _Bool


class _Reference(NamedTuple):
    """Tissue without artifact: its HU slice by slice, and how much neighbouring rays differ there, a mean square."""

    name: str
    parts: list[npt.NDArray[np.float64]]
    rays: float

    @property
    def values(self) -> npt.NDArray[np.float64]:
        return np.concatenate([np.zeros(0), *self.parts])

    def deviations(self, low: float, high: float) -> tuple[float, float]:
        """Of the slices: means, and how much they differ on top."""
        each = [deviations(part, low, high) for part in self.parts]
        counts = [part.size for part in self.parts]
        return upper([below for below, _ in each], counts), upper([above for _, above in each], counts)


@dataclass(frozen=True, eq=False)
class _Scan:
    """What is measured, axial axis first, within the bounds of the body: nothing beyond changes the answer.

    ``read`` gives HU, metal and body of a box of the array; ``order`` are its axes; ``start`` is where the body begins.
    """

    read: Callable[[_Box], tuple[npt.NDArray[np.float64], _Bool, _Bool]]
    order: tuple[int, ...]
    start: tuple[int, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    definition: Definition

    @property
    def voxel_ml(self) -> float:
        return math.prod(self.spacing) / 1000

    def box_of(self, region: npt.NDArray[np.int64]) -> _Box:
        """A region's box, as far as the body's bounds hold it."""
        found = []
        for axis, start, n in zip(self.order, self.start, self.shape, strict=True):
            low, high = (min(max(int(edge) - start, 0), n) for edge in region[axis])
            found.append((low, high))
        return tuple(found)

    def grown(self, box: _Box, mm: Sequence[float]) -> _Box:
        """A box with a margin, still within the bounds."""
        reach = [math.ceil(m / step) for m, step in zip(mm, self.spacing, strict=True)]
        return tuple((max(0, a - r), min(n, b + r)) for (a, b), r, n in zip(box, reach, self.shape, strict=True))

    def block(self, box: _Box) -> _Block:
        """A box, and its tissue as what is around it tells."""
        d = self.definition
        wide = self.grown(box, [d.ball + d.rim + max(self.spacing)] * 3)
        hu, metal, body = self._read(wide)
        near = dilate(metal, d.inner, spacing=self.spacing)
        other = opening(body & (hu < d.air), d.ball, spacing=self.spacing)
        other |= opening(body & ~near & (hu > d.bone), d.ball, spacing=self.spacing)
        tissue = body & ~near & ~dilate(other, d.rim, spacing=self.spacing)
        tissue = opening(tissue, d.thin, spacing=self.spacing)
        inside = _within(box, wide)
        return _Block(np.ascontiguousarray(hu[inside]), np.ascontiguousarray(tissue[inside]))

    def hu_of(self, box: _Box) -> npt.NDArray[np.float64]:
        """The values of a box."""
        return self._read(box)[0]

    def _read(self, box: _Box) -> tuple[npt.NDArray[np.float64], _Bool, _Bool]:
        whole: list[tuple[int, int]] = [(0, 0)] * 3
        for axis, start, (low, high) in zip(self.order, self.start, box, strict=True):
            whole[axis] = (low + start, high + start)
        hu, metal, body = self.read(tuple(whole))
        there = np.isfinite(hu)
        return self._turned(np.where(there, hu, 0)), self._turned(metal), self._turned(body & there)

    def _turned(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.ascontiguousarray(x.transpose(self.order))


def artifact_of(report: MetalReport, definition: Definition | None = None) -> Artifact:
    """The artifact of a report's implants; a scan without metal has none, and nothing is looked at."""
    chosen = definition or Definition()
    if not len(report.regions):
        return Artifact(definition=chosen)
    scan = _scan_of(report, chosen)
    boxes = [scan.box_of(box) for box in report.regions.bounding_box]
    held = np.zeros(scan.shape[0], bool)
    for box in boxes:
        held[slice(*box[0])] = True
    largest = np.argsort(-report.regions.voxels, kind="stable")[: chosen.most]
    found = [_implant(report, int(k), boxes, held, scan) for k in largest]
    notes = []
    if len(boxes) > len(found):
        notes.append(f"artifacts are those around the {len(found)} largest of {len(boxes)} implants")
    bare = sum(one.reference == "none" for one in found)
    if bare:
        notes.append(f"{bare} of {len(found)} implants have no tissue without artifact to compare with")
    return worst_of(found, notes, chosen)


def _implant(report: MetalReport, k: int, boxes: Sequence[_Box], held: _Bool, scan: _Scan) -> ImplantArtifact:
    d, box, label = scan.definition, boxes[k], int(report.regions.label[k])
    if any(a == b for a, b in box):
        return ImplantArtifact(label, d.severity(0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "none")
    across = d.inner + d.ray + max(scan.spacing)
    window = scan.grown(box, (0, across, across))
    here = scan.block(window)
    own = np.zeros(here.tissue.shape, bool)
    own[_within(box, window)] = _own(report, k, scan, box)
    around = dilate(own, d.outer, spacing=scan.spacing)
    inside = here.hu[around & here.tissue]

    fans = _fans(own, scan)
    usual = _along(box, held, scan, window, around.any(axis=0), fans)
    if usual.values.size * scan.voxel_ml < d.least_ml:
        usual = _far(box, boxes, scan, fans)
    if usual.values.size * scan.voxel_ml < d.least_ml:
        usual = _Reference("none", [], USUAL_RAY**2)

    low, high = soft_range(usual.values)
    s, r = deviations(inside, low, high), usual.deviations(low, high)
    rays, counts = _rays([(here.hu[z], here.tissue[z], fan) for z, fan in fans.items()], scan)
    mean = sum(n * square for n, square in zip(counts, rays, strict=True)) / max(1, sum(counts))
    shadow, streak, ray = max(0.0, s[0] - r[0]), max(0.0, s[1] - r[1]), excess(mean, usual.rays)
    spread = excess(variance(inside), variance(usual.values)) if usual.parts else 0.0
    index, ml = math.hypot(shadow, ray), inside.size * scan.voxel_ml
    return ImplantArtifact(label, d.severity(index), index, shadow, streak, spread, ray, ml, usual.name)


def _along(box: _Box, held: _Bool, scan: _Scan, window: _Box, foot: _Bool, fans: Mapping[int, Fan]) -> _Reference:
    """What lies above and below an implant's surroundings, whose shadow along the body is ``foot``."""
    blocks = [scan.block((run, *window[1:])) for run in _runs(_free(box, held, scan))]
    planes = [plane for b in blocks for plane in zip(*b, strict=True)]
    parts = [hu[tissue & foot] for hu, tissue in planes]
    chosen = [(*planes[i], fan) for i, fan in zip(_spread(len(planes), _SLICES), cycle(fans.values()), strict=False)]
    return _Reference("along the body", parts, upper(*_rays(chosen, scan)))


def _far(box: _Box, boxes: Sequence[_Box], scan: _Scan, fans: Mapping[int, Fan]) -> _Reference:
    """Tissue of the slices around an implant's middle that is ``far`` mm from the boxes of all."""
    low, high = box[0]
    start = max(low, (low + high - _FAR_SLICES) // 2)
    stop = min(high, start + _FAR_SLICES)
    block = scan.block(((start, stop), *((0, n) for n in scan.shape[1:])))
    clear = block.tissue.copy()
    for each in boxes:
        around = scan.grown(each, [scan.definition.far] * 3)
        first, last = (max(0, edge - start) for edge in around[0])
        clear[first:last, slice(*around[1]), slice(*around[2])] = False
    # The same fans around voxels there.
    there = np.argwhere(clear)
    places = there[_spread(len(there), _PLACES)]
    chosen = [
        (block.hu[z], clear[z], fan._replace(row=fan.row - fan.middle[0] + y, column=fan.column - fan.middle[1] + x))
        for (z, y, x), fan in zip(places, cycle(fans.values()), strict=False)
    ]
    parts = [hu[there] for hu, there in zip(block.hu, clear, strict=True)]
    return _Reference("far from metal", parts, upper(*_rays(chosen, scan)))


def _free(box: _Box, held: _Bool, scan: _Scan) -> npt.NDArray[np.int64]:
    """Slices with no metal near them, as many as ``along`` mm are, the nearest."""
    step, d = scan.spacing[0], scan.definition
    every = np.arange(len(held))
    away = np.abs(every[:, None] - np.flatnonzero(held)).min(axis=1) * step
    free = every[away > d.outer]
    low, high = box[0]
    distance = np.maximum(np.maximum(low - free, free - (high - 1)), 0)
    return np.sort(free[np.argsort(distance, kind="stable")[: max(1, round(d.along / step))]])


def _runs(slices: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    parts = np.split(slices, np.flatnonzero(np.diff(slices) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if part.size]


def _fans(own: _Bool, scan: _Scan) -> dict[int, Fan]:
    """Rays by slice, in some of those that hold the implant."""
    slices = np.flatnonzero(own.any(axis=(1, 2)))
    d, plane = scan.definition, (scan.spacing[1], scan.spacing[2])
    chosen = [int(slices[i]) for i in dict.fromkeys(_spread(len(slices), _SLICES))]
    return {z: fan_of(own[z], plane, _RAYS, d.inner, d.ray) for z in chosen}


def _rays(chosen: Sequence[tuple[Any, Any, Fan]], scan: _Scan) -> tuple[list[float], list[int]]:
    """How much neighbouring rays differ, mean squares, and how many did: of fans in planes of HU and tissue."""
    least = math.ceil(_LEAST_RAY / min(scan.spacing[1:]))
    found = [mean_square(ray_differences(*each, least)) for each in chosen]
    return [square for square, _ in found], [count for _, count in found]


def _spread(count: int, wanted: int) -> list[int]:
    """``wanted`` places among ``count``, evenly, some of them more than once where there are fewer."""
    return [round(i) for i in np.linspace(0, count - 1, wanted)] if count else []


def _within(box: _Box, wide: _Box) -> tuple[slice, ...]:
    return tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(box, wide, strict=True))


def _own(report: MetalReport, k: int, scan: _Scan, box: _Box) -> _Bool:
    """The voxels of one implant in its box; others may reach into it."""
    hu = scan.hu_of(box)
    reach = check_connectivity(report.connectivity, 3)
    found = kernel("clusters", hu)(hu, report.limit, reach, math.inf, 1.0)
    out = np.zeros(hu.shape, np.bool_)
    if not len(found.table.voxels):
        return out
    # What lies in its box is connected there. Where the body's bounds cut it, the largest piece stands for it.
    same = found.table.voxels == report.regions.voxels[k]
    chosen = int(np.argmax(np.where(same.any(), same, found.table.voxels)))
    values = (np.arange(len(same)) == chosen).astype(np.int64)
    kernel("paint", hu)(found.runs, values, out)
    return out


def _scan_of(report: MetalReport, definition: Definition) -> _Scan:
    found, view = report.body, view_of(report.stored)
    order = (report.axial_axis, *(a for a in range(3) if a != report.axial_axis))
    body = None if found is None else view_of(found.array if isinstance(found, Image) else found)
    bounds = np.zeros((3, 2), np.int64) if body is None else kernel("bounds", report.stored)(body)
    low, high = (bounds[list(order), i].tolist() for i in (0, 1))
    limit, units = report.limit, report.units

    def read(box: _Box) -> tuple[npt.NDArray[np.float64], _Bool, _Bool]:
        hu = units.a * _host(view, box).astype(np.float64) + units.b
        return hu, hu > limit, _host(body, box) != 0

    spacing = tuple(report.spacing[a] for a in order)
    return _Scan(read, order, tuple(low), tuple(b - a for a, b in zip(low, high, strict=True)), spacing, definition)


def _host(view: Any, box: _Box) -> npt.NDArray[Any]:
    """A box of a view, on the host."""
    if not isinstance(view, DeviceView):
        return np.asarray(view[tuple(slice(*edges) for edges in box)])
    part = sample(view, IndexMap.crop([a for a, _ in box], [b for _, b in box]), order=0)
    return np.asarray(gpu_driver().read(view_of(part)))
