"""The GPU jobs: a chest CT of 512x512x600 windowed, resampled, turned, uploaded, and small volumes by the hundred.

``python benchmarks/run.py --device cuda`` runs them; ``JOBS`` is in the order of what matters most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import _cuda_components
import _cuda_enhance
import _cuda_peers as peers
import _cuda_statistics
import _harness as h
import numpy as np
from _cuda_data import HI, LO, Data
from _cuda_measure import Contestant, Job, Target
from bench_resample import rotation

WINDOW = (LO, HI)
FILL = -1024.0
ANGLE_DEG = 10.0
FASTEST = Target("peer", 3)
#: Uploads one after another, so that each may begin while the last is computed.
IN_A_ROW = 8


def _window(data: Data, dtype: str) -> Job:
    lab, affine = data.lab, data.grid.affine

    def fastprep() -> peers.Call:
        window = data.fp.window
        return peers.over(data.arrays, lambda x: window(x, level=(LO + HI) / 2, width=HI - LO, dtype=dtype))

    contestants = [
        Contestant("fastprep", fastprep),
        Contestant("torch, clamp chain", lambda: peers.torch_window(data.tensors, LO, HI, dtype)),
        Contestant("CuPy, clip expression", lambda: peers.cupy_window(lab, data.natives, LO, HI, dtype)),
        Contestant("MONAI ScaleIntensityRange", lambda: peers.monai_window(data.tensors, affine, LO, HI, dtype)),
    ]
    if dtype == "float32":
        contestants += [
            Contestant("cuCIM rescale_intensity", lambda: peers.cucim_window(lab, data.natives, LO, HI)),
            Contestant(
                "TorchIO Clamp and Lambda",
                lambda: peers.torchio_window(data.tensors, affine, LO, HI),
                unpack=lambda image: image.data[0],
            ),
        ]
    if dtype == "float32" and not lab.emulated:
        contestants.append(Contestant("cuCIM scale_intensity_range", lambda: peers.cucim_scale(data.natives, LO, HI)))
    if not lab.emulated:
        compiled = lambda: peers.compiled_window(data.tensors, LO, HI, dtype)  # noqa: E731
        contestants.append(Contestant("torch.compile", compiled, is_peer=False))
    return Job(
        f"window-{dtype}",
        f"window, int16 to {dtype}",
        [_first_axis(c) if "MONAI" in c.name else c for c in contestants],
        data.nbytes,
        (Target("copy", 0.85), FASTEST),
    )


def _first_axis(c: Contestant) -> Contestant:
    """MONAI's results have a channel axis."""
    return replace(c, unpack=lambda result: result[0])


def _linear(data: Data) -> Job:
    lab, affine, new = data.lab, data.grid.affine, data.size.new
    shape, edges = data.new_shape, data.plan_on("edges")
    contestants = [
        Contestant("fastprep", lambda: peers.over(data.arrays, data.plan())),
        Contestant("torch interpolate", lambda: peers.torch_interpolate(data.tensors, shape, WINDOW, "float32"), edges),
        Contestant(
            "CuPy zoom", lambda: peers.cupy_zoom(lab, data.natives, shape, 1, WINDOW, "float32"), data.plan_on("scipy")
        ),
        Contestant("cuCIM resize", lambda: peers.cucim_resize(lab, data.natives, shape, 1, WINDOW), edges),
        _first_axis(
            Contestant(
                "MONAI Spacing",
                lambda: peers.monai_spacing(data.tensors, affine, new, WINDOW),
                data.plan_on("monai"),
            )
        ),
        _first_axis(
            Contestant(
                "TorchIO Resample, on the host",
                lambda: peers.torchio_resample(lab, data.tensors, affine, new, WINDOW),
                data.plan_on("torchio"),
            )
        ),
    ]
    if not lab.emulated:
        compiled = lambda: peers.compiled_interpolate(data.tensors, shape, WINDOW)  # noqa: E731
        contestants.append(Contestant("torch.compile of interpolate", compiled, edges, is_peer=False))
    targets = (Target("copy", 0.60), Target("ms", 1), FASTEST)
    return Job("linear", "linear to 1.5 mm and window, fused, float32", contestants, data.nbytes, targets)


def _cubic(data: Data) -> Job:
    lab, shape = data.lab, data.new_shape
    contestants = [
        Contestant("fastprep", lambda: peers.over(data.arrays, data.plan(order="cubic"))),
        Contestant(
            "CuPy zoom",
            lambda: peers.cupy_zoom(lab, data.natives, shape, 3, WINDOW, "float32"),
            data.plan_on("scipy", order="cubic"),
        ),
        Contestant(
            "cuCIM resize",
            lambda: peers.cucim_resize(lab, data.natives, shape, 3, WINDOW),
            data.plan_on("edges", order="cubic"),
        ),
    ]
    targets = (Target("copy", 0.35), FASTEST)
    return Job("cubic", "cubic B-spline to 1.5 mm and window, fused, float32", contestants, data.nbytes, targets)


