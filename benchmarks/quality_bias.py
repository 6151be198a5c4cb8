"""Quality of the bias correctors on a phantom whose field is known, beside doing nothing and the true field.

Everything is judged inside the brain, which every corrector is given as its mask. A corrected image is scaled to the
truth by least squares first, the same for every row, so that gain is not judged.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import _harness as h
import numpy as np

import fastprep as fp
from fastprep.qc import field_correlation, tissue_cv
from fastprep.testing import BiasPhantom, bias_phantom

BEGIN, END = "<!-- quality-bias:begin -->", "<!-- quality-bias:end -->"
SHAPE, SPACING = (96, 112, 96), (1.8, 1.8, 1.8)
STRENGTHS, SEEDS, NOISE = (0.2, 0.4), (0, 1, 2), 20.0
SHRINK, LEVELS, THRESHOLD = 2, (50, 50, 50, 50), 1e-3
_TISSUES = {1: "CSF", 2: "grey", 3: "white"}
#: Corrected image and log field, or None where there is none.
Correction = tuple[h.Array, h.Array | None]


def run(
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = SPACING,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seeds: Sequence[int] = SEEDS,
    threads: int = 2,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Every corrector on every phantom, as one plain result."""
    h.set_threads(threads)
    machine = h.machine_facts(threads)
    cases = []
    for strength in strengths:
        for seed in seeds:
            log(f"strength {strength:g}, seed {seed}")
            head = bias_phantom(shape, spacing, seed=seed, strength=strength, noise=NOISE)
            cases.append({"strength": strength, "seed": seed, "rows": [_row(name, head, log) for name in CORRECTORS]})
    phantom = {"shape": list(shape), "spacing_mm": list(spacing), "noise": NOISE}
    settings = {"shrink_factor": SHRINK, "iterations": list(LEVELS), "convergence_threshold": THRESHOLD}
    return {"quality": "bias", "machine": machine, "phantom": phantom, "n4": settings, "cases": cases}


def judge(corrected: h.Array, log_field: h.Array | None, head: BiasPhantom) -> dict[str, float | None]:
    """The figures of one correction, inside the brain."""
    metrics: Any = importlib.import_module("skimage.metrics")
    mask, truth = head.mask, head.truth.array.astype(np.float64)
    image = corrected.astype(np.float64)
    image *= (image[mask] @ truth[mask]) / (image[mask] @ image[mask])
    error = float(((image - truth)[mask] ** 2).mean())
    span = float(np.ptp(truth[mask]))
    # Outside both are 0; inside, the local similarities are averaged.
    inside = [np.where(mask, x, 0) for x in (truth, image)]
    similar = metrics.structural_similarity(*inside, data_range=span, full=True)[1][mask].mean()
    cv = tissue_cv(corrected, head.tissue, mask)
    return {
        "mse": error,
        "psnr": 10 * float(np.log10(span**2 / error)),
        "ssim": float(similar),
        "correlation": None if log_field is None else field_correlation(log_field, head.log_field, mask),
        **{f"cv_{name.lower()}": cv[label] for label, name in _TISSUES.items()},
    }


