"""The shared part of the benchmarks: input, machine facts, interleaved timing, comparison, memory, cold start.

Not pytest-benchmark: it runs all rounds of one function before the next, so a machine that slows down in the
middle of a run (a shared runner, a warm laptop) turns into somebody's speed-up. Here the contestants of a job
take turns, one call each per round, in an order that rotates.

Rules: the same input, threads and parameters for every peer; outputs compared before the first timing; warm
calls timed, first calls reported apart; peers start from their own prepared image object, without the
conversion from NumPy, while fastprep starts from the NumPy array and returns one; losses are printed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.grid import Grid

ROOT = Path(__file__).resolve().parents[1]
# The peers are named once, beside the tests, in a module that no package holds.
sys.path.insert(0, str(ROOT / "tests"))
oracles: Any = importlib.import_module("oracles")

Array = npt.NDArray[Any]
PACKAGES = (
    *("numpy", "numba", "scipy", "SimpleITK", "torch", "monai", "torchio", "scikit-image"),
    *("opencv-python-headless", "connected-components-3d", "pydicom", "nibabel"),
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "FASTPREP_NUM_THREADS",
)
#: Pause between two calls, so that one peer's spinning worker threads are asleep when the next one starts.
_PAUSE_S = 0.05
_TOUCHED_BYTES = 512 << 20


@dataclass(frozen=True)
class Scan:
    """The one input: HU as int16 (z, y, x), and where it came from."""

    array: Array
    grid: Grid
    source: str

    @property
    def labels(self) -> Array:
        """Air, lung, soft tissue and bone as uint8, by thresholds."""
        edges = np.array([-850, -400, 250])
        return np.digitize(self.array, edges).astype(np.uint8)


@dataclass(frozen=True)
class Contestant:
    """``prepare()`` imports the library, builds its input, and returns the call that is timed.

    ``to_array`` turns the call's result into (z, y, x) for comparison, untimed. ``compare(result, array)`` is the
    difference to fastprep, where the plain one to the job's own output would compare different grids.
    ``target`` is the ratio fastprep is meant to reach. One that is ``slow``, minutes a call, is called once: its first
    call is the one that is timed.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    to_array: Callable[[Any], Array] = np.asarray
    target: float | None = None
    compare: Callable[[Any, Array], float] | None = None
    threaded: bool = True
    slow: bool = False


@dataclass(frozen=True)
class Job:
    """One row group of the table; the first contestant is fastprep."""

    name: str
    contestants: list[Contestant]
    bytes_in: int
    note: str = ""
    whole_process: bool = False

    def find(self, name: str) -> Contestant:
        """The contestant called ``name``."""
        return next(c for c in self.contestants if c.name == name)


