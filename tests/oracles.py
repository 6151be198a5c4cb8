"""The outside truth, named once for tests and benchmarks: each function is another package's own answer.

Arrays are (z, y, x) or (y, x); grids, spacings and matrices are in array-axis order, world = RAS; results are
NumPy arrays, with the new affine where the peer gives one. Peers are imported when a function is called: a
missing one skips the running test by the peer's name, and outside pytest raises ImportError.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.grid import RAS_TO_LPS, Grid

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]


def peer(name: str) -> Any:
    """The module ``name``, or a skip that names it when a test runs, or ImportError elsewhere."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if "pytest" in sys.modules:
            import pytest

            pytest.skip(f"the peer {name} is not installed ({error})", allow_module_level=True)
        raise


def set_peer_threads(n: int) -> None:
    """``n`` threads for every peer that has a setting; SciPy, scikit-image and NumPy ufuncs use one."""
    os.environ["OMP_NUM_THREADS"] = str(n)
    with suppress(ImportError):
        importlib.import_module("cv2").setNumThreads(n)
    with suppress(ImportError):
        importlib.import_module("SimpleITK").ProcessObject.SetGlobalDefaultNumberOfThreads(n)
    with suppress(ImportError):
        importlib.import_module("torch").set_num_threads(n)


def _native(array: npt.ArrayLike) -> Array:
    """Contiguous, native byte order, writable (torch warns of read-only arrays), bool as uint8."""
    a = np.asarray(array)
    dtype = np.dtype(np.uint8) if a.dtype == bool else a.dtype.newbyteorder("=")
    out = np.ascontiguousarray(a, dtype=dtype)
    return out if out.flags.writeable else out.copy()


def _real(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The type blended values come out in: float64 of float64, else float32."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def _new_shape(shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]) -> tuple[int, ...]:
    """round(n s / t), the rule of nnU-Net and of the code most users write around SimpleITK, SciPy and torch."""
    return tuple(max(round(round(n * s / t, 9)), 1) for n, s, t in zip(shape, spacing, new_spacing, strict=True))


# SimpleITK: the truth for geometry


def sitk_image(array: npt.ArrayLike, grid: Grid | None = None) -> Any:
    """``sitk.Image`` of an array on a grid (sheared grids too); without a grid, spacing 1 at the origin."""
    sitk = peer("SimpleITK")
    image = sitk.GetImageFromArray(_native(array))
    if grid is None:
        return image
    size, spacing, origin, direction = _sitk_geometry(grid)
    if tuple(image.GetSize()) != size:
        msg = f"array of size {image.GetSize()} on a grid of size {size}"
        raise ValueError(msg)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def _sitk_geometry(grid: Grid) -> tuple[tuple[int, ...], list[float], list[float], list[float]]:
    """Size, spacing, origin, direction in ITK's (x, y, z) order and LPS world."""
    n = grid.ndim
    columns = list(reversed(range(n)))
    block = grid.lps[:n, columns]
    # A 2-D ITK image has a 2-D world: only planes parallel to x and y have one.
    if n == 2 and np.abs(grid.lps[2, :2]).max() > 1e-9:
        msg = "a 2-D grid must lie in the axial plane to be a 2-D sitk.Image"
        raise ValueError(msg)
    spacing = [grid.spacing[c] for c in columns]
    direction = (block / np.array(spacing)).ravel().tolist()
    return grid.shape[::-1], spacing, grid.lps[:n, 3].tolist(), direction


def grid_of_sitk(image: Any) -> Grid:
    """The grid of a 3-D ``sitk.Image``."""
    block = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps = np.eye(4)
    lps[:3, :3] = block[:, ::-1]
    lps[:3, 3] = image.GetOrigin()
    return Grid(tuple(image.GetSize()[::-1]), RAS_TO_LPS @ lps)


def sitk_interpolator(order: str) -> int:
    """SimpleITK's enum of "nearest", "linear", "cubic" (B-spline of order 3) or "label_linear"."""
    sitk = peer("SimpleITK")
    table = {
        "nearest": sitk.sitkNearestNeighbor,
        "linear": sitk.sitkLinear,
        "cubic": sitk.sitkBSpline,
        "label_linear": sitk.sitkLabelLinear,
    }
    return int(table[order])


def sitk_pixel_type(image: Any, order: str) -> int:
    """Float32 for blended values (ITK would truncate to ints), float64 of float64, the same type for labels."""
    sitk = peer("SimpleITK")
    keep = order in ("nearest", "label_linear") or image.GetPixelID() == sitk.sitkFloat64
    return int(image.GetPixelID() if keep else sitk.sitkFloat32)


def sitk_resample(
    array: npt.ArrayLike,
    grid: Grid,
    target: Grid,
    order: str = "linear",
    fill: float = 0.0,
    *,
    threads: int | None = None,
) -> Array:
    """ITK's ResampleImageFilter onto any target grid, through world coordinates."""
    sitk = peer("SimpleITK")
    image = sitk_image(array, grid)
    size, spacing, origin, direction = _sitk_geometry(target)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputOrigin(origin)
    resampler.SetOutputDirection(direction)
    resampler.SetInterpolator(sitk_interpolator(order))
    resampler.SetDefaultPixelValue(float(fill))
    resampler.SetOutputPixelType(sitk_pixel_type(image, order))
    if threads is not None:
        resampler.SetNumberOfThreads(threads)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)))