def _row(name: str, head: BiasPhantom, log: Callable[[str], None]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        corrected, log_field = CORRECTORS[name](head)
    except Exception as error:  # a missing peer is a line of the table
        log(f"  {name}: {h.reason(error)}")
        return {"name": name, "error": h.reason(error)}
    seconds = time.perf_counter() - start
    row = {"name": name, "error": None, "seconds": seconds, **judge(corrected, log_field, head)}
    log(f"  {name:16s} MSE {row['mse']:7.1f}  white CV {row['cv_white']:.4f}  {seconds:.2f} s")
    return row


def _nothing(head: BiasPhantom) -> Correction:
    return head.image.array, None


def _oracle(head: BiasPhantom) -> Correction:
    return head.clean.array, head.log_field


def _ours(name: str, **how: Any) -> Callable[[BiasPhantom], Correction]:
    def correct(head: BiasPhantom) -> Correction:
        result = getattr(fp, name)(head.image, head.mask, **how)
        return result.corrected.array, result.log_field.array

    return correct


def _simpleitk(head: BiasPhantom) -> Correction:
    sitk = h.oracles.peer("SimpleITK")
    image, mask = h.oracles.sitk_image(head.image.array), h.oracles.sitk_image(head.mask)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(LEVELS)
    n4.SetConvergenceThreshold(THRESHOLD)
    factors = [SHRINK] * image.GetDimension()
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    return head.image.array / np.exp(field), field


CORRECTORS: dict[str, Callable[[BiasPhantom], Correction]] = {
    "do nothing": _nothing,
    "Gaussian": _ours("gaussian_bias"),
    "homomorphic": _ours("homomorphic_bias"),
    "polynomial": _ours("polynomial_bias"),
    "N4": _ours("n4", shrink_factor=SHRINK, iterations=LEVELS, convergence_threshold=THRESHOLD),
    "SimpleITK N4": _simpleitk,
    "oracle": _oracle,
}


def render(results: dict[str, Any]) -> str:
    """The Markdown table: means over the seeds of each strength, every number out of ``results``."""
    machine, phantom, n4 = results["machine"], results["phantom"], results["n4"]
    seeds = sorted({case["seed"] for case in results["cases"]})
    head = (
        f"Phantom `fastprep.testing.bias_phantom`, {'x'.join(map(str, phantom['shape']))} of "
        f"{' x '.join(f'{s:g}' for s in phantom['spacing_mm'])} mm, Rician noise {phantom['noise']:g} (white matter is "
        f"700), mean of {len(seeds)} seeds; {machine['date']}, fastprep {machine['versions']['fastprep']}"
        + "".join(f", {name} {machine['versions'][name]}" for name in ("SimpleITK",) if name in machine["versions"])
        + "."
    )
    lines = [
        head,
        "",
        "| field | corrector | MSE | PSNR dB | SSIM | field r | CV CSF | CV grey | CV white |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for strength in sorted({case["strength"] for case in results["cases"]}):
        cases = [case for case in results["cases"] if case["strength"] == strength]
        title = f"{np.exp(-strength):.2f} to {np.exp(strength):.2f}"
        for rows in zip(*(case["rows"] for case in cases), strict=True):
            lines.append(_line(title, rows))
            title = ""
    legend = (
        "Inside the brain, which every corrector has as its mask; corrected images are scaled to the truth by least "
        "squares first. field: the range of the true gain, up to a factor. field r: Pearson's correlation of the "
        "estimated and the true log field. CV: standard deviation over mean of a tissue. Doing nothing is the floor; "
        "dividing by the true field, noise and all, is the best there is: a CV below the oracle's is texture of the "
        f"tissue taken for field. N4 and SimpleITK: shrink {n4['shrink_factor']}, at most "
        f"{' + '.join(map(str, n4['iterations']))} iterations, threshold {n4['convergence_threshold']:g}; the others "
        "with their defaults."
    )
    return "\n".join([*lines, "", legend])


def _line(title: str, rows: Sequence[dict[str, Any]]) -> str:
    name = rows[0]["name"]
    errors = [row["error"] for row in rows if row["error"]]
    if errors:
        reason = errors[0].replace("|", "\\|")
        return f"| {title} | {name} | not run: {reason} |" + " |" * 6
    keys = {"mse": ".0f", "psnr": ".2f", "ssim": ".4f", "correlation": ".4f"}
    keys |= {f"cv_{tissue.lower()}": ".4f" for tissue in _TISSUES.values()}
    cells = []
    for key, form in keys.items():
        values = [row[key] for row in rows]
        cells.append("" if None in values else f"{np.mean(values):{form}}")
    return f"| {title} | {name} | " + " | ".join(cells) + " |"
