"""The GPU jobs of connected components: labels of a mask of 512^3, and the metal of a CT of 512x512x600 with its table.

The answers are numbers of the host, or wait for some, so every call waits for the device, and its launches are part of
its time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import _cuda_peers as peers
import _harness as h
from _cuda_data import Data
from _cuda_measure import Contestant, Job, Target

BODY, SPECKS, METAL = -400, 60, 2000
#: 10 Gvoxel/s.
VOXELS_PER_MS = 1e7
#: Of the bandwidth of a copy, which reads as much as it writes.
READ_ONCE = Target("copy", 0.60)
FASTER = Target("peer", 5)
_SCALE = 2.0**20


def _label(data: Data, key: str, threshold: int, what: str) -> Job:
    lab, host = data.lab, data.host[: data.size.shape[1]]
    mask = host > threshold
    masks = [lab.put(mask) for _ in range(data.size.copies)]
    natives = [lab.native(x) for x in masks]
    contestants = [
        Contestant("fastprep", lambda: peers.over(masks, lambda x: data.fp.label(x, connectivity=26)[0])),
        Contestant("CuPy label", lambda: peers.cupy_label(lab, natives)),
        Contestant("cuCIM label", lambda: peers.cucim_label(lab, natives)),
    ]
    targets = (Target("ms", max(mask.size / VOXELS_PER_MS, 0.01)), FASTER)
    name = f"label, 26 neighbours, {'x'.join(map(str, mask.shape))}, {what}"
    note = "difference: fraction of voxels; numbers are in the order of first voxels"
    return Job(key, name, contestants, mask.nbytes, targets, clock="upload", tolerance=0.0, note=note)


def _metal(data: Data) -> Job:
    """Voxels, centroid, mean and maximum of each part; the first answer compared is how many voxels each has."""
    lab, fp = data.lab, data.fp
    host = _with_metal(data.host)
    volumes = [lab.put(host) for _ in range(data.size.copies)]
    natives = [lab.native(x) for x in volumes]
    clusters = importlib.import_module("fastprep.kernels.gpu.clusters").clusters
    view_of = importlib.import_module("fastprep.ops._arrays").view_of

    def table(x: Any) -> h.Array:
        voxels: h.Array = clusters(view_of(x), float(METAL), 3, 3071.0, _SCALE).table.voxels
        return voxels

    def report(x: Any) -> h.Array:
        voxels: h.Array = fp.detect_metal(x, data.size.spacing, threshold=METAL, min_volume_mm3=0).regions.voxels
        return voxels

    contestants = [
        Contestant("fastprep, the table", lambda: peers.over(volumes, table)),
        Contestant("fastprep, detect_metal", lambda: peers.over(volumes, report), is_peer=False),
        Contestant("CuPy label and measurements", lambda: peers.cupy_regions(lab, natives, METAL)),
        Contestant("cuCIM label and regionprops_table", lambda: peers.cucim_regions(lab, natives, METAL)),
    ]
    name = f"metal above {METAL} HU and its table, int16"
    note = "bytes: the input read once"
    targets = (READ_ONCE, FASTER)
    return Job("metal", name, contestants, host.nbytes, targets, clock="upload", tolerance=0.0, note=note, bytes_out=0)


def _with_metal(host: h.Array) -> h.Array:
    """Two rods along the patient, a plate, and a few specks, 12 bits."""
    hu = host.copy()
    z, y, x = hu.shape
    hu[z // 4 : z // 2, 3 * y // 5 : 3 * y // 5 + y // 40 + 1, x // 3 : x // 3 + x // 40 + 1] = 3071
    hu[z // 4 : z // 2, 3 * y // 5 : 3 * y // 5 + y // 40 + 1, 2 * x // 3 : 2 * x // 3 + x // 40 + 1] = 3071
    hu[2 * z // 3, y // 3 : y // 2, x // 2 : x // 2 + x // 10] = 2900
    hu[:: z // 4 + 1, :: y // 4 + 1, :: x // 4 + 1] = 2500
    return hu


JOBS: dict[str, Callable[[Data], Job]] = {
    "label-body": lambda data: _label(data, "label-body", BODY, f"HU > {BODY}"),
    "label-specks": lambda data: _label(data, "label-specks", SPECKS, f"HU > {SPECKS} of noise"),
    "metal": _metal,
}
