"""The GPU jobs of CLAHE, denoising and SSIM, beside cuCIM and CuPy where they have the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _cuda_peers as peers
import _harness as h
import numpy as np
from _cuda_data import Data
from _cuda_measure import Contestant, Job, Target

TILES, CLIP = 8, 2.0
FASTER = Target("peer", 5)
SIGMA = 20.0


def _cube(data: Data, dtype: str, part: int = 1) -> h.Array:
    """The middle of the CT, or a part of that along each axis."""
    sizes = [min(data.size.cube // part, n) for n in data.host.shape]
    start = [(n - m) // 2 for n, m in zip(data.host.shape, sizes, strict=True)]
    box = tuple(slice(a, a + m) for a, m in zip(start, sizes, strict=True))
    return np.ascontiguousarray(data.host[box]).astype(dtype)


def _copies(data: Data, x: h.Array) -> tuple[list[Any], list[Any]]:
    """On the device, as fastprep and as peers take them."""
    made = [data.lab.put(x) for _ in range(data.size.copies)]
    return made, [data.lab.native(v) for v in made]


def _clahe_volume(data: Data) -> Job:
    host = np.clip((_cube(data, "float32") + 1000) / 1400, 0, 1)
    volumes, natives = _copies(data, host)
    size = [-(-n // TILES) for n in host.shape]
    how = {"clip_limit": CLIP, "tiles": TILES, "value_range": (0, 1), "nan": "ignore"}
    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, lambda x: data.fp.clahe(x, **how))),
        Contestant("cuCIM", lambda: peers.cucim_clahe(data.lab, natives, size, CLIP / 256)),
    ]
    name = f"CLAHE, {'x'.join(map(str, host.shape))}, float32"
    note = "cuCIM clips, bins and lays its tiles otherwise"
    return Job("clahe-volume", name, contestants, host.nbytes, (Target("ms", 1.0), FASTER), tolerance=1.0, note=note)


def _clahe_planes(data: Data) -> Job:
    batch, side = data.size.planes
    one = np.resize(data.host[data.host.shape[0] // 2].astype(np.int32) + 1100, (side, side)) * 8
    host = np.stack([one + 16 * k for k in range(batch)]).astype(np.uint16)
    planes, natives = _copies(data, host)
    how = {"clip_limit": CLIP, "tiles": (TILES, TILES), "bins": 4096, "value_range": (0, 65535)}
    size = [-(-side // TILES)] * 2
    contestants = [
        Contestant("fastprep", lambda: peers.over(planes, lambda x: data.fp.clahe(x, **how))),
        Contestant("cuCIM, one by one", lambda: peers.cucim_clahe_planes(data.lab, natives, size, CLIP / 256)),
    ]
    name = f"CLAHE, {batch} planes of {side} x {side}, uint16, 4096 bins"
    targets = (Target("ms", 1.0), FASTER)
    return Job("clahe-planes", name, contestants, host.nbytes, targets, tolerance=65536, note="cuCIM: as above")


def _nlm(data: Data) -> Job:
    host = _cube(data, "float32")
    volumes, _ = _copies(data, host)
    how = {"patch": 3, "distance": data.size.reach, "sigma": SIGMA}
    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, lambda x: data.fp.denoise_nlm(x, **how))),
    ]
    name = f"non-local means, {'x'.join(map(str, host.shape))}, patch 3, distance {data.size.reach}"
    return Job("nlm", name, contestants, host.nbytes, (Target("ms", 40.0),), note="no peer has it on a GPU")


def _tv(data: Data) -> Job:
    host = _cube(data, "float32")
    volumes, natives = _copies(data, host)
    iterations = data.size.iterations
    contestants = [
        Contestant(
            "fastprep",
            lambda: peers.over(volumes, lambda x: data.fp.denoise_tv(x, weight=SIGMA, eps=0, iterations=iterations)),
        ),
        Contestant("cuCIM", lambda: peers.cucim_tv(data.lab, natives, SIGMA, iterations)),
    ]
    name = f"total variation, {'x'.join(map(str, host.shape))}, {iterations} iterations"
    return Job("tv", name, contestants, host.nbytes, (FASTER,), tolerance=0.1)


def _median(data: Data) -> Job:
    host = _cube(data, "int16")
    volumes, natives = _copies(data, host)
    median = data.lab.ndimage.median_filter
    contestants = [
        Contestant("fastprep", lambda: peers.over(volumes, lambda x: data.fp.median(x, size=3))),
        Contestant("CuPy median_filter", lambda: peers.over(natives, lambda x: median(x, 3))),
    ]
    name = f"median of 3x3x3, {'x'.join(map(str, host.shape))}, int16"
    return Job("median", name, contestants, host.nbytes, (FASTER,), tolerance=0.0)


def _ssim(data: Data) -> Job:
    host = _cube(data, "float32", 2)
    other = host + SIGMA * np.random.default_rng(0).standard_normal(host.shape, np.float32)
    volumes, natives = _copies(data, host)
    (second, *_), (other_native, *_) = _copies(data, other.astype(np.float32))
    span = float(np.ptp(np.stack([host, other])))
    contestants = [
        Contestant(
            "fastprep", lambda: peers.over(volumes, lambda x: np.array([data.fp.ssim(x, second, data_range=span)]))
        ),
        Contestant("cuCIM", lambda: peers.cucim_ssim(data.lab, natives, other_native, span)),
    ]
    name = f"SSIM, {'x'.join(map(str, host.shape))}, window 7"
    nbytes, targets = 2 * host.nbytes, (FASTER,)
    return Job("ssim", name, contestants, nbytes, targets, clock="upload", tolerance=1e-4, bytes_out=0)


JOBS: dict[str, Callable[[Data], Job]] = {
    "clahe-volume": _clahe_volume,
    "clahe-planes": _clahe_planes,
    "nlm": _nlm,
    "tv": _tv,
    "median": _median,
    "ssim": _ssim,
}