def sitk_warp(
    array: npt.ArrayLike,
    matrix: npt.ArrayLike,
    shape: Sequence[int],
    order: str = "linear",
    fill: float = 0.0,
    *,
    threads: int | None = None,
) -> Array:
    """ITK's resampling in index space: ``matrix`` (4x4) maps output index to input index."""
    sitk = peer("SimpleITK")
    image = sitk_image(array)
    resampler = sitk_warper(image, matrix, shape, order, fill)
    if threads is not None:
        resampler.SetNumberOfThreads(threads)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)))


def sitk_warper(image: Any, matrix: npt.ArrayLike, shape: Sequence[int], order: str, fill: float) -> Any:
    """The configured ResampleImageFilter of `sitk_warp`, for timing without conversions."""
    sitk = peer("SimpleITK")
    n = len(shape)
    m = np.asarray(matrix, dtype=np.float64)
    transform = sitk.AffineTransform(n)
    transform.SetMatrix(m[:n, :n][::-1, ::-1].ravel().tolist())
    transform.SetTranslation(m[:n, 3][::-1].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(k) for k in reversed(shape)])
    resampler.SetOutputSpacing([1.0] * n)
    resampler.SetOutputOrigin([0.0] * n)
    resampler.SetOutputDirection(np.eye(n).ravel().tolist())
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk_interpolator(order))
    resampler.SetDefaultPixelValue(float(fill))
    resampler.SetOutputPixelType(sitk_pixel_type(image, order))
    return resampler


# MONAI and TorchIO: their tensors take any axis order as long as the affine's columns are in the same one


def monai_tensor(array: npt.ArrayLike, grid: Grid) -> Any:
    """``MetaTensor`` of shape (1, z, y, x) with the RAS affine of the array's own axes."""
    torch = peer("torch")
    data = peer("monai.data")
    return data.MetaTensor(torch.from_numpy(_native(array))[None], affine=torch.from_numpy(np.array(grid.affine)))


def monai_spacing(
    array: npt.ArrayLike,
    grid: Grid,
    new_spacing: Sequence[float],
    order: str = "linear",
    *,
    scale_extent: bool = False,
    dtype: npt.DTypeLike = np.float64,
) -> tuple[Array, Matrix]:
    """MONAI Spacing with its defaults (padding border, align_corners False); ``grid="monai"`` of fastprep."""
    spacing = peer("monai.transforms").Spacing(
        pixdim=tuple(new_spacing),
        mode={"linear": "bilinear", "nearest": "nearest"}[order],
        padding_mode="border",
        align_corners=False,
        scale_extent=scale_extent,
        dtype=dtype,
    )
    out = spacing(monai_tensor(array, grid))
    return out.numpy()[0], np.asarray(out.affine.numpy(), dtype=np.float64)


def monai_window(array: npt.ArrayLike, lo: float, hi: float) -> Array:
    """MONAI ScaleIntensityRange of [lo, hi] to [0, 1], clipped, float32."""
    scale = peer("monai.transforms").ScaleIntensityRange(lo, hi, 0.0, 1.0, clip=True)
    return np.asarray(scale(peer("torch").from_numpy(_native(array))))


