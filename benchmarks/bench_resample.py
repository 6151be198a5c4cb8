"""Resampling of a chest CT to 1 mm and an oblique warp, beside SimpleITK, torch, MONAI, TorchIO and SciPy.

Each peer is compared on its own grid: fastprep answers on that grid once, untimed, and is timed on ``grid="itk"``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import _harness as h
import numpy as np

from fastprep.core.grid import Grid
from fastprep.core.index_map import IndexMap

oracles = h.oracles
NEW = (1.0, 1.0, 1.0)
FILL = -1024.0
ANGLE_DEG = 10.0


def jobs(scan: h.Scan) -> list[h.Job]:
    """Linear, cubic, nearest label, oblique."""
    return [_linear(scan), _cubic(scan), _nearest(scan), _oblique(scan)]


def _linear(scan: h.Scan) -> h.Job:
    x, spacing = scan.array, scan.grid.spacing

    def torch() -> Callable[[], Any]:
        oracles.peer("torch")
        return lambda: oracles.torch_interpolate(x, spacing, NEW)

    def monai(dtype: Any) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            spacing = oracles.peer("monai.transforms").Spacing(
                pixdim=NEW, mode="bilinear", padding_mode="border", dtype=dtype
            )
            tensor = oracles.monai_tensor(x, scan.grid)
            return lambda: spacing(tensor)

        return prepare

    def torchio() -> Callable[[], Any]:
        resample = oracles.peer("torchio").Resample(NEW, image_interpolation="linear")
        image = oracles.torchio_image(x, scan.grid)
        return lambda: resample(image)

    contestants = [
        h.Contestant("fastprep", _fastprep(x, spacing, "linear")),
        h.Contestant("SimpleITK", _sitk(scan.array, scan.grid, "linear"), _from_sitk, target=6),
        h.Contestant("torch interpolate", torch, target=2.5, compare=_on_grid(x, spacing, "linear", "edges")),
        h.Contestant("MONAI Spacing", monai(np.float64), _from_tensor, compare=_on_grid(x, spacing, "linear", "monai")),
        h.Contestant(
            "MONAI Spacing, dtype float32",
            monai(np.float32),
            _from_tensor,
            compare=_on_grid(x, spacing, "linear", "monai"),
        ),
        h.Contestant(
            "TorchIO Resample",
            torchio,
            lambda image: image.data.numpy()[0],
            compare=_on_grid(x, spacing, "linear", "torchio"),
        ),
        _zoom(x, spacing, 1),
    ]
    return h.Job("linear to 1 mm, int16 to float32", contestants, x.nbytes)


def _cubic(scan: h.Scan) -> h.Job:
    x, spacing = scan.array, scan.grid.spacing
    contestants = [
        h.Contestant("fastprep", _fastprep(x, spacing, "cubic")),
        h.Contestant("SimpleITK sitkBSpline", _sitk(x, scan.grid, "cubic"), _from_sitk, target=25),
        _zoom(x, spacing, 3),
    ]
    return h.Job("cubic B-spline to 1 mm, int16 to float32", contestants, x.nbytes)


def _nearest(scan: h.Scan) -> h.Job:
    labels, spacing = scan.labels, scan.grid.spacing

    def torch() -> Callable[[], Any]:
        oracles.peer("torch")
        return lambda: oracles.torch_interpolate(labels, spacing, NEW, "nearest")

    contestants = [
        h.Contestant("fastprep", _fastprep(labels, spacing, "nearest", dtype=np.uint8, fill=0)),
        h.Contestant("SimpleITK nearest", _sitk(labels, scan.grid, "nearest", fill=0.0), _from_sitk, target=6),
        h.Contestant(
            "torch nearest-exact",
            torch,
            compare=_on_grid(labels, spacing, "nearest", "edges", dtype=np.uint8, fill=0),
        ),
    ]
    return h.Job("nearest to 1 mm, label uint8", contestants, labels.nbytes, note="difference: fraction of voxels")


def _oblique(scan: h.Scan) -> h.Job:
    x, shape = scan.array, scan.grid.shape
    matrix = rotation(scan.grid, ANGLE_DEG)

    def fastprep() -> Callable[[], Any]:
        warp = importlib.import_module("fastprep").warp
        return lambda: warp(x, matrix, shape, order="linear", fill=FILL)

    def sitk() -> Callable[[], Any]:
        image = oracles.sitk_image(x)
        warper = oracles.sitk_warper(image, matrix, shape, "linear", FILL)
        return lambda: warper.Execute(image)

    def scipy() -> Callable[[], Any]:
        oracles.peer("scipy.ndimage")
        return lambda: oracles.scipy_affine(x, matrix, shape, fill=FILL)

    def torch() -> Callable[[], Any]:
        oracles.peer("torch")
        return lambda: oracles.torch_warp(x, matrix, shape)

    # SciPy fills from the outermost centres on, torch clamps beyond the field: ITK's rule is ours.
    def inside(_: Any, out: h.Array) -> float:
        ok = np.ones(shape, bool)
        index = np.ogrid[tuple(slice(0, n) for n in shape)]
        for axis, n in enumerate(shape):
            at = sum(matrix[axis, k] * index[k] for k in range(3)) + matrix[axis, 3]
            ok &= (at >= 0) & (at <= n - 1)
        return h.difference(fastprep()()[ok][None], out[ok][None])

    contestants = [
        h.Contestant("fastprep", fastprep),
        h.Contestant("SimpleITK", sitk, _from_sitk, target=4),
        h.Contestant("SciPy affine_transform", scipy, compare=inside, threaded=False),
        h.Contestant("torch grid_sample", torch, compare=inside),
    ]
    name = f"oblique affine {ANGLE_DEG:g} degrees, linear, int16 to float32"
    return h.Job(name, contestants, x.nbytes, note="SciPy and torch compared inside the outermost centres")


def rotation(grid: Grid, degrees: float) -> h.Array:
    """Output-to-input index matrix of a turn about (1, 1, 1) in millimetres, through the volume's centre."""
    angle = np.deg2rad(degrees)
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    spacing, centre = np.array(grid.spacing), (np.array(grid.shape) - 1) / 2
    matrix = np.eye(4)
    matrix[:3, :3] = turn * spacing / spacing[:, None]
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    return matrix


