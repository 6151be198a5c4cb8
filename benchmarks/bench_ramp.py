"""Window of a chest CT, int16 HU to float32 in [0, 1], beside NumPy, MONAI and torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import _harness as h
import numpy as np

oracles = h.oracles
LEVEL, WIDTH = -600.0, 1500.0
LO, HI = LEVEL - WIDTH / 2, LEVEL + WIDTH / 2


def jobs(scan: h.Scan) -> list[h.Job]:
    """One job: the lung window."""
    x = scan.array

    def fastprep() -> Callable[[], Any]:
        window = importlib.import_module("fastprep").window
        return lambda: window(x, level=LEVEL, width=WIDTH)

    def numpy() -> Callable[[], Any]:
        return lambda: oracles.numpy_window(x, LO, HI)

    def numpy_in_place() -> Callable[[], Any]:
        def call() -> Any:
            y = x.astype(np.float32)
            y -= np.float32(LO)
            y *= np.float32(1 / (HI - LO))
            return np.clip(y, 0, 1, out=y)

        return call

    def monai() -> Callable[[], Any]:
        scale = oracles.peer("monai.transforms").ScaleIntensityRange(LO, HI, 0.0, 1.0, clip=True)
        tensor = oracles.monai_tensor(x, scan.grid)
        return lambda: scale(tensor)

    def torch() -> Callable[[], Any]:
        tensor = oracles.peer("torch").from_numpy(x)
        return lambda: tensor.float().sub_(LO).mul_(1 / (HI - LO)).clamp_(0, 1)

    contestants = [
        h.Contestant("fastprep", fastprep),
        h.Contestant("NumPy, clip and scale", numpy, target=3, threaded=False),
        h.Contestant("NumPy, in place", numpy_in_place, threaded=False),
        h.Contestant("MONAI ScaleIntensityRange", monai, to_array=lambda y: y.numpy()[0]),
        h.Contestant("torch, in place", torch, to_array=lambda y: y.numpy()),
    ]
    return [h.Job("window, int16 to float32", contestants, x.nbytes)]


if __name__ == "__main__":
    h.main(jobs)