def monai_ct_chest(
    axcodes: str,
    new_spacing: Sequence[float],
    lo: float,
    hi: float,
    shape: Sequence[int],
    *,
    lazy: bool = False,
) -> Callable[[Any], Any]:
    """Compose of Orientation, Spacing, ScaleIntensityRange, SpatialPad and CenterSpatialCrop.

    The lazy one has its intensity step last, since a step that is not lazy flushes the pending ones; it pads
    with ``lo``, which the window maps to the same 0. (MONAI 1.6 fuses that pad into the resampling with the
    border mode of Spacing, so the two agree only where nothing is padded.)
    """
    t = peer("monai.transforms")
    reorient = t.Orientation(axcodes=axcodes, labels=(("L", "R"), ("P", "A"), ("I", "S")))
    spacing = t.Spacing(pixdim=tuple(new_spacing), mode="bilinear", padding_mode="border")
    window = t.ScaleIntensityRange(lo, hi, 0.0, 1.0, clip=True)
    crop = t.CenterSpatialCrop(tuple(shape))
    if lazy:
        pad = t.SpatialPad(tuple(shape), mode="constant", constant_values=lo)
        return t.Compose([reorient, spacing, pad, crop, window], lazy=True)  # type: ignore[no-any-return]
    return t.Compose([reorient, spacing, window, t.SpatialPad(tuple(shape)), crop])  # type: ignore[no-any-return]


def torchio_image(array: npt.ArrayLike, grid: Grid, kind: str = "scalar") -> Any:
    """TorchIO image of shape (1, z, y, x); scalars as float32, since its resampling would truncate to ints."""
    torch, tio = peer("torch"), peer("torchio")
    tensor = torch.from_numpy(_native(array))[None]
    affine = np.array(grid.affine)
    if kind == "label":
        return tio.LabelMap(tensor=tensor, affine=affine)
    return tio.ScalarImage(tensor=tensor.float(), affine=affine)


def torchio_resample(
    array: npt.ArrayLike, grid: Grid, new_spacing: Sequence[float], order: str = "linear", kind: str = "scalar"
) -> tuple[Array, Matrix]:
    """TorchIO 1 Resample to a spacing; ``grid="torchio"`` of fastprep."""
    name = {"nearest": "nearest", "linear": "linear", "cubic": "bspline", "label_linear": "label_linear"}[order]
    which = "image_interpolation" if kind == "scalar" else "label_interpolation"
    out = peer("torchio").Resample(tuple(new_spacing), **{which: name})(torchio_image(array, grid, kind))
    return out.data.numpy()[0], np.asarray(out.affine, dtype=np.float64)


# nnU-Net, SciPy, torch: grids by shape


def nnunet_resample(
    array: npt.ArrayLike, spacing: Sequence[float], new_spacing: Sequence[float], order: int = 3, *, clip: bool = True
) -> Array:
    """nnU-Net's rule, float64: skimage resize, mode edge, no anti-aliasing, onto round(n s / t)."""
    resize = peer("skimage.transform").resize
    a = np.asarray(array, dtype=np.float64)
    shape = _new_shape(a.shape, spacing, new_spacing)
    return np.asarray(
        resize(a, shape, order, mode="edge", anti_aliasing=False, clip=clip, preserve_range=True), dtype=np.float64
    )


def scipy_zoom(
    array: npt.ArrayLike,
    spacing: Sequence[float],
    new_spacing: Sequence[float],
    order: int = 1,
    *,
    mode: str = "nearest",
    dtype: npt.DTypeLike | None = None,
) -> tuple[Array, tuple[float, ...]]:
    """SciPy's zoom with grid_mode False and the spacing its samples truly have; ``grid="scipy"`` of fastprep.

    Cubic: ``mode="mirror"`` is the boundary of ITK and fastprep.
    """
    ndimage = peer("scipy.ndimage")
    a = np.asarray(array)
    shape = _new_shape(a.shape, spacing, new_spacing)
    factors = [m / n for n, m in zip(a.shape, shape, strict=True)]
    out = ndimage.zoom(a, factors, output=_real(a.dtype) if dtype is None else dtype, order=order, mode=mode)
    true = tuple(
        (n - 1) * s / (m - 1) if m > 1 and n > 1 else s for n, m, s in zip(a.shape, shape, spacing, strict=True)
    )
    return out, true


