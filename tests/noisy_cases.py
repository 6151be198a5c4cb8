"""A phantom with noise, and what tests ask of a filter: less noise inside tissue, and edges that stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from fastprep.testing.phantoms import BRAIN, labels_on, patient_grid

Array = npt.NDArray[Any]
SIGMA = 50.0


class Judged(NamedTuple):
    """Standard deviation of the error away from edges, gradients at edges beside the truth's, and the whole error."""

    noise: float
    edges: float
    error: float


def head() -> tuple[Array, Array]:
    """A T1 head of flat tissues, 4 mm a voxel, without noise and with it."""
    labels = labels_on(patient_grid((40, 48, 40), (4, 4, 4)), BRAIN).array
    truth = np.array([part.value for part in BRAIN], np.float32)[labels]
    noise = np.random.default_rng(7).standard_normal(truth.shape)
    return truth, (truth + SIGMA * noise).astype(np.float32)


def judged(image: Array, truth: Array) -> Judged:
    """How far an image of `head` is from the truth."""
    slopes, steep = np.stack(np.gradient(image.astype(np.float64))), np.stack(np.gradient(truth.astype(np.float64)))
    length = np.sqrt((steep**2).sum(axis=0))
    flat = ndi.maximum_filter(length, 3) == 0
    error = image.astype(np.float64) - truth
    edges = length > 100
    share = (slopes * steep).sum(axis=0)[edges].sum() / (length[edges] ** 2).sum()
    return Judged(float(error[flat].std()), float(share), float(np.sqrt((error**2).mean())))


def blurred(image: Array, truth: Array, noise: float) -> Array:
    """By the Gaussian that leaves so much of the noise itself."""
    low, high = 0.2, 3.0
    for _ in range(12):
        middle = (low + high) / 2
        left = float(ndi.gaussian_filter(image - truth, middle).std())
        low, high = (middle, high) if left > noise else (low, middle)
    return np.asarray(ndi.gaussian_filter(image, high))


def check_keeps_edges(filtered: Callable[[Array], Array], *, noise: float, edges: float) -> None:
    """Of `head` at most a share ``noise`` of the noise is left and at least a share ``edges`` of the edges.

    The Gaussian of the same noise leaves less of them, and it and doing nothing are farther from the truth.
    """
    truth, image = head()
    nothing, ours = judged(image, truth), judged(filtered(image), truth)
    blur = judged(blurred(image, truth, ours.noise), truth)
    assert ours.noise < noise * nothing.noise
    assert ours.edges > max(edges, blur.edges)
    assert ours.error < min(blur.error, nothing.error)
