"""Bad pixels replaced by the median of good ones around them: a thread has a few pixels."""

from __future__ import annotations

from fastprep.core.detector import LEAST_GOOD, MEND_REACH
from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

THREADS = 256
INSTANCES = ("mend",)
_AT_ONCE = 4
_JOB = job("PPP4q4qq8i")


def mend(x: DeviceView, bad: DeviceView, out: DeviceView) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``bad`` (1 or B, Z, Y, X), not zero where it is.

    A pixel is mended from the smallest centred square of its plane (3x3, 5x5, ... up to `MEND_REACH`) that has at least
    `LEAST_GOOD` good pixels within the image, NaN being none; the median of an even number is the mean of the two in
    the middle. Where no square has so many, the pixel stays as it is.
    """
    marks = (0 if len(bad) == 1 else bad.strides[0], *bad.strides[1:])
    packed = _JOB.pack(
        *(
            x.address,
            out.address,
            bad.address,
            *(s * x.dtype.itemsize for s in x.strides),
            *marks,
            x.size,
            *x.shape[1:],
        ),
        *(LEAST_GOOD, MEND_REACH, NUMBERS.index(read_type(x.dtype)), x.dtype.itemsize, 0),
    )
    blocks = -(-x.size // (THREADS * _AT_ONCE))
    launch(Launch("mend", "mend", packed, blocks, THREADS, 0, x, out))
