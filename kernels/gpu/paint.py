"""Volumes of what ``clusters`` found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import tables
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._runs import Runs, one_volume
from fastprep.kernels.gpu._types import WORDS, job

INSTANCES = tuple(f"paint<{name}>" for name in WORDS.values())
_JOB = job("PP")
#: Bytes of a table that is kept for another call.
_SMALL = 1 << 16


def paint(runs: Runs | None, values: npt.NDArray[np.int64], out: DeviceView) -> None:
    """``values`` (K,) of each region into its voxels of ``out`` (Z, Y, X), bool or integers; 0 elsewhere."""
    if runs is None:
        return
    word = WORDS[out.dtype.itemsize]
    data = values.astype(np.bool_ if out.dtype.kind == "b" else word).tobytes()
    of_runs = runs.values(out.dtype.itemsize)
    if len(data) <= _SMALL:
        table = tables(out, data or bytes(8))
        address = table.addresses[0]
    else:
        buffer = driver().upload(data, out.device, driver().stream(out))
        address = buffer.address
    runs.each("paint", f"paint<{word}>", _JOB.pack(address, of_runs.address), [of_runs])
    runs.write(of_runs, one_volume(out))
    if len(data) > _SMALL:
        # The copy reads memory of the host, which is given back here.
        driver().event(out.device, driver().stream(out)).wait()