@dataclass
class Row:
    """What a run found out about one contestant; None where it was not measured."""

    job: str
    name: str
    target: float | None
    threaded: bool
    seconds: list[float] = field(default_factory=list)
    shape: list[int] | None = None
    bytes_out: int = 0
    difference: float | str | None = None
    import_s: float | None = None
    first_call_s: float | None = None
    peak_bytes: int | None = None
    cached_first_call_s: float | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain form for the results file, with the minimum and the median."""
        form = dict(vars(self))
        if self.seconds:
            form["min_s"] = min(self.seconds)
            form["median_s"] = statistics.median(self.seconds)
            form["iqr_s"] = float(np.subtract(*np.percentile(self.seconds, (75, 25))))
        return form


# Input


def load_scan() -> Scan:
    """chest_p001 of FASTPREP_TEST_DATA through SimpleITK, else a phantom of its shape and spacing."""
    folder = dicom_folder()
    if folder is None:
        return _phantom()
    sitk = oracles.peer("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "chest_p001")))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image).astype(np.int16)
    return Scan(array, oracles.grid_of_sitk(image), "chest CT, COVID-CT-MD P001, from DICOM")


def dicom_folder() -> Path | None:
    """The folder of the two chest series, if FASTPREP_TEST_DATA is set and has them."""
    root = os.environ.get("FASTPREP_TEST_DATA")
    folder = Path(root) / "ct" if root else None
    return folder if folder is not None and (folder / "chest_p001").is_dir() else None


def _phantom() -> Scan:
    shape, spacing = (148, 512, 512), (2.0, 0.748047, 0.748047)
    return Scan(phantom(shape), dicom_grid(shape, spacing), "phantom (FASTPREP_TEST_DATA is not set)")


def phantom(shape: tuple[int, int, int]) -> Array:
    """A chest in HU as int16 (z, y, x): body, two lungs, a spine, and noise."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    hu = np.full(shape, -1000.0, np.float32)
    hu[np.broadcast_to((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, shape)] = 40
    for side in (-0.4, 0.4):
        hu[((x - side) / 0.3) ** 2 + (y / 0.45) ** 2 + (z / 0.9) ** 2 < 1] = -820
    hu[np.broadcast_to((x / 0.08) ** 2 + ((y - 0.45) / 0.1) ** 2 < 1, shape)] = 500
    hu += 20 * np.random.default_rng(1).standard_normal(shape, np.float32)
    return hu.round().astype(np.int16)


def dicom_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    """The grid of a CT as DICOM stores it: axes to Superior, Posterior, Left."""
    return Grid(shape, Grid.from_spacing(shape, spacing).affine * np.array([[-1], [-1], [1], [1]]))


def save_scan(scan: Scan, path: Path) -> None:
    """A scan for the fresh processes, which would otherwise decode the DICOM again."""
    np.savez(path, array=scan.array, affine=scan.grid.affine, source=scan.source)


def _read_scan(path: Path) -> Scan:
    with np.load(path) as f:
        return Scan(f["array"], Grid(f["array"].shape, f["affine"]), str(f["source"]))


# Machine


def machine_facts(threads: int) -> dict[str, Any]:
    """What a reader needs to judge the numbers; no host names, no paths."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "copy_bandwidth_gb_s": copy_bandwidth(threads) / 1e9,
        "versions": {name: found for name in ("fastprep", *PACKAGES) if (found := version(name))},
    }


def version(package: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def copy_bandwidth(threads: int, megabytes: int = 256, repeats: int = 5) -> float:
    """Bytes read plus written per second by the best of some copies between touched buffers."""
    source = np.ones(megabytes << 20, np.uint8)
    target = np.ones_like(source)
    bounds = [len(source) * i // threads for i in range(threads + 1)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(lambda a, b: np.copyto(target[a:b], source[a:b]), bounds[:-1], bounds[1:]))
            best = min(best, time.perf_counter() - start)
    return 2 * len(source) / best


def set_threads(n: int) -> None:
    """``n`` threads for fastprep and every peer, in this process and the ones it starts."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(n)
    oracles.set_peer_threads(n)
    with suppress(ImportError, AttributeError):
        importlib.import_module("fastprep").set_num_threads(n)


# Comparison and timing


def difference(a: Array, b: Array) -> float:
    """Largest absolute difference; of labels, the fraction of voxels that differ."""
    if a.shape != b.shape:
        msg = f"shapes {a.shape} and {b.shape}"
        raise ValueError(msg)
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        return float(np.count_nonzero(a != b) / a.size)
    return max(float(np.abs(p.astype(np.float64) - q).max()) for p, q in zip(a, b, strict=True))


def measure(job: Job, repeats: int, budget_s: float, log: Callable[[str], None]) -> list[Row]:
    """Compare, warm up, then time the contestants in turns; each stops at ``repeats`` calls or ``budget_s``."""
    rows = [Row(job.name, c.name, c.target, c.threaded) for c in job.contestants]
    calls: dict[str, Callable[[], Any]] = {}
    base: Array | None = None
    for contestant, row in zip(job.contestants, rows, strict=True):
        try:
            call = contestant.prepare()
            start = time.perf_counter()
            result = call()
            first = time.perf_counter() - start
            out = np.asarray(contestant.to_array(result))
        except Exception as error:  # a missing peer is a line of the table
            row.error = reason(error)
            log(f"  {contestant.name}: {row.error}")
            continue
        if contestant.slow:
            row.seconds.append(first)
        else:
            calls[contestant.name] = call
        row.shape, row.bytes_out = list(out.shape), out.nbytes
        if contestant is job.contestants[0]:
            base = out
        elif base is not None:
            try:
                compare = contestant.compare
                row.difference = difference(base, out) if compare is None else compare(result, out)
            except Exception as error:  # the table says why nothing was compared
                row.difference = reason(error)
        log(f"  {contestant.name}: output {out.shape}, difference {row.difference}")
        del result, out
    _take_turns({r.name: r for r in rows if r.name in calls}, calls, repeats, budget_s)
    return rows


def reason(error: Exception) -> str:
    """One line without this machine's paths: it goes into the results."""
    text = f"{type(error).__name__}: {error}".split("\n")[0]
    return text.replace(sys.executable, "python").replace(f"{ROOT}{os.sep}", "")[:160]


def _take_turns(rows: dict[str, Row], calls: dict[str, Callable[[], Any]], repeats: int, budget_s: float) -> None:
    names = list(calls)
    for turn in range(repeats):
        shift = turn % max(len(names), 1)
        for name in names[shift:] + names[:shift]:
            seconds = rows[name].seconds
            if len(seconds) >= 2 and sum(seconds) + seconds[-1] > budget_s:
                continue
            gc.collect()
            time.sleep(_PAUSE_S)
            _touch_memory()
            start = time.perf_counter()
            out = calls[name]()
            seconds.append(time.perf_counter() - start)
            del out


def _touch_memory() -> None:
    """A virtual machine hands freed memory back to its host: no call shall pay for what the one before it freed."""
    np.ones(_TOUCHED_BYTES, np.uint8)


# Fresh processes: import, first call, peak memory


def probe(script: Path, job: str, contestant: str, scan_file: Path, *, cache: Path) -> dict[str, float]:
    """Import time, first call and peak memory of one contestant in a process of its own, as ``script --probe``.

    It inherits the thread variables that `set_threads` put into the environment.
    """
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(cache))
    command = [sys.executable, str(script), "--probe", job, contestant, str(scan_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    form: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return form


def run_probe(jobs: Callable[[Scan], list[Job]], name: str, contestant: str, scan_file: str) -> None:
    """The child's side of `probe`: prints one line of JSON. Threads come from the environment it was given."""
    scan = _read_scan(Path(scan_file))
    job = next(j for j in jobs(scan) if j.name == name)
    start = time.perf_counter()
    call = job.find(contestant).prepare()
    ready = time.perf_counter()
    call()
    first = time.perf_counter() - ready
    peak = _peak_of(call)
    print(json.dumps({"import_s": ready - start, "first_call_s": first, "peak_bytes": peak}))


def _peak_of(call: Callable[[], Any]) -> int:
    """Bytes the second call needs at its peak above what the process held before it, output included."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to VmRSS
        before = _status("VmRSS")
        out = call()
        return _status("VmHWM") - before
    except OSError:
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
        out = call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale - before
    finally:
        out = None  # noqa: F841  (held until after the peak was read)


def _status(field_name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field_name):
            return int(line.split()[1]) * 1024
    raise OSError(field_name)


def probe_all(script: Path, job: Job, rows: Sequence[Row], scan: Scan, log: Callable[[str], None]) -> None:
    """Fill the fresh-process columns: every contestant with an empty Numba cache, fastprep also with a full one."""
    with tempfile.TemporaryDirectory() as folder:
        scan_file = Path(folder) / "scan.npz"
        save_scan(scan, scan_file)
        for row, contestant in zip(rows, job.contestants, strict=True):
            if row.error or contestant.slow:
                continue
            cache = Path(folder) / f"cache-{row.name == 'fastprep'}"
            try:
                cold = probe(script, job.name, row.name, scan_file, cache=cache)
                row.import_s, row.first_call_s = cold["import_s"], cold["first_call_s"]
                row.peak_bytes = int(cold["peak_bytes"])
                if row is rows[0]:
                    warm = probe(script, job.name, row.name, scan_file, cache=cache)
                    row.cached_first_call_s = warm["first_call_s"]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                log(f"  {row.name}: no fresh-process figures ({error})")


def quiet() -> None:
    """Peers' deprecation warnings are not results."""
    warnings.filterwarnings("ignore")


def main(jobs: Callable[[Scan], list[Job]]) -> None:
    """Command line of one bench file: print its rows, or be the fresh process of `probe`."""
    quiet()
    parser = argparse.ArgumentParser(description="Runs the jobs of one file; run.py writes results and tables.")
    parser.add_argument("--probe", nargs=3, metavar=("JOB", "CONTESTANT", "SCAN"), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of timed calls per contestant")
    options = parser.parse_args()
    if options.probe:
        run_probe(jobs, *options.probe)
        return
    set_threads(options.threads)
    scan = load_scan()
    for job in jobs(scan):
        print(job.name)
        rows = measure(job, options.repeats, options.budget, print)
        for row in rows:
            if row.seconds:
                form = row.to_dict()
                print(f"  {row.name:32s} min {form['min_s'] * 1e3:9.1f}  median {form['median_s'] * 1e3:9.1f} ms")