def _prefilter(data: Data) -> Job:
    lab = data.lab
    matrix = rotation(data.grid, ANGLE_DEG)
    middle = data.size.shape[0] // 2
    start = np.eye(4)
    start[0, 3] = middle
    matrix, shape = matrix @ start, (1, *data.size.shape[1:])
    warp = data.fp.warp
    contestants = [
        Contestant(
            "fastprep", lambda: peers.over(data.arrays, lambda x: warp(x, matrix, shape, order="cubic", fill=FILL))
        ),
        Contestant(
            "CuPy affine_transform",
            lambda: peers.cupy_affine(lab, data.natives, matrix, shape, 3, FILL),
            inside=data.inside(matrix, shape),
        ),
    ]
    coefficients = 4 * data.host.size
    return Job(
        "prefilter",
        "cubic coefficients of the whole volume (an oblique warp to one plane)",
        contestants,
        data.nbytes,
        (Target("trips", 3, unit_bytes=2 * coefficients),),
        tolerance=1.0,
        note="in HU; bytes are int16 read and float32 coefficients written; a round trip reads and writes those once",
        bytes_out=coefficients,
    )


def _oblique(data: Data) -> Job:
    lab, shape = data.lab, data.size.shape
    matrix, warp = rotation(data.grid, ANGLE_DEG), data.fp.warp
    inside = data.inside(matrix, shape)
    contestants = [
        Contestant("fastprep", lambda: peers.over(data.arrays, lambda x: warp(x, matrix, shape, fill=FILL))),
        Contestant(
            "CuPy affine_transform",
            lambda: peers.cupy_affine(lab, data.natives, matrix, shape, 1, FILL),
            inside=inside,
        ),
        Contestant(
            "torch grid_sample", lambda: peers.torch_grid_sample(lab, data.tensors, matrix, shape), inside=inside
        ),
        Contestant(
            "MONAI AffineTransform", lambda: peers.monai_affine(lab, data.tensors, matrix, shape), inside=inside
        ),
    ]
    return Job(
        "oblique",
        f"oblique affine {ANGLE_DEG:g} degrees about (1, 1, 1), linear, int16 to float32",
        contestants,
        data.nbytes,
        (Target("copy", 0.45), FASTEST),
        tolerance=1.0,
        note="in HU, compared inside the outermost centres; peers' coordinates are float32",
    )


def _chest(data: Data) -> Job:
    """The preset as it ships, but for its crop at small sizes."""
    lab, fp = data.lab, data.fp
    form = data.steps.Pipeline.load("ct-chest").to_dict()
    if data.size.crop is not None:
        form["steps"][-1]["crop_or_pad"]["shape"] = list(data.size.crop)
    pipeline = data.steps.Pipeline.from_dict(form).to("cuda")
    target = lab.put(np.zeros_like(data.host))

    def images() -> list[Any]:
        return [fp.Image(x, data.grid, modality="CT") for x in data.pinned]

    def upload() -> peers.Call:
        return peers.over(data.pinned, lambda x: lab.upload(target, x))

    # MONAI ends on a grid of its own: fastprep samples where its affine says it is.
    def on_its_grid(result: Any) -> Any:
        matrix = np.linalg.inv(data.grid.affine) @ np.asarray(result.affine.cpu().numpy(), dtype=np.float64)
        warped = fp.warp(data.arrays[0], matrix, tuple(result.shape[1:]), fill=FILL)
        return fp.window(warped, level=(LO + HI) / 2, width=HI - LO)

    shape = tuple(form["steps"][-1]["crop_or_pad"]["shape"])
    monai = lambda: peers.monai_chest(lab, data.pinned, data.grid.affine, shape, WINDOW)  # noqa: E731
    contestants = [
        Contestant("fastprep", lambda: peers.over(images(), pipeline), unpack=_array),
        Contestant(
            f"fastprep, {IN_A_ROW} in a row",
            lambda: _in_a_row(peers.over(images(), pipeline)),
            unpack=_array,
            calls=IN_A_ROW,
            is_peer=False,
        ),
        Contestant("the upload alone", upload, lambda: data.arrays[0], is_peer=False),
        Contestant(
            f"the upload alone, {IN_A_ROW} in a row",
            lambda: _in_a_row(upload()),
            lambda: data.arrays[0],
            calls=IN_A_ROW,
            is_peer=False,
        ),
        _first_axis(Contestant("MONAI Compose", monai, lambda: on_its_grid(monai()(0)))),
    ]
    targets = (
        Target("over", 0.15, other="the upload alone"),
        Target("over", 0.15, row=f"fastprep, {IN_A_ROW} in a row", other=f"the upload alone, {IN_A_ROW} in a row"),
    )
    note = "from pinned host memory, upload included; the upload alone is one cudaMemcpyAsync of the same bytes"
    return Job(
        "ct-chest", "ct-chest, pinned int16 to float32", contestants, data.nbytes, targets, clock="upload", note=note
    )


