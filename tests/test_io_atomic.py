"""Outputs are whole or absent: disk full, no permission, Ctrl-C, files and folders."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fastprep.core.errors import NoKernelError, WriteError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.io import save
from fastprep.io.atomic import PREFIX, atomic_path

IMAGE = Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), Grid.from_spacing((3, 4, 5), (2, 1, 1)))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=99
    )


def test_file(tmp_path):
    target = tmp_path / "scan.nii.gz"
    target.write_text("older")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(PREFIX) and temporary.name.endswith(".nii.gz")
        temporary.write_text("newer")
        assert target.read_text() == "older"
    assert target.read_text() == "newer" and names(tmp_path) == ["scan.nii.gz"]


def test_folder_replaces_folder(tmp_path):
    target = tmp_path / "a.zarr"
    for content in ("first", "second"):
        with atomic_path(target) as temporary:
            (temporary / "c").mkdir(parents=True)
            (temporary / "c" / content).write_text(content)
        assert names(target / "c") == [content] and names(tmp_path) == ["a.zarr"]


def test_folder_is_put_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "older").touch()
    rename = os.rename

    def refuse(source, destination):
        if Path(source).name.startswith(PREFIX) and not (Path(source) / "older").exists():
            raise OSError(errno.EIO, "Input/output error")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", refuse)
    with (
        pytest.raises(WriteError, match="a.zarr: cannot be written: Input/output error"),
        atomic_path(target) as temporary,
    ):
        temporary.mkdir()
    assert names(target) == ["older"] and names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
@pytest.mark.parametrize("folder", [False, True])
def test_any_exception_leaves_nothing(tmp_path, error, folder):
    target = tmp_path / "a.npy"
    target.write_text("older")
    with pytest.raises(error), atomic_path(target) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "c").touch()
        else:
            temporary.write_text("half")
        raise error
    assert target.read_text() == "older" and names(tmp_path) == ["a.npy"]


def test_disk_full(tmp_path):
    target = tmp_path / "a.npy"
    with (
        pytest.raises(WriteError, match="a.npy: cannot be written: No space left on device") as caught,
        atomic_path(target) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(target)
    assert PREFIX not in str(caught.value)
    assert names(tmp_path) == []


def test_failing_fsync_is_a_failed_write(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError, match="Input/output error"), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == []


def test_missing_parent_and_file_over_folder(tmp_path):
    with pytest.raises(WriteError, match="nowhere.*cannot be written: No such file or directory"):
        save(IMAGE, tmp_path / "nowhere" / "a.nii")
    (tmp_path / "a.nii").mkdir()
    with pytest.raises(WriteError, match="a.nii"):
        save(IMAGE, tmp_path / "a.nii")
    assert names(tmp_path) == ["a.nii"]


def test_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "file.txt")
    with atomic_path(tmp_path / "link.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real" / "file.txt").read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="setuid")
@pytest.mark.parametrize("name", ["a.nii.gz", "a.npy", "a.zarr"])
def test_permission(tmp_path, name):
    script = f"""
        import os, numpy as np, nibabel, zarr, isal.igzip
        from fastprep.core.errors import NoKernelError, WriteError
        from fastprep.core.grid import Grid
        from fastprep.core.image import Image
        from fastprep.io import nifti, save, store
        image = Image(np.zeros((2, 3, 4), np.uint8), Grid.from_spacing((2, 3, 4), (1, 1, 1)))
        os.chmod({str(tmp_path)!r}, 0o500)
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            save(image, {str(tmp_path / name)!r})
        except WriteError as error:
            print(error)
    """
    try:
        done = run(script)
    finally:
        tmp_path.chmod(0o700)
    assert "Permission denied" in done.stdout and name in done.stdout, done.stderr
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.npy", "a.zarr", "a.png"])
def test_a_write_that_the_system_stops_half_way(tmp_path, name):
    """The real thing: the kernel refuses bytes past 20 kB."""
    script = f"""
        import resource, numpy as np
        from fastprep.core.errors import NoKernelError, WriteError
        from fastprep.core.grid import Grid
        from fastprep.core.image import Image
        from fastprep.io import save
        noise = np.random.default_rng(0).integers(0, 60000, {(200, 200) if name == "a.png" else (40, 50, 60)})
        image = Image(noise.astype(np.uint16), Grid.from_spacing(noise.shape, (1,) * noise.ndim))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            save(image, {str(tmp_path / name)!r})
        except WriteError as error:
            print(error)
    """
    done = run(script)
    assert "File too large" in done.stdout and name in done.stdout, done.stderr
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.nii.gz", "a.npy", "a.png", "a.zarr"])
def test_ctrl_c_while_saving(tmp_path, monkeypatch, name):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastprep.io.atomic._flush", interrupt)
    image = Image(np.zeros((4, 5), np.uint8), Grid.from_spacing((4, 5), (1, 1))) if name == "a.png" else IMAGE
    with pytest.raises(KeyboardInterrupt):
        save(image, tmp_path / name)
    assert names(tmp_path) == []


def test_unknown_suffix(tmp_path):
    for name in ("a.jpg", "a.mha", "a"):
        with pytest.raises(WriteError, match="unknown suffix.*expected .nii, .nii.gz, .npy, .zarr, .png"):
            save(IMAGE, tmp_path / name)


def test_arrays_on_a_device_are_not_moved_silently(tmp_path):
    class OnDevice:
        shape = (3, 4, 5)

        def __array__(self, *_, **__):
            raise TypeError("implicit conversion to NumPy is not allowed")

    for name in ("a.nii", "a.npy", "a.zarr", "a.png"):
        with pytest.raises(NoKernelError, match=r"OnDevice: move it there first"):
            save(Image(OnDevice(), IMAGE.grid), tmp_path / name)
    assert names(tmp_path) == []


def test_torch_arrays(tmp_path):
    torch = pytest.importorskip("torch")
    save(Image(torch.arange(60).reshape(3, 4, 5), IMAGE.grid), tmp_path / "a.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), IMAGE.array)