def scipy_affine(
    array: npt.ArrayLike,
    matrix: npt.ArrayLike,
    shape: Sequence[int],
    order: int = 1,
    *,
    mode: str = "constant",
    fill: float = 0.0,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """SciPy's affine_transform; ``matrix`` (4x4) maps output index to input index."""
    ndimage = peer("scipy.ndimage")
    a = np.asarray(array)
    n, m = a.ndim, np.asarray(matrix, dtype=np.float64)
    out = ndimage.affine_transform(
        a,
        m[:n, :n],
        m[:n, 3],
        output_shape=tuple(shape),
        output=_real(a.dtype) if dtype is None else dtype,
        order=order,
        mode=mode,
        cval=fill,
    )
    return np.asarray(out)


def torch_interpolate(
    array: npt.ArrayLike, spacing: Sequence[float], new_spacing: Sequence[float], order: str = "linear"
) -> Array:
    """torch.nn.functional.interpolate, align_corners False; ``grid="edges"`` of fastprep."""
    torch = peer("torch")
    x = torch.from_numpy(_native(array))[None, None]
    shape = _new_shape(x.shape[2:], spacing, new_spacing)
    interpolate = torch.nn.functional.interpolate
    if order == "nearest":
        return np.asarray(interpolate(x, shape, mode="nearest-exact").numpy()[0, 0])
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    real = x if x.dtype == torch.float64 else x.float()
    return np.asarray(interpolate(real, shape, mode=mode, align_corners=False).numpy()[0, 0])


def torch_theta(matrix: npt.ArrayLike, shape: Sequence[int], source_shape: Sequence[int]) -> Any:
    """The (1, n, n + 1) theta of affine_grid (align_corners True) for an output-index-to-input-index matrix."""
    torch = peer("torch")
    n, m = len(shape), np.asarray(matrix, dtype=np.float64)
    # torch counts from -1 to 1, from the first voxel's centre to the last one's.
    out_half = (np.array(shape) - 1) / 2
    in_half = np.maximum((np.array(source_shape) - 1) / 2, 0.5)
    linear = m[:n, :n] * out_half / in_half[:, None]
    offset = (m[:n, :n] @ out_half + m[:n, 3]) / in_half - 1
    theta = np.concatenate([linear[::-1, ::-1], offset[::-1, None]], axis=1)
    return torch.from_numpy(theta)[None]


def torch_warp(
    array: npt.ArrayLike,
    matrix: npt.ArrayLike,
    shape: Sequence[int],
    order: str = "linear",
    *,
    padding: str = "border",
) -> Array:
    """affine_grid and grid_sample (align_corners True, coordinates float32): equal to ITK inside the centres only."""
    torch = peer("torch")
    f = torch.nn.functional
    x = torch.from_numpy(_native(array))[None, None]
    x = x if x.dtype == torch.float64 else x.float()
    theta = torch_theta(matrix, shape, x.shape[2:]).to(x.dtype)
    where = f.affine_grid(theta, (1, 1, *shape), align_corners=True)
    mode = {"linear": "bilinear", "nearest": "nearest"}[order]
    return np.asarray(f.grid_sample(x, where, mode=mode, padding_mode=padding, align_corners=True).numpy()[0, 0])


# Intensity


def numpy_window(
    array: npt.ArrayLike,
    lo: float,
    hi: float,
    out_range: tuple[float, float] = (0.0, 1.0),
    dtype: npt.DTypeLike = np.float32,
) -> Array:
    """Clip and scale in plain NumPy, as it is commonly written."""
    y = np.clip((np.asarray(array).astype(dtype) - lo) / (hi - lo), 0, 1)
    low, high = out_range
    return np.asarray(y if (low, high) == (0, 1) else y * (high - low) + low, dtype=dtype)


def dicom_window(
    array: npt.ArrayLike,
    level: float,
    width: float,
    function: str = "LINEAR",
    out_range: tuple[float, float] = (0.0, 1.0),
) -> Array:
    """The VOI window (PS3.3 C.11.2.1.2: LINEAR, LINEAR_EXACT, SIGMOID) of pydicom, scaled to ``out_range``, float64."""
    pydicom = peer("pydicom")
    pixels = peer("pydicom.pixels")
    ds = pydicom.Dataset()
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.BitsStored = 16
    ds.WindowCenter = float(level)
    ds.WindowWidth = float(width)
    ds.VOILUTFunction = function.upper()
    out = np.asarray(pixels.apply_windowing(np.asarray(array), ds), dtype=np.float64)
    low, high = out_range
    return out / 65535 * (high - low) + low


def sitk_n4(
    x: Array,
    mask: Array | None = None,
    *,
    iterations: Sequence[int],
    threshold: float = 0.0,
    control_points: Sequence[int] = (4, 4, 4),
    order: int = 3,
    full: Array | None = None,
) -> tuple[Array, tuple[Array, ...]]:
    """ITK's corrected image and log field; ``full`` is the image of full resolution that ``x`` was shrunk from."""
    sitk = peer("SimpleITK")
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(list(iterations))
    n4.SetConvergenceThreshold(threshold)
    n4.SetNumberOfControlPoints(list(control_points)[::-1][-x.ndim :])
    n4.SetSplineOrder(order)
    image = sitk.GetImageFromArray(np.ascontiguousarray(x, np.float32))
    given = [image]
    if mask is not None:
        given.append(sitk.GetImageFromArray(np.ascontiguousarray(mask).astype(np.uint8)))
    corrected = sitk.GetArrayFromImage(n4.Execute(*given))
    on = image if full is None else sitk.GetImageFromArray(np.ascontiguousarray(full, np.float32))
    return corrected, sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(on))


