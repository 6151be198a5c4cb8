"""Arrays for training: .npy and .zarr come back as they were, or are refused by name and reason."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, MissingExtraError, ReadError, WriteError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.io import load, save
from fastprep.io._extras import require
from fastprep.io.store import read_npy, read_zarr

zarr = pytest.importorskip("zarr")

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
SHAPE = (70, 30, 130)


def image(dtype="f4", leading=(), **options):
    affine = np.eye(4)
    affine[:3] = np.random.default_rng(1).normal(size=(3, 4)) * 3
    array = np.random.default_rng(0).integers(0, 100, leading + SHAPE).astype(dtype)
    return Image(array, Grid(SHAPE, affine), **options)


def same(a: Image, b: Image) -> bool:
    return a.array.dtype == b.array.dtype and np.array_equal(a.array, b.array) and a.grid == b.grid


# Zarr


@pytest.mark.parametrize("dtype", TYPES)
def test_zarr_round_trip_is_exact(tmp_path, dtype):
    before = image(dtype, kind="label", modality="CT")
    save(before, tmp_path / "a.zarr")
    after = load(tmp_path / "a.zarr")
    assert same(after, before)
    assert (after.kind, after.modality) == ("label", "CT")


def test_zarr_is_plain_zarr_with_its_grid(tmp_path):
    before = image(leading=(2,))
    save(before, tmp_path / "a.zarr")
    array = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert np.array_equal(array[...], before.array) and array.metadata.zarr_format == 3
    assert array.chunks == (1, 64, 30, 64) and array.shards == (1, 128, 30, 192)
    assert array.attrs["affine"] == before.grid.affine.tolist()
    assert array.attrs["spacing"] == list(before.spacing)
    assert [axis["name"] for axis in array.attrs["axes"]] == ["z", "y", "x"]
    assert same(load(tmp_path / "a.zarr"), before)
    assert load(tmp_path / "a.zarr", kind="label").kind == "label"


def test_zarr_of_zeros_two_dimensions_and_big_endian(tmp_path):
    flat = Image(np.zeros((5, 6), ">i2"), Grid.from_spacing((5, 6), (1, 2)))
    save(flat, tmp_path / "a.zarr")
    after = load(tmp_path / "a.zarr")
    assert np.array_equal(after.array, flat.array) and after.array.dtype == np.int16 and after.grid == flat.grid


def test_zarr_replaces_zarr_and_nothing_else(tmp_path):
    save(image(), tmp_path / "a.zarr")
    save(image("i2"), tmp_path / "a.zarr")
    assert load(tmp_path / "a.zarr").array.dtype == np.int16
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "thesis.txt").touch()
    with pytest.raises(WriteError, match="b.zarr: exists and is not a Zarr folder"):
        save(image(), tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr" / "thesis.txt").exists()


def test_zarr_lost_or_corrupt_files_are_not_zeros(tmp_path):
    save(image(leading=(2,)), tmp_path / "a.zarr")
    files = sorted(p for p in (tmp_path / "a.zarr" / "c").rglob("*") if p.is_file())
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    files[0].unlink()
    with pytest.raises(ReadError, match="a.zarr: holds 1 of its 2 files"):
        load(tmp_path / "a.zarr")
    victim = tmp_path / "b.zarr" / files[0].relative_to(tmp_path / "a.zarr")
    data = bytearray(victim.read_bytes())
    data[len(data) // 3] ^= 255
    victim.write_bytes(data)
    with pytest.raises(ReadError, match="b.zarr: "):
        load(tmp_path / "b.zarr")
    victim.write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match="b.zarr: "):
        load(tmp_path / "b.zarr")


def test_zarr_refusals(tmp_path):
    with pytest.raises(ReadError, match="no such file or folder: .*a.zarr"):
        read_zarr(tmp_path / "a.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReadError, match="empty.zarr: "):
        load(tmp_path / "empty.zarr")
    (tmp_path / "empty.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ReadError, match="empty.zarr: "):
        load(tmp_path / "empty.zarr")
    zarr.create_array(str(tmp_path / "other.zarr"), shape=(2, 2, 2), dtype="i2", chunks=(2, 2, 2))
    with pytest.raises(GeometryError, match="other.zarr: no affine attribute"):
        load(tmp_path / "other.zarr")
    save(image(), tmp_path / "bad.zarr")
    zarr.open_array(tmp_path / "bad.zarr", mode="r+").attrs["affine"] = np.zeros((4, 4)).tolist()
    with pytest.raises(GeometryError, match="bad.zarr: "):
        load(tmp_path / "bad.zarr")


# npy


@pytest.mark.parametrize("dtype", TYPES)
def test_npy_round_trip(tmp_path, dtype):
    before = image(dtype, leading=(2,))
    save(before, tmp_path / "a.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), before.array)
    after = load(tmp_path / "a.npy", spacing=(3, 1, 2))
    assert after.array.dtype == before.array.dtype and np.array_equal(after.array, before.array)
    assert after.grid == Grid.from_spacing(SHAPE, (3, 1, 2)) and after.array.flags.writeable


def test_npy_orders(tmp_path):
    before = np.asfortranarray(image(">i2").array)
    np.save(tmp_path / "a.npy", before)
    after = load(tmp_path / "a.npy", spacing=(1, 1, 1)).array
    assert after.flags.c_contiguous and after.dtype == np.int16 and np.array_equal(after, before)
    assert type(after) is np.ndarray


def test_npy_needs_spacing(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    for spacing in (None, (1,), (1, 1, 1, 1), (1, 1, 1), (1, -1), (1, np.nan)):
        with pytest.raises(GeometryError, match="spacing"):
            load(tmp_path / "a.npy", spacing=spacing)


def test_npy_refusals(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(ReadError, match="no such file or folder"):
        read_npy(path, spacing=(1, 1, 1))
    np.save(path, image().array)
    good = path.read_bytes()
    for bad in (b"", good[:5], good[:60], good[:-1], good.replace(b"(70, ", b"(9999999999, ")[: len(good)], b"x" * 500):
        path.write_bytes(bad)
        with pytest.raises(ReadError, match="a.npy"):
            load(path, spacing=(1, 1, 1))
    np.save(path, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ReadError, match="a.npy"):
        load(path, spacing=(1, 1))
    for odd in (np.zeros((2, 2), "c8"), np.zeros((2, 2), "U3"), np.zeros((2, 2), [("a", "i2")])):
        np.save(path, odd)
        with pytest.raises(DTypeError, match="expected bool, an integer or a float"):
            load(path, spacing=(1, 1))


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_pending_rescale_is_not_lost(tmp_path, suffix):
    with pytest.raises(ArgumentError, match="apply it first"):
        save(image(rescale=Ramp(2.0)), tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_other_types_are_refused(tmp_path, suffix):
    odd = Image(np.zeros((2, 2), "c8"), Grid.from_spacing((2, 2), (1, 1)))
    with pytest.raises(DTypeError, match="complex64"):
        save(odd, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_missing_extra_names_the_install():
    with pytest.raises(MissingExtraError, match=r"pip install fastprep\[scans\]"):
        require("a_module_that_is_not_there")
