"""How much two volumes differ inside a mask, each voxel read once.

The answer is Python numbers, so this waits for the device.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.core.differences import Differences
from fastprep.kernels.gpu._chunks import BATCH, batch
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._pairs import AS_THEY_ARE, alike
from fastprep.kernels.gpu._types import job, read_type

INSTANCES = (*(f"errors<{name}>" for name in AS_THEY_ARE), "merge<float64>", "merge<int64>")
_CHUNK = 64 * THREADS
_FIELDS = len(fields(Differences))
_JOB, _MERGE = job(f"{BATCH}P4qi4x"), job("PPq")


def errors(a: DeviceView, b: DeviceView, mask: DeviceView | None) -> list[Differences]:
    """Of ``b - a`` of each volume (B, Z, Y, X) where ``mask`` of that shape is not zero, everywhere without one."""
    volumes = len(a)
    if a.size == 0:
        return [Differences.of_rows(np.zeros((0, _FIELDS)))] * volumes
    a, b = alike(a, b)
    name = read_type(a.dtype)
    kind = "float64" if name.startswith("float") else "int64"
    chunks = -(-a[0].size // _CHUNK)
    rows = scratch(a, (volumes, chunks, _FIELDS), kind)
    voxels = list(batch(a, rows, mask, chunks))
    # Packs are of both.
    voxels[-1] = voxels[-1] and batch(b, rows, None, chunks)[-1]
    step = b.strides[0] if volumes > 1 else 0
    packed = _JOB.pack(*voxels, b.address, *b.strides[1:], step, b[0].is_contiguous)
    given = [x for x in (a, b, mask) if x is not None]
    launch_alone(Launch("errors", f"errors<{name}>", packed, volumes * chunks, THREADS, 0, a, rows), given, [rows])
    if chunks > 1:
        out = scratch(a, (volumes, 1, _FIELDS), kind)
        merged = _MERGE.pack(rows.address, out.address, chunks)
        launch_alone(Launch("errors", f"merge<{kind}>", merged, volumes, THREADS, 0, rows, out), [rows], [out])
        rows = out
    return [Differences.of_rows(row) for row in driver().read(rows)]
