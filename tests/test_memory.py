"""Peak memory of an operation: its input, its result, what it is said to work in, and a tenth."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Thread stacks, arena rounding and tables: what does not grow with the volume.
SLACK = 2 << 20

CALLS = {
    "window": "fp.window(x, 40, 400)",
    "window to uint8": "fp.window(x, 40, 400, out_range=(0, 255), dtype='uint8')",
    "multi_window": "fp.multi_window(x, ['lung', 'bone', 'brain'])",
    "flip": "fp.flip(x, (0, 2))",
    "nearest": "fp.resample(x, one, (0.8, 0.9, 1.1), order='nearest')",
    "linear finer": "fp.resample(x, one, (0.8, 0.9, 1.1))",
    "linear coarser": "fp.resample(x, one, (2, 1.5, 1.5))",
    "cubic finer": "fp.resample(x, one, (0.8, 0.9, 1.1), order='cubic')",
    "cubic coarser": "fp.resample(x, one, (2, 1.5, 1.5), order='cubic')",
    "cubic to int16": "fp.resample(x, one, (0.8, 0.9, 1.1), order='cubic', dtype='int16')",
    "onehot": "fp.resample(x, one, (0.8, 0.9, 1.1), order='onehot')",
    "antialias": "fp.resample(x, one, (2, 1.5, 1.5), antialias=True)",
    "warp linear": "fp.warp(x, tilt, x.shape)",
    "foreground_mask": "fp.foreground_mask(x)",
    "local_normalize": "fp.local_normalize(x, window=31)",
}

#: Calls that need two float32 volumes to work in.
WORKING = {
    "n4": "fp.n4(x, iterations=(2, 2), convergence_threshold=0)",
    "polynomial_bias": "fp.polynomial_bias(x, iterations=2, convergence_threshold=0)",
    "gaussian_bias": "fp.gaussian_bias(x, sigma=20)",
}

# Each call in a child of one program, which has imported what all of them need, and computed nothing.
PROGRAM = """
import ctypes
import json
import os
import sys
import traceback
import numpy as np
import fastprep as fp
import fastprep.kernels.cpu.ramp

def status(key):
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) * 1024

one = (1, 1, 1)
tilt = np.eye(4)
tilt[0, 1], tilt[1, 2] = 0.05, 0.1

def peak(call):
    # Every compiled variant is loaded first: those for whole arrays and those for parts of them.
    for shape in ((5, 6, 7), (48, 64, 64)):
        x = np.ones(shape, np.int16)
        x[::2] *= 3
        y = eval(call, {'fp': fp, 'one': one, 'tilt': tilt, 'x': x})
    del x, y
    ctypes.CDLL(None).malloc_trim(0)
    before = status('VmRSS')
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    x = np.ones((96, 256, 256), np.int16)
    x[::2] *= 3
    x[:, ::3] += 5
    y = eval(call, {'fp': fp, 'one': one, 'tilt': tilt, 'x': x})
    return [status('VmHWM') - before, x.nbytes, getattr(y, 'corrected', y).nbytes]

for call in json.loads(sys.stdin.read()):
    child = os.fork()
    if child == 0:
        try:
            print(json.dumps(peak(call)), flush=True)
        except BaseException:
            print(json.dumps(traceback.format_exc()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def peaks():
    """Of each call: the peak, the bytes of its input and those of its result, or what it failed with."""
    calls = {**CALLS, **WORKING}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([*calls.values()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(calls, map(json.loads, run.stdout.splitlines()), strict=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("name", [*CALLS, *WORKING])
def test_peak(peaks, name, record_property):
    if isinstance(peaks[name], str) and "clear_refs" in peaks[name]:
        pytest.skip("the peak cannot be reset here")
    assert not isinstance(peaks[name], str), peaks[name]
    peak, source, result = peaks[name]
    record_property("peak over input and output", peak / (source + result))
    print(f"{name}: {peak / 2**20:.1f} MiB for {(source + result) / 2**20:.1f} MiB of input and output")  # noqa: T201
    work = 2 * result if name in WORKING else 0
    assert peak <= 1.1 * (source + result + work) + SLACK
