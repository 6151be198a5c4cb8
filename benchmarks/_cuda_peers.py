"""What fastprep is measured against on a GPU, each as its users write it; imported when a job prepares it.

Every function takes inputs of the same content at different addresses and returns ``call(i)``, which works on input
``i``. Integers become float32 inside the call, where the library does not take them: that is part of the job.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import _harness as h
import numpy as np
from _cuda import Lab

Call = Callable[[int], Any]


def over(inputs: Sequence[Any], do: Callable[[Any], Any]) -> Call:
    """``call(i)`` does it to input ``i``, counted round."""
    return lambda i: do(inputs[i % len(inputs)])


def need(name: str) -> Any:
    """A peer's module, or ImportError: a line of the table, and never a skipped test."""
    return importlib.import_module(name)


# Window: clip and scale to [0, 1]


def cupy_window(lab: Lab, inputs: Sequence[Any], lo: float, hi: float, dtype: str) -> Call:
    xp, scale = lab.xp, 1 / (hi - lo)
    return over(inputs, lambda x: xp.clip((x.astype(np.float32) - lo) * scale, 0, 1).astype(dtype, copy=False))


def torch_window(inputs: Sequence[Any], lo: float, hi: float, dtype: str) -> Call:
    kind = getattr(need("torch"), dtype)
    return over(inputs, lambda x: _torch_clamped(x.float(), lo, hi).to(kind))


def compiled_window(inputs: Sequence[Any], lo: float, hi: float, dtype: str) -> Call:
    """PyTorch's compiler makes one kernel of the expression: as good as a kernel written for it."""
    torch = need("torch")
    kind = getattr(torch, dtype)
    return over(inputs, torch.compile(lambda x: ((x.float() - lo) * (1 / (hi - lo))).clamp(0, 1).to(kind)))


def monai_window(inputs: Sequence[Any], affine: h.Array, lo: float, hi: float, dtype: str) -> Call:
    scale = need("monai.transforms").ScaleIntensityRange(lo, hi, 0.0, 1.0, clip=True, dtype=np.dtype(dtype).type)
    return over(_metatensors(inputs, affine), scale)


def cucim_window(lab: Lab, inputs: Sequence[Any], lo: float, hi: float) -> Call:
    rescale = need(f"{lab.skimage}.exposure").rescale_intensity
    return over(inputs, lambda x: rescale(x.astype(np.float32), in_range=(lo, hi), out_range=(0.0, 1.0)))


def cucim_scale(inputs: Sequence[Any], lo: float, hi: float) -> Call:
    """It returns the type of its input: that must be float32."""
    scale = need("cucim.core.operations.intensity").scale_intensity_range
    return over(inputs, lambda x: scale(x.astype(np.float32), 1.0, 0.0, hi, lo, True))


def torchio_window(inputs: Sequence[Any], affine: h.Array, lo: float, hi: float) -> Call:
    """RescaleIntensity goes through NumPy; Clamp and a Lambda stay on the device."""
    tio = need("torchio")
    compose = tio.Compose([tio.Clamp(lo, hi), tio.Lambda(lambda t: (t - lo) / (hi - lo))])
    return over([tio.ScalarImage(tensor=t.float()[None], affine=affine) for t in inputs], compose)


def _torch_clamped(x: Any, lo: float, hi: float) -> Any:
    return x.sub_(lo).mul_(1 / (hi - lo)).clamp_(0, 1)


# Resampling, and a window after it


def cupy_zoom(
    lab: Lab, inputs: Sequence[Any], shape: Sequence[int], order: int, window: tuple[float, float] | None, dtype: str
) -> Call:
    """``grid="scipy"`` of fastprep, at the boundary of ITK and fastprep."""
    xp = lab.xp
    factors = [m / n for n, m in zip(inputs[0].shape, shape, strict=True)]
    made = dtype if window is None else "float32"

    def call(x: Any) -> Any:
        y = lab.ndimage.zoom(x, factors, output=np.dtype(made).type, order=order, mode="mirror")
        if window is None:
            return y
        y -= window[0]
        y *= 1 / (window[1] - window[0])
        return xp.clip(y, 0, 1, out=y).astype(dtype, copy=False)

    return over(inputs, call)


def cucim_resize(
    lab: Lab, inputs: Sequence[Any], shape: Sequence[int], order: int, window: tuple[float, float]
) -> Call:
    """``grid="edges"`` of fastprep; "reflect" is the mirror of ITK and fastprep."""
    resize, xp = need(f"{lab.skimage}.transform").resize, lab.xp
    how = {"mode": "edge" if order == 1 else "reflect", "clip": False, "anti_aliasing": False, "preserve_range": True}

    def call(x: Any) -> Any:
        y = resize(x.astype(np.float32), tuple(shape), order=order, **how)
        y -= window[0]
        y *= 1 / (window[1] - window[0])
        return xp.clip(y, 0, 1, out=y)

    return over(inputs, call)


