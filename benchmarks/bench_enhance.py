"""CLAHE, denoising and SSIM beside OpenCV, scikit-image, SciPy and SimpleITK.

    python benchmarks/run.py enhance

CLAHE of planes runs on a radiograph, laid into 2048 x 2048; what has three axes on the middle of the chest CT.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import _harness as h
import numpy as np

SIDE = 2048
TILES, CLIP = 8, 2.0


def jobs(scan: h.Scan) -> list[h.Job]:
    """One job for each row of the table."""
    plane = radiograph()
    eight = (plane >> 7).astype(np.uint8)
    middle = _middle(scan.array, (scan.array.shape[0], 256, 256))
    slab = _middle(scan.array, (10, 256, 256)).astype(np.float32)
    cube = _middle(scan.array, (128, 128, 128)).astype(np.float32)
    return [
        _clahe(eight, 256, 1.0),
        _clahe(plane, 4096, 1.5),
        _clahe_3d(middle),
        _nlm(slab),
        _tv(middle.astype(np.float32)),
        _ssim(cube),
        _median_plane(plane),
        _median_volume(middle),
        _bilateral((plane[::2, ::2] / 32767).astype(np.float32)),
    ]


@cache
def radiograph() -> h.Array:
    """The 15-bit radiograph of FASTPREP_TEST_DATA, mirrored to 2048 x 2048, else a phantom's; uint16."""
    root = os.environ.get("FASTPREP_TEST_DATA")
    path = None if root is None else Path(root) / "xray" / "chest_monochrome1.dcm"
    if path is None or not path.is_file():
        rows, columns = np.ogrid[:SIDE, :SIDE]
        wave = np.sin(rows / 90) * np.cos(columns / 70) * 6000 + rows * 6
        return (wave + 9000 + 150 * np.random.default_rng(0).standard_normal((SIDE, SIDE))).astype(np.uint16)
    array = importlib.import_module("fastprep").load(path).array[:SIDE, :SIDE]
    return np.pad(array, [(0, SIDE - n) for n in array.shape], mode="reflect")


def _middle(x: h.Array, shape: tuple[int, ...]) -> h.Array:
    start = [(n - m) // 2 for n, m in zip(x.shape, shape, strict=True)]
    return np.ascontiguousarray(x[tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))])


def _clahe(plane: h.Array, bins: int, target: float) -> h.Job:
    whole = (0, int(np.iinfo(plane.dtype).max))

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.clahe(plane, clip_limit=CLIP, tiles=TILES, bins=bins, value_range=whole)

    def opencv() -> Callable[[], Any]:
        peer = h.oracles.peer("cv2").createCLAHE(CLIP, (TILES, TILES))
        return lambda: peer.apply(plane)

    bits = 8 * plane.itemsize
    note = "" if bits == 8 else "OpenCV has a bin for each of 65536 values, where its limit of 1 flattens histograms"
    return h.Job(
        f"CLAHE, {SIDE} x {SIDE}, {plane.dtype}, {bins} bins",
        [
            h.Contestant("fastprep", fastprep, lambda x: x.astype(np.float64)),
            h.Contestant("OpenCV", opencv, lambda x: x.astype(np.float64), target=target),
        ],
        plane.nbytes,
        note=note,
    )


def _clahe_3d(volume: h.Array) -> h.Job:
    low, high = -1000.0, 400.0
    unit = np.clip((volume.astype(np.float32) - low) / (high - low), 0, 1)
    size = [-(-n // TILES) for n in volume.shape]

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.clahe(unit, clip_limit=CLIP, tiles=TILES, value_range=(0, 1))

    def skimage() -> Callable[[], Any]:
        peer = h.oracles.peer("skimage.exposure")
        return lambda: peer.equalize_adapthist(unit, kernel_size=size, clip_limit=CLIP / 256, nbins=256)

    return h.Job(
        f"CLAHE, {'x'.join(map(str, volume.shape))}, float32",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant("scikit-image", skimage, target=20.0, threaded=False),
        ],
        unit.nbytes,
        note="scikit-image clips, bins and lays its tiles otherwise, so the outputs differ",
    )


def _nlm(slab: h.Array) -> h.Job:
    sigma, width = 12.0, 10.0

    def fastprep(compatible: bool) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            package = importlib.import_module("fastprep")
            how = {"patch": 3, "distance": 3, "sigma": sigma, "compatible": compatible}
            return lambda: package.denoise_nlm(slab, h=width if compatible else width / sigma, **how)

        return prepare

    def skimage() -> Callable[[], Any]:
        peer = h.oracles.peer("skimage.restoration")
        how = {"patch_size": 3, "patch_distance": 3, "sigma": sigma, "preserve_range": True}
        return lambda: peer.denoise_nl_means(slab, h=width, fast_mode=True, **how)

    def to_compatible(_: Any, out: h.Array) -> float:
        return h.difference(np.asarray(fastprep(True)()()), out)

    return h.Job(
        f"non-local means, {'x'.join(map(str, slab.shape))}, patch 3, distance 3",
        [
            h.Contestant("fastprep", fastprep(False)),
            h.Contestant("fastprep, compatible=True", fastprep(True)),
            h.Contestant("scikit-image, fast mode", skimage, target=10.0, threaded=False, compare=to_compatible),
        ],
        slab.nbytes,
        note="scikit-image's difference is to compatible=True; fastprep's own patches are odd, its exponential exact",
    )


def _tv(volume: h.Array) -> h.Job:
    weight, eps, most = 20.0, 2e-4, 30

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.denoise_tv(volume, weight=weight, eps=eps, iterations=most)

    def skimage() -> Callable[[], Any]:
        peer = h.oracles.peer("skimage.restoration")
        return lambda: peer.denoise_tv_chambolle(volume, weight=weight, eps=eps, max_num_iter=most)

    return h.Job(
        f"total variation, {'x'.join(map(str, volume.shape))}, {most} iterations",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant("scikit-image", skimage, target=4.0, threaded=False, slow=True),
        ],
        volume.nbytes,
    )


