"""Quality of the denoisers on phantoms whose truth is known, beside doing nothing and a Gaussian blur.

A denoiser is judged by two figures that pull against each other: how much noise it leaves inside tissue, and how much
of the truth's edges. The blur is the one whose noise is nearest to what non-local means leaves, so that edges compare.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import _harness as h
import numpy as np
from scipy import ndimage

import fastprep as fp

BEGIN, END = "<!-- quality-denoise:begin -->", "<!-- quality-denoise:end -->"
SHAPE, SPACING, SEEDS = (64, 112, 96), (2.0, 1.8, 1.8), (0, 1)
PLANE = (512, 512)
#: Standard deviation of the noise, white matter being 700.
SIGMA = 40.0
#: The part of voxels with the steepest gradients of the truth: its edges.
_EDGES = 0.05
#: Voxels of the blurs that are tried.
_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)
#: The part of voxels with the least steep surroundings.
_FLAT = 0.1
Filter = Callable[["Case"], h.Array]


class Case(NamedTuple):
    """A noisy image, what it should be, where it is judged, and whether its noise is that of magnitudes."""

    name: str
    image: h.Array
    truth: h.Array
    inside: h.Array
    rician: bool = False


def run(
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = SPACING,
    *,
    plane: Sequence[int] = PLANE,
    seeds: Sequence[int] = SEEDS,
    threads: int = 2,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Every filter on every phantom, as one plain result."""
    h.set_threads(threads)
    machine = h.machine_facts(threads)
    found = []
    for seed in seeds:
        for case in cases(shape, spacing, plane, seed):
            log(f"{case.name}, seed {seed}")
            rows = [_row(name, case, log) for name in FILTERS]
            found.append({"name": case.name, "seed": seed, "shape": list(case.image.shape), "rows": rows})
    return {"quality": "denoise", "machine": machine, "sigma": SIGMA, "cases": found}


def cases(shape: Sequence[int], spacing: Sequence[float], plane: Sequence[int], seed: int) -> list[Case]:
    """A head with noise of both kinds, and a radiograph."""
    testing: Any = importlib.import_module("fastprep.testing")
    head = testing.bias_phantom(shape, spacing, seed=seed, strength=0.0, noise=0.0)
    chest = testing.xray_phantom(plane, [360 / n for n in plane], seed=seed)
    truth = head.truth.array.astype(np.float32)
    rng = np.random.default_rng(seed)
    one, two = (SIGMA * rng.standard_normal(truth.shape).astype(np.float32) for _ in range(2))
    # The phantom's own noise away: what is left of it is part of the truth.
    rays = ndimage.gaussian_filter(chest.image.array.astype(np.float32), 2.0)
    grains = SIGMA * rng.standard_normal(rays.shape).astype(np.float32)
    return [
        Case("T1 head, Gaussian", truth + one, truth, head.mask),
        Case("T1 head, Rician", np.hypot(truth + one, two), truth, head.mask, rician=True),
        Case("radiograph, Gaussian", rays + grains, rays, np.ones(rays.shape, bool)),
    ]


def judge(image: h.Array, case: Case) -> dict[str, float]:
    """PSNR and SSIM, noise left (1 is all of it), and the share of the truth's edges that is still there."""
    truth, inside = case.truth.astype(np.float64), case.inside
    result = image.astype(np.float64)
    span = float(np.ptp(truth[inside]))
    steep = _gradients(truth)
    length = np.sqrt((steep**2).sum(axis=0))
    edges = inside & (length >= np.quantile(length[inside], 1 - _EDGES))
    # No edge beside it either, which a filter would draw in.
    near = ndimage.maximum_filter(length, 5)
    flat = inside & (near <= np.quantile(near[inside], _FLAT))
    along = (_gradients(result) * steep).sum(axis=0)
    noise, before = (float((x - truth)[flat].std()) for x in (result, case.image.astype(np.float64)))
    full = fp.ssim(truth, result, data_range=span * 1.5, full=True)[1]
    return {
        "psnr": 10 * float(np.log10(span**2 / ((result - truth)[inside] ** 2).mean())),
        "ssim": float(np.asarray(full)[inside].mean()),
        "noise": noise / before,
        "edges": float(along[edges].sum() / (length[edges] ** 2).sum()),
    }


def _gradients(x: h.Array) -> h.Array:
    return np.stack(np.gradient(x))


def _row(name: str, case: Case, log: Callable[[str], None]) -> dict[str, Any]:
    start = time.perf_counter()
    image = FILTERS[name](case)
    seconds = time.perf_counter() - start
    row = {"name": name, "seconds": seconds, **judge(image, case)}
    log(f"  {name:16s} PSNR {row['psnr']:.2f}  noise {row['noise']:.3f}  edges {row['edges']:.3f}  {seconds:.2f} s")
    return row


def _nothing(case: Case) -> h.Array:
    return case.image


def _blur(case: Case) -> h.Array:
    """The one whose noise is nearest to what non-local means leaves; too wide a blur brings in the edges."""
    wanted = judge(_nlm(case), case)["noise"]
    blurred = [np.asarray(ndimage.gaussian_filter(case.image, width)) for width in _WIDTHS]
    return min(blurred, key=lambda image: abs(judge(image, case)["noise"] - wanted))


def _nlm(case: Case) -> h.Array:
    how = {"patch": 3, "distance": 3} if case.image.ndim == 3 else {"patch": 5, "distance": 7}
    return np.asarray(fp.denoise_nlm(case.image, sigma=SIGMA, rician=case.rician, **how))


def _ours(name: str, case: Case, **how: Any) -> h.Array:
    return np.asarray(getattr(fp, name)(case.image, **how))


FILTERS: dict[str, Filter] = {
    "do nothing": _nothing,
    "Gaussian blur": _blur,
    "median": partial(_ours, "median", size=3),
    "bilateral": partial(_ours, "bilateral", sigma_value=2.5 * SIGMA, sigma_space=1.5),
    "total variation": partial(_ours, "denoise_tv", weight=SIGMA / 2),
    "non-local means": _nlm,
}


def render(results: dict[str, Any]) -> str:
    """The Markdown table: means over the seeds, every number out of ``results``."""
    machine = results["machine"]
    seeds = {case["seed"] for case in results["cases"]}
    lines = [
        f"Phantoms of `fastprep.testing` with noise of sigma {results['sigma']:g}, mean of {len(seeds)} seeds; "
        f"{machine['date']}, fastprep {machine['versions']['fastprep']}.",
        "",
        "| phantom | filter | PSNR dB | SSIM | noise left | edges left |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(case["name"] for case in results["cases"]):
        same = [case for case in results["cases"] if case["name"] == name]
        title = f"{name}, {'x'.join(map(str, same[0]['shape']))}"
        for rows in zip(*(case["rows"] for case in same), strict=True):
            forms = {"psnr": ".2f", "ssim": ".3f", "noise": ".2f", "edges": ".2f"}
            cells = [f"{np.mean([row[key] for row in rows]):{form}}" for key, form in forms.items()]
            lines.append(f"| {title} | {rows[0]['name']} | " + " | ".join(cells) + " |")
            title = ""
    legend = (
        "Noise left: standard deviation of the error where the truth is flat, as a share of the noisy image's. Edges "
        "left: the filtered gradient along the truth's, at its steepest 5 %; 1 is as sharp as the truth. The blur is "
        "the one whose noise is nearest to that of non-local means. Sigma is known to non-local means; bilateral: "
        "sigma_value 2.5 sigma, sigma_space 1.5; total variation: weight sigma / 2; median of 3."
    )
    return "\n".join([*lines, "", legend])