def torch_interpolate(
    inputs: Sequence[Any], shape: Sequence[int], window: tuple[float, float] | None, dtype: str
) -> Call:
    """``grid="edges"`` of fastprep; inputs of 3 axes, or a batch of 4."""
    torch = need("torch")
    interpolate, kind = torch.nn.functional.interpolate, getattr(torch, dtype)

    def call(x: Any) -> Any:
        y = interpolate(x.float()[None, None], tuple(shape), mode="trilinear", align_corners=False)[0, 0]
        return y if window is None else _torch_clamped(y, *window).to(kind)

    return over(inputs, call)


def compiled_interpolate(inputs: Sequence[Any], shape: Sequence[int], window: tuple[float, float]) -> Call:
    torch = need("torch")
    interpolate, (lo, hi) = torch.nn.functional.interpolate, window

    def call(x: Any) -> Any:
        y = interpolate(x.float()[None, None], tuple(shape), mode="trilinear", align_corners=False)[0, 0]
        return ((y - lo) * (1 / (hi - lo))).clamp(0, 1)

    return over(inputs, torch.compile(call))


def torch_nearest(inputs: Sequence[Any], shape: Sequence[int]) -> Call:
    interpolate = need("torch").nn.functional.interpolate
    return over(inputs, lambda x: interpolate(x[None, None], tuple(shape), mode="nearest-exact")[0, 0])


def monai_spacing(inputs: Sequence[Any], affine: h.Array, new: Sequence[float], window: tuple[float, float]) -> Call:
    """``grid="monai"`` of fastprep."""
    t = need("monai.transforms")
    spacing = t.Spacing(pixdim=tuple(new), mode="bilinear", padding_mode="border", dtype=np.float32)
    scale = t.ScaleIntensityRange(*window, 0.0, 1.0, clip=True)
    return over(_metatensors(inputs, affine), lambda x: scale(spacing(x)))


def torchio_resample(
    lab: Lab, inputs: Sequence[Any], affine: h.Array, new: Sequence[float], window: tuple[float, float]
) -> Call:
    """TorchIO resamples with SimpleITK, on the host: from the device and back. ``grid="torchio"`` of fastprep."""
    tio = need("torchio")
    lo, hi = window
    resample = tio.Resample(tuple(new), image_interpolation="linear")

    def call(x: Any) -> Any:
        image = resample(tio.ScalarImage(tensor=x.cpu().float()[None], affine=affine))
        return _torch_clamped(image.data.to(lab.torch_device), lo, hi)

    return over(inputs, call)


def _metatensors(inputs: Sequence[Any], affine: h.Array) -> list[Any]:
    torch, data = need("torch"), need("monai.data")
    return [data.MetaTensor(x[None], affine=torch.from_numpy(np.array(affine))) for x in inputs]


# Oblique affines


def cupy_affine(
    lab: Lab, inputs: Sequence[Any], matrix: h.Array, shape: Sequence[int], order: int, fill: float
) -> Call:
    """Beyond the outermost centres it fills, where fastprep holds the edge for half a voxel."""
    linear, offset = lab.xp.asarray(matrix[:3, :3]), matrix[:3, 3].tolist()
    how = {"output_shape": tuple(shape), "output": np.float32, "order": order, "cval": fill}
    mode = "constant" if order == 1 else "mirror"
    return over(inputs, lambda x: lab.ndimage.affine_transform(x, linear, offset, mode=mode, **how))


def torch_grid_sample(lab: Lab, inputs: Sequence[Any], matrix: h.Array, shape: Sequence[int]) -> Call:
    """Beyond the outermost centres it clamps; coordinates are float32."""
    torch = need("torch")
    f = torch.nn.functional
    theta = h.oracles.torch_theta(matrix, shape, inputs[0].shape).to(lab.torch_device, torch.float32)

    def call(x: Any) -> Any:
        where = f.affine_grid(theta, (1, 1, *shape), align_corners=True)
        return f.grid_sample(x.float()[None, None], where, padding_mode="border", align_corners=True)[0, 0]

    return over(inputs, call)


def monai_affine(lab: Lab, inputs: Sequence[Any], matrix: h.Array, shape: Sequence[int]) -> Call:
    """The layer behind MONAI's affine transforms: theta in voxels, output to input."""
    torch, layers = need("torch"), need("monai.networks.layers")
    layer = layers.AffineTransform(
        tuple(shape), normalized=False, padding_mode="border", align_corners=True, reverse_indexing=True
    )
    theta = torch.from_numpy(np.array(matrix)).to(lab.torch_device, torch.float32)
    return over(inputs, lambda x: layer(x.float()[None, None], theta)[0, 0])


# Moving voxels


def cupy_permuted(lab: Lab, inputs: Sequence[Any], axes: Sequence[int], flips: Sequence[slice]) -> Call:
    return over(inputs, lambda x: lab.xp.ascontiguousarray(x.transpose(*axes)[tuple(flips)]))


