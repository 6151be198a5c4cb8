"""Connected components of masks, numbered: ten launches, and two waits, for the number of runs and for the answer."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import scratch
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._runs import Runs
from fastprep.kernels.gpu._types import NUMBERS, WORDS, job

INSTANCES = (
    *(f"bits<{name}>" for name in NUMBERS),
    *("scan_sums", "scan", "runs_of", "runs_join", "runs_roots"),
    *(f"runs_number<{WORDS[size]}>" for size in (4, 8)),
    *(f"runs_write<{name}>" for name in WORDS.values()),
)
_NUMBER = job("PP")


def label(mask: DeviceView, connectivity: int, out: DeviceView) -> list[int]:
    """The components of each volume of ``mask`` (B, Z, Y, X), bytes, into ``out`` of that shape; how many each has.

    They are numbered from 1 in the C order of their first voxels, and the rest is 0. Voxels are connected by faces,
    from 2 on by edges, with 3 by corners.
    """
    if mask.size == 0:
        return [0] * len(mask)
    runs = Runs(mask, 1, connectivity)
    runs.connect(runs.count())
    size = out.dtype.itemsize
    values, counts = runs.values(size), scratch(mask, (len(mask),), "int64")
    rest = _NUMBER.pack(values.address, counts.address)
    runs.each("label", f"runs_number<{WORDS[size]}>", rest, [values, counts], threads=len(mask))
    runs.write(values, out)
    found: list[int] = driver().read(counts).tolist()
    return found