def _array(image: Any) -> Any:
    return image.array


def _in_a_row(call: peers.Call) -> peers.Call:
    def several(i: int) -> Any:
        for k in range(IN_A_ROW):
            out = call(i + k)
        return out

    return several


def _launch(data: Data) -> Job:
    lab, n, resample = data.lab, data.size.small, data.fp.resample
    cube = h.phantom((n, n, n))
    one = [lab.put(cube) for _ in range(data.size.copies)]
    spacing, new = data.size.spacing, data.size.new

    def on(inputs: list[Any]) -> Callable[[], peers.Call]:
        return lambda: peers.over(inputs, lambda x: resample(x, spacing, new, fill=FILL))

    def batch() -> peers.Call:
        return on([lab.put(np.stack([cube] * data.size.batch))])()

    def edges(grid: str) -> Callable[[], Any]:
        return lambda: resample(one[0], spacing, new, fill=FILL, grid=grid)

    shape = tuple(edges("edges")().shape)
    tensors = lambda: [lab.tensor(x) for x in one]  # noqa: E731
    contestants = [
        Contestant("fastprep, CuPy array", on(one)),
        Contestant("fastprep, torch tensor", lambda: on([lab.own_tensor(x) for x in one])(), is_peer=False),
        Contestant(f"fastprep, batch of {data.size.batch}", batch, unpack=lambda y: y[0], is_peer=False),
        Contestant(
            "torch interpolate",
            lambda: peers.torch_interpolate(tensors(), shape, None, "float32"),
            edges("edges"),
        ),
        Contestant(
            "CuPy zoom",
            lambda: peers.cupy_zoom(lab, [lab.native(x) for x in one], shape, 1, None, "float32"),
            edges("scipy"),
        ),
    ]
    targets = (Target("us", 40), *(Target("us", 40, row=c.name) for c in contestants[1:3]))
    return Job(
        "launch",
        f"host time of a call: linear resample of {n}x{n}x{n} int16",
        contestants,
        cube.nbytes,
        targets,
        clock="host",
        tolerance=0.5,
        note="in HU; many calls queued, nothing waited for; the batch is one call",
    )


def _linear_half(data: Data) -> Job:
    shape = data.new_shape
    contestants = [
        Contestant("fastprep", lambda: peers.over(data.arrays, data.plan(dtype="float16"))),
        Contestant(
            "torch interpolate",
            lambda: peers.torch_interpolate(data.tensors, shape, WINDOW, "float16"),
            data.plan_on("edges", dtype="float16"),
        ),
    ]
    return Job("linear-float16", "linear to 1.5 mm and window, fused, float16", contestants, data.nbytes)


def _antialias(data: Data) -> Job:
    contestants = [Contestant("fastprep", lambda: peers.over(data.arrays, data.plan(antialias=True)))]
    name = "linear to 1.5 mm, antialiased, and window, fused, float32"
    return Job("antialias", name, contestants, data.nbytes, note="no peer with the same filter")


def _nearest(data: Data) -> Job:
    lab, shape, size = data.lab, data.new_shape, data.size

    def on(grid: str) -> Callable[[Any], Any]:
        resample = data.fp.resample
        return lambda x: resample(x, size.spacing, size.new, order="nearest", grid=grid)

    contestants = [
        Contestant("fastprep", lambda: peers.over(data.labels, on("itk"))),
        Contestant(
            "torch nearest-exact",
            lambda: peers.torch_nearest([lab.tensor(x) for x in data.labels], shape),
            lambda: on("edges")(data.labels[0]),
            inside=data.no_ties("edges"),
        ),
        Contestant(
            "CuPy zoom",
            lambda: peers.cupy_zoom(lab, [lab.native(x) for x in data.labels], shape, 0, None, "uint8"),
            lambda: on("scipy")(data.labels[0]),
            inside=data.no_ties("scipy"),
        ),
    ]
    note = "difference: fraction of voxels, but for ties; lines in between need not be read"
    return Job("nearest", "nearest to 1.5 mm, label uint8", contestants, data.host.size, tolerance=1e-4, note=note)