def _fastprep(x: h.Array, spacing: Sequence[float], order: str, **more: Any) -> Callable[[], Callable[[], Any]]:
    def prepare() -> Callable[[], Any]:
        resample = importlib.import_module("fastprep").resample
        keywords = {"order": order, "grid": "itk", "fill": FILL, **more}
        return lambda: resample(x, spacing, NEW, **keywords)

    return prepare


def _on_grid(
    x: h.Array, spacing: Sequence[float], order: str, grid: str, **more: Any
) -> Callable[[Any, h.Array], float]:
    return lambda _, out: h.difference(_fastprep(x, spacing, order, grid=grid, **more)()(), out)


def _sitk(x: h.Array, grid: Grid, order: str, fill: float = FILL) -> Callable[[], Callable[[], Any]]:
    def prepare() -> Callable[[], Any]:
        sitk = oracles.peer("SimpleITK")
        image = oracles.sitk_image(x, grid)
        target = IndexMap.spacing_change(grid.shape, grid.spacing, NEW).grid(grid)
        resampler = sitk.ResampleImageFilter()
        resampler.SetSize(target.shape[::-1])
        resampler.SetOutputSpacing(NEW)
        resampler.SetOutputOrigin(image.GetOrigin())
        resampler.SetOutputDirection(image.GetDirection())
        resampler.SetInterpolator(oracles.sitk_interpolator(order))
        resampler.SetDefaultPixelValue(fill)
        resampler.SetOutputPixelType(oracles.sitk_pixel_type(image, order))
        return lambda: resampler.Execute(image)

    return prepare


def _zoom(x: h.Array, spacing: Sequence[float], order: int) -> h.Contestant:
    def prepare() -> Callable[[], Any]:
        oracles.peer("scipy.ndimage")
        return lambda: oracles.scipy_zoom(x, spacing, NEW, order, mode="mirror")[0]

    compare = _on_grid(x, spacing, {1: "linear", 3: "cubic"}[order], "scipy")
    return h.Contestant(f"SciPy zoom order {order}", prepare, compare=compare, threaded=False)


def _from_sitk(image: Any) -> h.Array:
    return np.asarray(oracles.peer("SimpleITK").GetArrayViewFromImage(image))


def _from_tensor(tensor: Any) -> h.Array:
    return np.asarray(tensor.numpy()[0])


if __name__ == "__main__":
    h.main(jobs)
