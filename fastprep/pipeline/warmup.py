"""warmup: kernels compiled before the first scan needs them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.pipeline.barriers import N4
from fastprep.pipeline.enhance_steps import Clahe, DenoiseNlm, Median
from fastprep.pipeline.learned_steps import Nyul
from fastprep.pipeline.mask_steps import LungMask, NormalizeInMask
from fastprep.pipeline.metal_check import MetalCheck
from fastprep.pipeline.normalisers import PercentileClip, WhiteStripe, ZScore
from fastprep.pipeline.pipeline import Pipeline
from fastprep.pipeline.scan_steps import CropToMask
from fastprep.pipeline.steps import CropOrPad, Deskew, Flip, MultiWindow, Resample, Step, Window

#: As readers hand scans over, and as models want them.
_SCANS = ("int16", "uint16", "uint8", "float32")
_RESULTS = ("float32", "float16")
#: Labels move by their width; the one-hot kernel knows their type.
_LABELS = ("uint8", "int16", "int32")
_SHAPE = (5, 6, 7)
#: Metal, lungs, and statistics inside them.
_LUNGS = (MetalCheck(), LungMask(), CropToMask(margin=5.0), Flip((0,)), NormalizeInMask())
#: Counts or bins, a few quantiles and many, and maps of both forms.
_NORMALISERS = (
    WhiteStripe(mask=None, width=0.3),
    PercentileClip(mask=None),
    Nyul(mask=None, landmarks=tuple(map(float, range(11)))),
)
#: Of floats alone, as presets have them by then.
_ENHANCERS = (Clahe(value_range=(0, 200)), Clahe(mask="foreground", value_range=(0, 200)), DenoiseNlm(), Median())


def warmup(progress: Callable[[str, float], None] | None = None, *, device: str = "cpu") -> float:
    """Compile what the presets and common dtypes need, into the cache on disk of Numba, or of CuPy for "cuda".

    Scans of int16, uint16, uint8 and float32 to float32 and float16 by every interpolation, N4, normalisers and masks
    of each, CLAHE and denoising of float32, labels of 1, 2 and 4 bytes; anything else compiles at its first call. Takes
    minutes once, and a moment in every later process.

    Parameters
    ----------
    progress : called after each job with what it compiled and the fraction done.
    device : "cpu", "cuda", "cuda:1", or "auto".

    Returns
    -------
    Seconds it took.

    Examples
    --------
    >>> seconds = warmup(lambda job, done: print(f"{done:4.0%} {job}"))  # doctest: +SKIP
    """
    start = time.perf_counter()
    jobs = list(_jobs())
    for i, (name, pipeline, image) in enumerate(jobs, 1):
        pipeline.to(device)(image)
        if progress is not None:
            progress(name, i / len(jobs))
    return time.perf_counter() - start


def _jobs() -> Iterator[tuple[str, Pipeline, Image]]:
    # Sheared, so that a deskew is oblique; a resample is along the axes on any grid.
    affine = np.eye(4)[[2, 1, 0, 3]]
    affine[1, 0] = 0.3
    grid = Grid(_SHAPE, affine)
    for scan in _SCANS:
        image = Image(np.zeros(_SHAPE, scan), grid, rescale=Ramp(1.0, -1.0))
        for steps in _intensity(), *_spatial(("nearest", "linear", "cubic"), "nearest"):
            for result in _RESULTS:
                yield f"{scan} to {result}: {steps[0].name}", Pipeline(steps, dtype=result), image
        # A constant image has neither a foreground nor a spread.
        varied = Image(np.arange(math.prod(_SHAPE)).reshape(_SHAPE).astype(scan), grid)
        yield f"{scan}: n4", Pipeline((N4(iterations=(1, 1), shrink_factor=1), ZScore())), varied
        # One tissue, with a mode that is not at the edge.
        tissue = Image(np.random.default_rng(0).normal(100, 10, _SHAPE).astype(scan), grid)
        for normaliser in _NORMALISERS:
            yield f"{scan}: {normaliser.name}", Pipeline((normaliser,)), tissue
        for enhancer in _ENHANCERS if scan == "float32" else ():
            yield f"{scan}: {enhancer.name}", Pipeline((enhancer,)), tissue
        if scan != "uint8":
            yield f"{scan}: lungs", Pipeline(_LUNGS), _chest(scan)
    for label in _LABELS:
        image = Image(np.zeros(_SHAPE, label), grid, kind="label")
        for order in ("nearest", "onehot"):
            for steps in _spatial(("linear",), order):
                yield f"{label} labels: {steps[0].name}", Pipeline(steps), image


def _chest(dtype: str) -> Image:
    """As it is stored, with an intercept where the type has no negative numbers."""
    # Here, for a phantom is seldom wanted.
    from fastprep.testing.phantoms import chest_ct

    ct = chest_ct((16, 32, 32), (16.0, 11.0, 11.0), metal=True)
    offset = 1024 if dtype == "uint16" else 0
    return replace(ct, array=(ct.array + offset).astype(dtype), rescale=Ramp(1.0, -offset))


def _intensity() -> tuple[Step, ...]:
    """A Ramp, channels, and a function that is no Ramp."""
    return MultiWindow(("lung", "bone")), Window(40, 400, function="sigmoid")


def _spatial(orders: tuple[str, ...], label_order: str) -> Iterator[tuple[Step, ...]]:
    """A copy, and every interpolation along the axes and across them."""
    yield (CropOrPad(_SHAPE[::-1]),)
    for order in orders:
        yield (Resample(spacing=(0.5, 0.5, 0.5), order=order, label_order=label_order),)
        yield (Deskew(order=order, label_order=label_order),)