def _reorient(data: Data) -> Job:
    """All axes change places, and two are flipped."""
    lab, reorient = data.lab, data.fp.reorient
    images = [data.fp.Image(x, data.grid, modality="CT") for x in data.arrays]
    back, same = slice(None, None, -1), slice(None)
    contestants = [
        Contestant("fastprep", lambda: peers.over(images, lambda image: reorient(image, "RAS")), unpack=_array),
        Contestant("CuPy transpose", lambda: peers.cupy_permuted(lab, data.natives, (2, 1, 0), (back, back, same))),
        Contestant("torch permute", lambda: peers.torch_permuted(data.tensors, (2, 1, 0), (0, 1))),
    ]
    return Job("reorient", "reorient SPL to RAS, int16", contestants, data.nbytes, tolerance=0.0)


def _crop_or_pad(data: Data) -> Job:
    depth, height, width = data.size.shape
    cut, more = depth // 8, height // 16
    wanted = (depth - 2 * cut, height + 2 * more, width - 2 * cut)
    contestants = [
        Contestant("fastprep", lambda: peers.over(data.arrays, lambda x: data.fp.crop_or_pad(x, wanted, fill=FILL))),
        Contestant(
            "torch pad", lambda: peers.torch_pad(data.tensors, ((-cut, -cut), (more, more), (-cut, -cut)), int(FILL))
        ),
    ]
    read = 2 * wanted[0] * height * wanted[2]
    name = "crop two axes, pad the third, int16"
    return Job("crop-or-pad", name, contestants, read, tolerance=0.0, note="bytes in: what is left after the crop")


def _n4(data: Data) -> Job:
    """At n4ax's own size and iterations; JAX has streams of its own, so everybody is waited for."""
    lab, size, n4 = data.lab, data.size, data.fp.n4
    hosts, mask = data.heads(size.head, size.heads)
    marks = lab.put(mask)
    how = {"iterations": size.levels, "convergence_threshold": 0}
    volumes = [lab.put(x) for x in hosts[: size.copies]]
    batch = [lab.put(np.stack(hosts))]
    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, lambda x: n4(x, marks, **how)), unpack=_log_field),
        Contestant(
            f"fastprep, batch of {size.heads}, per volume",
            lambda: peers.over(batch, lambda x: n4(x, marks, **how)),
            unpack=lambda result: result.log_field[0],
            calls=size.heads,
            is_peer=False,
        ),
        Contestant(
            "n4ax",
            lambda: peers.n4ax_n4(hosts[: size.copies], mask, size.levels),
            unpack=lambda result: np.asarray(result[1]),
        ),
    ]
    targets = (Target("ms", 10), Target("ms", 4, row=contestants[1].name), Target("peer", 8))
    return Job(
        "n4",
        f"N4, {'x'.join(map(str, size.head))}, {sum(size.levels)} iterations",
        contestants,
        hosts[0].nbytes,
        targets,
        clock="upload",
        tolerance=0.1,
        note="of the log field; on an idle device, the host's part included; n4ax over-relaxes: its field is another",
    )


def _n4_large(data: Data) -> Job:
    lab, size = data.lab, data.size
    hosts, mask = data.heads(size.large_head, 1)
    volume, marks = lab.put(hosts[0]), lab.put(mask)
    how = {"iterations": size.large_levels, "convergence_threshold": 0}

    def polynomial(x: Any) -> Any:
        return data.fp.polynomial_bias(x, marks, iterations=5, convergence_threshold=0)

    contestants = [
        Contestant("fastprep", lambda: peers.over([volume], lambda x: data.fp.n4(x, marks, **how)), unpack=_log_field),
        Contestant(
            "fastprep, polynomial of order 3",
            lambda: peers.over([volume], polynomial),
            lambda: polynomial(volume).log_field,
            unpack=_log_field,
            is_peer=False,
        ),
    ]
    return Job(
        "n4-large",
        f"N4, {'x'.join(map(str, size.large_head))}, {sum(size.large_levels)} iterations",
        contestants,
        hosts[0].nbytes,
        (Target("ms", 40),),
        clock="upload",
    )


def _log_field(result: Any) -> Any:
    return result.log_field


JOBS: dict[str, Callable[[Data], Job]] = {
    "window-float32": lambda data: _window(data, "float32"),
    "window-float16": lambda data: _window(data, "float16"),
    "linear": _linear,
    "cubic": _cubic,
    "prefilter": _prefilter,
    "oblique": _oblique,
    "ct-chest": _chest,
    "launch": _launch,
    "n4": _n4,
    "n4-large": _n4_large,
    **_cuda_statistics.JOBS,
    **_cuda_components.JOBS,
    **_cuda_enhance.JOBS,
    "linear-float16": _linear_half,
    "antialias": _antialias,
    "nearest": _nearest,
    "reorient": _reorient,
    "crop-or-pad": _crop_or_pad,
}