def torch_permuted(inputs: Sequence[Any], axes: Sequence[int], flipped: Sequence[int]) -> Call:
    need("torch")
    return over(inputs, lambda x: x.permute(*axes).flip(tuple(flipped)).contiguous())


def torch_pad(inputs: Sequence[Any], edges: Sequence[tuple[int, int]], fill: float) -> Call:
    """Negative widths crop."""
    pad = need("torch").nn.functional.pad
    widths = [n for pair in reversed(edges) for n in pair]
    return over(inputs, lambda x: pad(x, widths, value=fill))


# The chest pipeline from pinned memory


def monai_chest(lab: Lab, inputs: Sequence[h.Array], affine: h.Array, shape: Sequence[int], window: Any) -> Call:
    torch, data = need("torch"), need("monai.data")
    compose = h.oracles.monai_ct_chest("SPL", (1.0, 1.0, 1.0), *window, shape)
    to_world = torch.from_numpy(np.array(affine))

    def call(x: h.Array) -> Any:
        there = torch.from_numpy(x).to(lab.torch_device, non_blocking=True)
        return compose(data.MetaTensor(there[None], affine=to_world))

    return over(inputs, call)


# Bias fields


def n4ax_n4(inputs: Sequence[h.Array], mask: h.Array, iterations: Sequence[int]) -> Call:
    """JAX's N4, with its over-relaxation of 1.8; it returns when its result is there."""
    jax, n4ax = need("jax"), need("n4ax")
    volumes, marks = [jax.device_put(x) for x in inputs], jax.device_put(mask)

    def call(x: Any) -> Any:
        return jax.block_until_ready(n4ax.n4(x, mask=marks, iters=tuple(iterations), return_bias=True))

    return over(volumes, call)


# Connected components


def cupy_label(lab: Lab, inputs: Sequence[Any]) -> Call:
    near = np.ones((3, 3, 3), bool)
    return over(inputs, lambda x: lab.ndimage.label(x, near)[0])


def cucim_label(lab: Lab, inputs: Sequence[Any]) -> Call:
    label = need(f"{lab.skimage}.measure").label
    return over(inputs, lambda x: label(x, connectivity=3))


def cupy_regions(lab: Lab, inputs: Sequence[Any], threshold: int) -> Call:
    """How many voxels each part has; its centroid, mean and maximum beside it, of types that CuPy is fast at."""
    xp, ndimage = lab.xp, lab.ndimage
    near = np.ones((3, 3, 3), bool)

    def call(x: Any) -> Any:
        mask, values = x > threshold, x.astype(np.float32)
        labels, count = ndimage.label(mask, near)
        each = xp.arange(1, count + 1)
        ndimage.center_of_mass(mask.astype(np.float32), labels, each)
        ndimage.mean(values, labels, each)
        ndimage.maximum(values, labels, each)
        return xp.bincount(labels.ravel(), minlength=count + 1)[1:]

    return over(inputs, call)


def cucim_regions(lab: Lab, inputs: Sequence[Any], threshold: int) -> Call:
    """The same by one table."""
    measure = need(f"{lab.skimage}.measure")
    columns = ("area", "centroid", "intensity_mean", "intensity_max")

    def call(x: Any) -> Any:
        labels = measure.label(x > threshold, connectivity=3)
        return measure.regionprops_table(labels, x, properties=columns)["area"].astype(np.int64)

    return over(inputs, call)


# CLAHE, denoising, SSIM


def cucim_clahe(lab: Lab, inputs: Sequence[Any], size: Sequence[int], clip: float) -> Call:
    equalize = need(f"{lab.skimage}.exposure").equalize_adapthist
    return over(inputs, lambda x: equalize(x, kernel_size=list(size), clip_limit=clip, nbins=256))


def cucim_clahe_planes(lab: Lab, inputs: Sequence[Any], size: Sequence[int], clip: float) -> Call:
    equalize, xp = need(f"{lab.skimage}.exposure").equalize_adapthist, lab.xp
    how = {"kernel_size": list(size), "clip_limit": clip, "nbins": 4096}
    return over(inputs, lambda x: xp.rint(xp.stack([equalize(v, **how) for v in x]) * 65535).astype(np.uint16))


def cucim_tv(lab: Lab, inputs: Sequence[Any], weight: float, iterations: int) -> Call:
    denoise = need(f"{lab.skimage}.restoration").denoise_tv_chambolle
    return over(inputs, lambda x: denoise(x, weight=weight, eps=0, max_num_iter=iterations))


def cucim_ssim(lab: Lab, inputs: Sequence[Any], other: Any, span: float) -> Call:
    similarity, xp = need(f"{lab.skimage}.metrics").structural_similarity, lab.xp
    return over(inputs, lambda x: xp.atleast_1d(xp.asarray(similarity(x, other, data_range=span))))
