"""The ct-chest preset beside SimpleITK, MONAI and TorchIO: array to array, and DICOM folder to written output.

Reorient, resample to 1 mm, lung window to [0, 1], crop or pad to one shape.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _harness as h
import numpy as np

from fastprep.core.index_map import IndexMap

oracles = h.oracles
AXCODES = "SPL"
NEW = (1.0, 1.0, 1.0)
LO, HI = -1350.0, 150.0
SHAPE = (288, 320, 320)
FILL = -1024.0
JOBS = 2
SERIES = ("chest_normal001", "chest_p001")


def jobs(scan: h.Scan) -> list[h.Job]:
    """Array to array; with real DICOM at hand also folder to files."""
    found = [_array_to_array(scan)]
    folder = h.dicom_folder()
    if folder is not None:
        found.append(_folder_to_files(folder))
    return found


def _array_to_array(scan: h.Scan) -> h.Job:
    x = scan.array

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        pipeline = package.Pipeline.load("ct-chest")
        image = package.Image(x, package.Grid(x.shape, scan.grid.affine), modality="CT")
        return lambda: pipeline(image)

    def sitk() -> Callable[[], Any]:
        oracles.peer("SimpleITK")
        image = oracles.sitk_image(x, scan.grid)
        return lambda: sitk_ct_chest(image)

    def sitk_one_resample() -> Callable[[], Any]:
        oracles.peer("SimpleITK")
        image = oracles.sitk_image(x, scan.grid)
        return lambda: sitk_ct_chest_fused(image)

    def monai(lazy: bool) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            compose = oracles.monai_ct_chest(AXCODES, NEW, LO, HI, SHAPE, lazy=lazy)
            tensor = oracles.monai_tensor(x, scan.grid)
            return lambda: compose(tensor)

        return prepare

    def torchio() -> Callable[[], Any]:
        tio = oracles.peer("torchio")
        compose = tio.Compose(
            [
                tio.ToOrientation(AXCODES),
                tio.Resample(NEW),
                tio.Clamp(LO, HI),
                tio.RescaleIntensity((0, 1), in_min_max=(LO, HI)),
                tio.CropOrPad(SHAPE),
            ]
        )
        image = oracles.torchio_image(x, scan.grid)
        return lambda: compose(image)

    # MONAI and TorchIO end on grids of their own: fastprep samples where their affine says they are.
    def on_their_grid(result: Any, out: h.Array) -> float:
        package = importlib.import_module("fastprep")
        matrix = np.linalg.inv(scan.grid.affine) @ np.asarray(result.affine, dtype=np.float64)
        warped = package.warp(x, matrix, out.shape, order="linear", fill=FILL)
        return h.difference(package.window(warped, level=(LO + HI) / 2, width=HI - LO), out)

    def sitk_array(image: Any) -> h.Array:
        return np.asarray(oracles.peer("SimpleITK").GetArrayViewFromImage(image))

    contestants = [
        h.Contestant("fastprep", fastprep, lambda image: image.array),
        h.Contestant("SimpleITK, step by step", sitk, sitk_array, target=8),
        h.Contestant("SimpleITK, one Resample onto the final grid", sitk_one_resample, sitk_array),
        h.Contestant("MONAI Compose", monai(False), lambda t: t.numpy()[0], target=25, compare=on_their_grid),
        h.Contestant("MONAI Compose, lazy", monai(True), lambda t: t.numpy()[0], compare=on_their_grid),
        h.Contestant("TorchIO Compose", torchio, lambda image: image.data.numpy()[0], compare=on_their_grid),
    ]
    return h.Job("ct-chest, array to array", contestants, x.nbytes)


def sitk_ct_chest(image: Any) -> Any:
    """The preset as a SimpleITK user writes it: one filter per step."""
    sitk = oracles.peer("SimpleITK")
    image = sitk.DICOMOrient(image, "LPS")
    grid = oracles.grid_of_sitk(image)
    size = IndexMap.spacing_change(grid.shape, grid.spacing, NEW).shape[::-1]
    image = sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        NEW[::-1],
        image.GetDirection(),
        FILL,
        sitk.sitkFloat32,
    )
    image = sitk.IntensityWindowing(image, LO, HI, 0.0, 1.0)
    wanted = SHAPE[::-1]
    below = [max(w - n, 0) // 2 for n, w in zip(size, wanted, strict=True)]
    above = [max(w - n, 0) - b for n, w, b in zip(size, wanted, below, strict=True)]
    if any(below) or any(above):
        image = sitk.ConstantPad(image, below, above, 0.0)
    start = [max(n - w, 0) // 2 for n, w in zip(size, wanted, strict=True)]
    return sitk.RegionOfInterest(image, wanted, start)


def sitk_ct_chest_fused(image: Any) -> Any:
    """The preset with its geometry worked out by hand: one Resample onto the final grid, one window.

    Equal to the steps where the crop leaves no padding, which a window would otherwise not map to 0.
    """
    sitk = oracles.peer("SimpleITK")
    grid = oracles.grid_of_sitk(image)
    turn = IndexMap.reorient(grid, AXCODES)
    finer = turn.then(IndexMap.spacing_change(turn.shape, turn.grid(grid).spacing, NEW))
    target = finer.then(IndexMap.centered(finer.shape, SHAPE)).grid(grid)
    origin = target.lps[:3, 3].tolist()
    direction = (target.lps[:3, 2::-1] / np.array(target.spacing[::-1])).ravel().tolist()
    image = sitk.Resample(
        image, SHAPE[::-1], sitk.Transform(), sitk.sitkLinear, origin, NEW[::-1], direction, FILL, sitk.sitkFloat32
    )
    return sitk.IntensityWindowing(image, LO, HI, 0.0, 1.0)


# DICOM folder to files


def _folder_to_files(folder: Path) -> h.Job:
    work = tempfile.TemporaryDirectory(prefix="fastprep-bench-")  # removed with the job that holds it
    source = Path(work.name) / "scans"
    # A job of processes: each shares the cores out among its own workers.
    environment = {k: v for k, v in os.environ.items() if k not in h.THREAD_VARIABLES}

    def prepare(name: str, command: Callable[[Path], list[str]]) -> Callable[[], Callable[[], Path]]:
        def start() -> Callable[[], Path]:
            for series in SERIES:
                if not (source / series).is_dir():
                    shutil.copytree(folder / series, source / series)

            def call() -> Path:
                out = Path(tempfile.mkdtemp(prefix=name, dir=work.name))
                done = subprocess.run(command(out), env=environment, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise RuntimeError((done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1])
                written = sorted(out.rglob("*.nii*"))
                if len(written) < len(SERIES):
                    msg = f"{len(written)} files written, expected {len(SERIES)}"
                    raise RuntimeError(msg)
                return out

            return call

        return start

    last: dict[str, Path] = {}

    def mine(out: Path) -> h.Array:
        last["fastprep"] = out
        return _volumes(out)[0][0]

    def overlap(out: Path, _: h.Array) -> float:
        pairs = zip(_volumes(last["fastprep"]), _volumes(out), strict=True)
        return max(_overlap_difference(*a, *b) for a, b in pairs)

    def fastprep(out: Path) -> list[str]:
        return [
            sys.executable,
            "-m",
            "fastprep",
            "run",
            "ct-chest",
            str(source),
            "-o",
            str(out),
            "--jobs",
            str(JOBS),
        ]

    def monai(out: Path) -> list[str]:
        return [sys.executable, __file__, "--monai", str(source), str(out), str(JOBS)]

    contestants = [
        h.Contestant("fastprep", prepare("fastprep", fastprep), mine),
        h.Contestant(
            "MONAI script", prepare("monai", monai), lambda out: _volumes(out)[0][0], target=3, compare=overlap
        ),
    ]
    size = sum(f.stat().st_size for series in SERIES for f in (folder / series).iterdir())
    note = f"both chest series, {JOBS} workers, import to exit; difference where the two crops overlap"
    return h.Job("DICOM folder to .nii.gz, whole process", contestants, size, note=note, whole_process=True)


def _volumes(out: Path) -> list[tuple[h.Array, h.Array]]:
    """Array and affine of each written volume, in the order of their names, axes turned to L, P, S."""
    nib = oracles.peer("nibabel")
    found = []
    for path in sorted(out.rglob("*.nii*")):
        image = nib.load(path)
        turn = nib.orientations.ornt_transform(
            nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(tuple("LPS"))
        )
        image = image.as_reoriented(turn)
        found.append((np.asarray(image.dataobj, dtype=np.float32), image.affine))
    return found


def _overlap_difference(a: h.Array, to_world: h.Array, b: h.Array, b_to_world: h.Array) -> float:
    """Largest difference where both have the same voxel centres; their grids may differ by whole voxels."""
    step = np.linalg.inv(to_world) @ b_to_world
    shift = np.round(step[:3, 3]).astype(int)
    if np.abs(step[:3, :3] - np.eye(3)).max() > 1e-3 or np.abs(step[:3, 3] - shift).max() > 1e-2:
        msg = "the two files are on different grids"
        raise ValueError(msg)
    lo = np.maximum(shift, 0)
    hi = np.minimum(np.array(a.shape), np.array(b.shape) + shift)
    ours = tuple(slice(p, q) for p, q in zip(lo, hi, strict=True))
    theirs = tuple(slice(p - s, q - s) for p, q, s in zip(lo, hi, shift, strict=True))
    return h.difference(a[ours], b[theirs])


def monai_script(source: Path, out: Path, workers: int) -> None:
    """What a MONAI user runs over a folder of series; imported once, then forked."""
    h.quiet()
    oracles.peer("monai.transforms")
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    work = [(str(series), str(out), threads) for series in sorted(source.iterdir())]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.starmap(_monai_one, work, chunksize=1)


def _monai_one(series: str, out: str, threads: int) -> None:
    t = oracles.peer("monai.transforms")
    oracles.peer("torch").set_num_threads(threads)
    volume = t.LoadImage(reader="PydicomReader", image_only=True, ensure_channel_first=True)(series)
    volume = oracles.monai_ct_chest("LPS", NEW, LO, HI, SHAPE[::-1])(volume)
    save = t.SaveImage(output_dir=out, output_ext=".nii.gz", separate_folder=False, print_log=False)
    save(volume, meta_data={"filename_or_obj": series})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--monai"]:
        monai_script(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        h.main(jobs)
