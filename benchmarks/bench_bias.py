"""N4 beside SimpleITK's on a T1 head, with the same mask and the same iterations, and the polynomial fit.

    python benchmarks/run.py bias

Both start from the whole image and end with it corrected; a field found on every second or fourth voxel is made for all
of them. The convergence threshold is 0, so that both do every iteration.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _harness as h
import numpy as np

oracles = h.oracles
LEVELS = (50, 50, 50, 50)
#: Shrink factor and how much faster than SimpleITK it is meant to be.
N4 = ((4, 40.0), (2, 70.0), (1, 100.0))


def load_scan() -> h.Scan:
    """t1_head of FASTPREP_TEST_DATA, else a phantom of its shape and spacing."""
    root = os.environ.get("FASTPREP_TEST_DATA")
    path = None if root is None else Path(root) / "mri" / "t1_head.nii.gz"
    if path is None or not path.is_file():
        phantom = importlib.import_module("fastprep.testing").bias_phantom((190, 256, 188), (0.88, 0.88, 0.88))
        return h.Scan(phantom.image.array, phantom.image.grid, "phantom (FASTPREP_TEST_DATA is not set)")
    image = oracles.peer("SimpleITK").ReadImage(str(path))
    return h.Scan(
        oracles.peer("SimpleITK").GetArrayFromImage(image), oracles.grid_of_sitk(image), "T1 head, not stripped"
    )


def jobs(scan: h.Scan) -> list[h.Job]:
    """N4 at each shrink factor, and the polynomial."""
    x = scan.array
    mask = x > importlib.import_module("fastprep").otsu(x)
    found = [_n4(x, mask, factor, target) for factor, target in N4]
    return [*found, _polynomial(x, mask)]


def _n4(x: Any, mask: Any, factor: int, target: float) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.n4(x, mask, iterations=LEVELS, shrink_factor=factor, convergence_threshold=0)

    def sitk() -> Callable[[], Any]:
        module = oracles.peer("SimpleITK")
        image = module.GetImageFromArray(x.astype(np.float32))
        marks = module.GetImageFromArray(mask.astype(np.uint8))

        def call() -> Any:
            n4 = module.N4BiasFieldCorrectionImageFilter()
            n4.SetMaximumNumberOfIterations(LEVELS)
            n4.SetConvergenceThreshold(0)
            if factor == 1:
                return n4.Execute(image, marks), n4
            n4.Execute(module.Shrink(image, [factor] * 3), module.Shrink(marks, [factor] * 3))
            return image / module.Exp(n4.GetLogBiasFieldAsImage(image)), n4

        return call

    def sitk_field(result: Any) -> h.Array:
        module = oracles.peer("SimpleITK")
        return np.where(mask, module.GetArrayFromImage(result[1].GetLogBiasFieldAsImage(result[0])), 0)

    return h.Job(
        f"N4, {len(LEVELS)} levels x {LEVELS[0]}, " + (f"shrink {factor}" if factor > 1 else "full resolution"),
        [
            h.Contestant("fastprep", fastprep, lambda result: np.where(mask, result.log_field, 0)),
            h.Contestant("SimpleITK", sitk, sitk_field, target=target, slow=factor < 4),
        ],
        x.nbytes + mask.nbytes,
        note="the difference is that of the log field inside the mask" if factor == 4 else "",
    )


def _polynomial(x: Any, mask: Any) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.polynomial_bias(x, mask, iterations=5, convergence_threshold=0)

    return h.Job(
        "polynomial order 3, 5 reweightings",
        [h.Contestant("fastprep", fastprep, lambda result: result.log_field)],
        x.nbytes + mask.nbytes,
        note="no peer has it; meant to take less than 600 ms",
    )


if __name__ == "__main__":
    h.main(jobs)