# Intensity normalisation: statsmodels, scikit-fuzzy, and the rules of intensity-normalization 2.2.4 around them


def statsmodels_density(values: Array, bandwidth: float, at: Array) -> Array:
    """The Gaussian kernel density estimate of the values themselves, without bins."""
    kde = peer("statsmodels.api").nonparametric.KDEUnivariate(np.asarray(values, np.float64).ravel())
    kde.fit(kernel="gau", bw=bandwidth, fft=False, gridsize=8)
    return np.asarray(kde.evaluate(at))


def intensity_normalization_mode(values: Array, modality: str) -> tuple[float, float]:
    """The mode of white matter as intensity-normalization 2.2.4 finds it, and the bandwidth it does so with."""
    v = np.asarray(values, np.float64).ravel()
    tail = {"t1": 96, "pd": 99}.get(modality)
    if tail is not None:
        v = v[v <= np.percentile(v, tail)]
    kde = peer("statsmodels.api").nonparametric.KDEUnivariate(v)
    kde.fit(kernel="gau", bw=v.max() / 80, gridsize=80, fft=True)
    tops = peer("scipy.signal").argrelmax(kde.density)[0]
    at = {"t1": tops[-1], "pd": tops[0]}.get(modality, np.argmax(kde.density))
    return float(kde.support[at]), float(v.max() / 80)


def skfuzzy_means(values: Array, start: Array, tolerance: float, iterations: int) -> tuple[Array, Array, int]:
    """Centres, memberships (C, N) and iterations of scikit-fuzzy, from the memberships to start with."""
    cmeans = peer("skfuzzy").cmeans
    data = np.asarray(values, np.float64).reshape(1, -1)
    found = cmeans(data, len(start), 2, tolerance, iterations, init=np.asarray(start))
    return found[0][:, 0], found[1], int(found[5])


# OpenCV and scikit-image for contrast


def cv2_clahe(array: Array, clip_limit: float, tiles: tuple[int, int]) -> Array:
    """``createCLAHE`` of a plane of uint8 or uint16; ``tiles`` in the order of the axes, (y, x)."""
    cv2 = peer("cv2")
    return np.asarray(cv2.createCLAHE(clip_limit, tiles[::-1]).apply(np.ascontiguousarray(array)))


def skimage_clahe(array: Array, clip_limit: float, tiles: Sequence[int]) -> Array:
    """``equalize_adapthist`` of any number of axes, another rule of clipping, to [0, 1]; tiles by their sizes there."""
    exposure = peer("skimage.exposure")
    size = tuple(max(n // t, 1) for n, t in zip(array.shape, tiles, strict=True))
    return np.asarray(exposure.equalize_adapthist(array, kernel_size=size, clip_limit=clip_limit / 256, nbins=256))