def _ssim(cube: h.Array) -> h.Job:
    other = cube + 20 * np.random.default_rng(0).standard_normal(cube.shape, np.float32)
    span = float(max(cube.max(), other.max()) - min(cube.min(), other.min()))

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.ssim(cube, other, data_range=span)

    def skimage() -> Callable[[], Any]:
        peer = h.oracles.peer("skimage.metrics")
        a, b = cube.astype(np.float64), other.astype(np.float64)
        return lambda: peer.structural_similarity(a, b, data_range=span)

    return h.Job(
        f"SSIM, {'x'.join(map(str, cube.shape))}, window 7",
        [
            h.Contestant("fastprep", fastprep, np.atleast_1d),
            h.Contestant("scikit-image", skimage, np.atleast_1d, target=5.0, threaded=False),
        ],
        2 * cube.nbytes,
        note="fastprep from float32 by float64 sums, scikit-image from float64",
    )


def _median_plane(plane: h.Array) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.median(plane, size=5)

    def opencv() -> Callable[[], Any]:
        peer = h.oracles.peer("cv2")
        return lambda: peer.medianBlur(plane, 5)

    def scipy() -> Callable[[], Any]:
        peer = h.oracles.peer("scipy.ndimage")
        return lambda: peer.median_filter(plane, 5)

    return h.Job(
        f"median of 5 x 5, {SIDE} x {SIDE}, uint16",
        [
            h.Contestant("fastprep", fastprep, _inner),
            h.Contestant("OpenCV", opencv, _inner),
            h.Contestant("SciPy", scipy, _inner, threaded=False),
        ],
        plane.nbytes,
        note="compared two voxels from the border, which OpenCV repeats and SciPy mirrors",
    )


def _inner(x: h.Array) -> h.Array:
    return np.ascontiguousarray(x[2:-2, 2:-2])


def _median_volume(volume: h.Array) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.median(volume, size=3)

    def scipy() -> Callable[[], Any]:
        peer = h.oracles.peer("scipy.ndimage")
        return lambda: peer.median_filter(volume, 3)

    return h.Job(
        f"median of 3 x 3 x 3, {'x'.join(map(str, volume.shape))}, int16",
        [h.Contestant("fastprep", fastprep), h.Contestant("SciPy", scipy, threaded=False, slow=True)],
        volume.nbytes,
    )


def _bilateral(plane: h.Array) -> h.Job:
    radius, value, space = 4, 0.1, 2.0

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.bilateral(plane, sigma_value=value, sigma_space=space, radius=radius)

    def opencv() -> Callable[[], Any]:
        peer = h.oracles.peer("cv2")
        return lambda: peer.bilateralFilter(plane, 2 * radius + 1, value, space)

    def skimage() -> Callable[[], Any]:
        peer = h.oracles.peer("skimage.restoration")
        return lambda: peer.denoise_bilateral(
            plane, win_size=2 * radius + 1, sigma_color=value, sigma_spatial=space, bins=10000
        )

    return h.Job(
        f"bilateral, {'x'.join(map(str, plane.shape))}, radius {radius}",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant("OpenCV", opencv),
            h.Contestant("scikit-image", skimage, threaded=False, slow=True),
        ],
        plane.nbytes,
        note="the window is a square here and in scikit-image, a disc in OpenCV",
    )


if __name__ == "__main__":
    h.main(jobs)
