"""Mean and variance of every pixel over a stack of frames: a thread has a pixel."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._bias import ANY, any_array
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = ("frames",)
_JOB = job(f"{ANY}4iPP")


def frames(x: DeviceView, mean: DeviceView, variance: DeviceView) -> None:
    """Of ``x`` (N, Z, Y, X) into ``mean`` and ``variance`` (Z, Y, X), summed in float64; variance of the population."""
    packed = _JOB.pack(*any_array(x), *x.shape, mean.address, variance.address)
    run = Launch("frames", "frames", packed, -(-mean.size // THREADS), THREADS, 0, x, mean)
    launch_alone(run, [x], [mean, variance])
