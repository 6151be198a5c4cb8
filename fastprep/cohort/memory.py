"""Memory: what a case will need, told from its header and its plan, and what this machine can give."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastprep.io._extras import require
from fastprep.io.describe import Description
from fastprep.pipeline.passes import Barrier
from fastprep.pipeline.plan import Plan

if TYPE_CHECKING:
    from fastprep.pipeline.fused import FusedPlan

#: On top of the arrays: buffers of codecs, one plane per thread, the allocator's own.
_OVERHEAD = 1.10
#: Bytes of a voxel while a step looks for a mask: a few masks, their runs, and distances.
_LOOK = 10
#: What compiled kernels and codecs still take when they are loaded.
_LIBRARIES = 256 << 20
_CGROUP = Path("/sys/fs/cgroup")


def needed(scan: Description, plan: Plan) -> int:
    """Bytes at the case's peak: the input, around each pass what it reads and writes, and what a barrier adds."""
    leading = math.prod(scan.shape) // math.prod(scan.grid.shape)
    held = scan.nbytes
    before, peak, dtype = 0, held, scan.dtype
    for step in plan.passes:
        dtype = step.written(dtype)
        after = leading * step.made * math.prod(step.grid.shape) * dtype.itemsize
        # What a gather keeps between is within the overhead; a bias field is not.
        between = step.between(leading) if isinstance(step, Barrier) else 0
        peak = max(peak, held + before + after + between)
        before = after
        leading *= step.made
    if plan.looks:
        peak = max(peak, held + _LOOK * math.prod(scan.grid.shape))
    return int(peak * _OVERHEAD)


def needed_together(scans: Mapping[str, Description], plan: FusedPlan) -> int:
    """Bytes at the peak of a subject: every sequence as read, the result, and what one sequence takes at a time."""
    held = sum(scan.nbytes for scan in scans.values())
    result = len(plan.plans) * math.prod(plan.grid.shape) * np.dtype(plan.dtype).itemsize
    return held + result + max(needed(scans[name], one) - scans[name].nbytes for name, one in plan.plans.items())


def available() -> int:
    """Bytes that cases can take now without swapping, within this container's limit."""
    psutil = require("psutil")
    return max(0, min(int(psutil.virtual_memory().available), _cgroup_left()) - _LIBRARIES)


def peak_rss() -> int:
    """The most bytes this process has held at once, 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cgroup_left() -> int:
    """What the container may still take; page cache counts as free, the kernel gives it back."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return sys.maxsize
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        used = int((_CGROUP / "memory.current").read_text())
        return max(0, int(limit) - used + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return sys.maxsize
