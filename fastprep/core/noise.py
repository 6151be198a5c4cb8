"""The noise of an image: the wavelet that sees little else, and what a magnitude makes of Gaussian noise."""

from __future__ import annotations

import math

import numpy as np

_ROOT, _NORM = math.sqrt(3.0), 4.0 * math.sqrt(2.0)
#: The high-pass filter of Daubechies' wavelet with two vanishing moments; the taps sum to 0, their squares to 1.
DB2 = ((1 - _ROOT) / _NORM, -(3 - _ROOT) / _NORM, (3 + _ROOT) / _NORM, -(1 + _ROOT) / _NORM)
#: The median of the absolute value of a standard normal variable.
MAD = 0.6744897501960817

#: Mean over standard deviation of a magnitude without signal (Rayleigh).
_RAYLEIGH = math.sqrt(math.pi / (4 - math.pi))
#: Beyond this signal to noise ratio a magnitude is Gaussian within 1e-4.
_GAUSSIAN = 60.0
_ANGLES = np.arange(0.5, 256) * (math.pi / 256)


def details(n: int) -> int:
    """Windows of the filter inside an axis of ``n`` voxels, every second one; a shorter axis is left as it is."""
    return (n - 4) // 2 + 1 if n >= 4 else n


def gaussian_sigma(mean: float, std: float) -> float:
    """The noise of each channel, from mean and standard deviation of a magnitude of two (Koay and Basser 2006)."""
    ratio = mean / std if std > 0 else math.inf
    if ratio >= _GAUSSIAN:
        return std
    snr = 0.0
    if ratio > _RAYLEIGH:
        snr = ratio
        for _ in range(200):
            before, snr = snr, math.sqrt(max(_variance(snr) * (1 + ratio * ratio) - 2, 0.0))
            if abs(snr - before) < 1e-9 * ratio:
                break
    return std / math.sqrt(_variance(snr))


def _variance(snr: float) -> float:
    """Of a magnitude of signal ``snr`` and noise 1 in each channel."""
    # Bessel functions I0 and I1 times exp(-z), by their integrals; the rule is exact for a smooth periodic function.
    z = snr * snr / 4
    falling = np.exp(z * (np.cos(_ANGLES) - 1))
    zeroth, first = float(falling.mean()), float((falling * np.cos(_ANGLES)).mean())
    squared_mean = math.pi / 8 * ((2 + snr * snr) * zeroth + snr * snr * first) ** 2
    return 2 + snr * snr - squared_mean
