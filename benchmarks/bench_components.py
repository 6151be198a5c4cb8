"""Connected components, metal and lungs, beside cc3d, SciPy and SimpleITK.

    python benchmarks/run.py components

Labels are compared voxel by voxel, metal by the voxels of each region. cc3d tells no Hounsfield units, fastprep does.
No package finds lungs without a trained network: beside `lung_mask` stand its own steps done by NumPy and SciPy.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import _harness as h
import numpy as np

#: Of the ball, about what closes the vessels of a lung.
CLOSING_MM = 10.0


def jobs(scan: h.Scan) -> list[h.Job]:
    """One job for each row of the table."""
    hu, spacing = scan.array, scan.grid.spacing
    return [
        _label(hu, 300),
        _label(hu, -400),
        _metal(hu, spacing, 300),
        _metal(hu, spacing, 2000),
        _closing(hu, spacing),
        _lungs(hu, spacing),
    ]


def _label(hu: h.Array, threshold: int) -> h.Job:
    mask = hu > threshold

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.label(mask, connectivity=26)[0]

    def cc3d() -> Callable[[], Any]:
        peer = h.oracles.peer("cc3d")
        return lambda: peer.connected_components(mask, connectivity=26)

    def scipy() -> Callable[[], Any]:
        ndimage = importlib.import_module("scipy.ndimage")
        return lambda: ndimage.label(mask, np.ones((3, 3, 3)))[0]

    return h.Job(
        f"label, 26 neighbours, HU > {threshold}",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant("cc3d", cc3d, target=1.5, threaded=False),
            h.Contestant("SciPy", scipy, target=5.0, threaded=False),
        ],
        mask.nbytes,
    )


def _metal(hu: h.Array, spacing: tuple[float, ...], threshold: int) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.detect_metal(hu, spacing, threshold=threshold, min_volume_mm3=0).regions.voxels

    def cc3d() -> Callable[[], Any]:
        peer = h.oracles.peer("cc3d")

        def call() -> Any:
            labels = peer.connected_components(hu > threshold, connectivity=26)
            return peer.statistics(labels)["voxel_counts"][1:]

        return call

    def scipy() -> Callable[[], Any]:
        ndimage = importlib.import_module("scipy.ndimage")

        def call() -> Any:
            labels, count = ndimage.label(hu > threshold, np.ones((3, 3, 3)))
            numbers = np.arange(1, count + 1)
            ndimage.find_objects(labels)
            ndimage.center_of_mass(hu, labels, numbers)
            ndimage.maximum(hu, labels, numbers)
            return np.bincount(labels.ravel())[1:]

        return call

    return h.Job(
        f"detect_metal, HU > {threshold}",
        [
            h.Contestant("fastprep", fastprep, _sizes),
            h.Contestant("cc3d: threshold, label, statistics", cc3d, _sizes, target=10.0, threaded=False),
            h.Contestant("SciPy: the same and HU", scipy, _sizes, threaded=False),
        ],
        hu.nbytes,
        note="the difference is that of the regions' voxels; cc3d's statistics are without HU",
    )


def _sizes(voxels: Any) -> h.Array:
    """How many regions, and their voxels in order."""
    return np.array([len(voxels), *sorted(int(n) for n in voxels)])


def _closing(hu: h.Array, spacing: tuple[float, ...]) -> h.Job:
    mask = hu > 300
    radius = [round(CLOSING_MM / s) for s in reversed(spacing)]

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.closing(mask, CLOSING_MM, spacing=spacing)

    def sitk() -> Callable[[], Any]:
        peer = h.oracles.peer("SimpleITK")
        image = peer.GetImageFromArray(mask.astype(np.uint8))
        return lambda: peer.BinaryMorphologicalClosing(image, radius, peer.sitkBall, 1.0, True)

    def back(image: Any) -> h.Array:
        return np.asarray(h.oracles.peer("SimpleITK").GetArrayFromImage(image))

    return h.Job(
        f"closing by a ball of {CLOSING_MM:g} mm",
        [
            h.Contestant("fastprep", fastprep, lambda closed: closed.view(np.uint8)),
            h.Contestant("SimpleITK", sitk, back, slow=True),
        ],
        mask.nbytes,
        note="difference: fraction of voxels; SimpleITK's ball of r voxels is one of r + 0.5",
    )


def _lungs(hu: h.Array, spacing: tuple[float, ...]) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.lung_mask(hu, spacing).mask

    def reference() -> Callable[[], Any]:
        package, registry = importlib.import_module("fastprep"), importlib.import_module("fastprep.registry")

        def call() -> Any:
            with registry.backend("reference"):
                return package.lung_mask(hu, spacing).mask

        return call

    return h.Job(
        "lung_mask",
        [h.Contestant("fastprep", fastprep), h.Contestant("the same by SciPy", reference, threaded=False, slow=True)],
        hu.nbytes,
        note="meant to take less than 1.5 s",
    )


if __name__ == "__main__":
    h.main(jobs)
