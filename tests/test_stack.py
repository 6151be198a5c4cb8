from __future__ import annotations

import math

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep import Grid, Image, IndexMap, Ramp
from fastprep.core.coverage import check_covers
from fastprep.core.errors import ArgumentError, DeviceError, DTypeError, GeometryError, ShapeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, coordinates, on_an_edge, same_error, tolerance, values

TOLERANCE = tolerance("stack")
INF = math.inf


def turned(shape, spacing, seed, *, centre=(0, 0, 0), most=0.2):
    """A grid turned a little about ``centre``."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.eye(3)[[2, 1, 0]] + rng.uniform(-most, most, (3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


T1, T2, FLAIR = (
    turned((12, 14, 13), (1, 1, 1), 0, most=0.0),
    turned((14, 12, 20), (1.2, 1.5, 0.8), 1),
    turned((4, 22, 21), (5, 0.8, 0.8), 2),
)


def images(put):
    return {
        "t1": Image(put(values(T1.shape, "int16", 1)), T1, modality="MR"),
        "t2": Image(put(values(T2.shape, "int16", 2)), T2, modality="MR"),
        "flair": Image(put(values(FLAIR.shape, "float32", 3)), FLAIR, modality="MR"),
    }


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
def test_simpleitk(backend, put, order):
    scans = images(put)
    result = fp.stack(scans, order=order, fill=7, tolerance=INF)
    assert result.grid == T1 and result.modality == "MR" and result.kind == "scalar" and result.rescale == Ramp()
    array = to_numpy(result.array)
    assert array.dtype == np.float32 and array.shape == (3, *T1.shape)
    for channel, (x, grid) in zip(array, ((to_numpy(s.array), s.grid) for s in scans.values()), strict=True):
        truth = oracles.sitk_resample(x, grid, T1, order, 7)
        clear = ~on_an_edge(coordinates(IndexMap.between(grid, T1).matrix, T1.shape), grid.shape, order)
        error = np.abs(channel.astype(float) - truth)[clear].max()
        assert error <= {"linear": 2e-6, "cubic": 5e-6}.get(order, 0) * np.ptp(x.astype(float))


@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_each_channel_is_resample_to(backend, put, order):
    scans = images(put)
    for onto, grid in ((None, T1), ("flair", FLAIR), (1, T2), (-1, FLAIR), (T2, T2)):
        result = fp.stack(scans, onto=onto, order=order, tolerance=INF)
        assert result.grid == grid
        for k, scan in enumerate(scans.values()):
            alone = fp.resample_to(scan, grid, order=order, dtype="float32")
            np.testing.assert_array_equal(to_numpy(result.array)[k], to_numpy(alone.array))


def test_what_is_on_the_grid_is_copied(backend, put):
    """Also where a file's header rounded the grid."""
    affine = FLAIR.affine.astype(np.float32).astype(np.float64)
    a, b = values(FLAIR.shape, "int16", 1), values(FLAIR.shape, "float64", 2)
    result = fp.stack([Image(put(b), FLAIR), Image(put(a), Grid(FLAIR.shape, affine))], order="cubic")
    assert_same(result.array, np.stack([b, a.astype(np.float64)]), put(a), tolerance=0)


def test_dtype(backend, put):
    scans = list(images(put).values())
    assert to_numpy(fp.stack(scans[:2], tolerance=INF).array).dtype == np.float32
    wide = Image(put(values(T1.shape, "float64")), T1)
    assert to_numpy(fp.stack([scans[0], wide]).array).dtype == np.float64
    for dtype in ("float16", "int16", "float64"):
        result = fp.stack(scans[:1] * 2, dtype=dtype).array
        truth = np.stack([values(T1.shape, "int16", 1)] * 2).astype(dtype)
        assert_same(result, truth, put(truth), tolerance=0)


def test_stored_values_and_fills_are_each_images_own(backend, put):
    x = values(T1.shape, "int16")
    small = Grid(T1.shape, T1.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    ct = Image(put(x), small, modality="CT", rescale=Ramp(0.5, -1024))
    mr = Image(put(x), small, modality="MR", rescale=Ramp(-2, 10))
    result = fp.stack({"ct": ct, "mr": mr}, onto=T1, tolerance=INF)
    assert result.modality is None
    for channel, scan in zip(to_numpy(result.array), (ct, mr), strict=True):
        np.testing.assert_array_equal(channel, to_numpy(fp.resample_to(scan, T1, dtype="float32").array))
    assert to_numpy(result.array)[:, -1, -1, -1].tolist() == [-1024, 0]


def test_two_axes(backend, put):
    fine, coarse = Grid.from_spacing((9, 8), (1, 1)), Grid.from_spacing((4, 8), (2, 1))
    x, y = values((9, 8), "float32"), values((4, 8), "float32", 1)
    result = fp.stack([Image(put(x), fine), Image(put(y), coarse)])
    truth = np.stack([x, oracles.sitk_resample(y, coarse, fine, "linear", 0)])
    assert_same(result.array, truth, put(x), tolerance=TOLERANCE)
    lifted = fine.affine.copy()
    lifted[2, 3] = 5
    apart = [Image(put(x), fine), Image(put(x), Grid((9, 8), lifted))]
    same_error(lambda: fp.stack(apart), GeometryError, "different planes")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, y = values(T1.shape, "int16"), values(T2.shape, "int16", 1)
    given = LAYOUTS[layout](y)
    result = fp.stack([Image(put(x), T1), Image(put(given), T2)], tolerance=INF)
    plain = fp.stack([Image(put(x), T1), Image(put(y), T2)], tolerance=INF)
    np.testing.assert_array_equal(to_numpy(result.array), to_numpy(plain.array))


def test_libraries(xp):
    x, y = values(T1.shape, "int16"), values(T2.shape, "int16", 1)
    truth = fp.stack([Image(x, T1), Image(y, T2)], tolerance=INF).array
    there = xp.asarray(x)
    result = fp.stack([Image(there, T1), Image(xp.asarray(y), T2)], tolerance=INF)
    assert_same(result.array, truth, there, tolerance=0)


def box(shape, spacing, start=(0.0, 0.0, 0.0)):
    grid = Grid.from_spacing(shape, spacing)
    affine = grid.affine.copy()
    affine[:3, 3] = start
    return Grid(shape, affine)


WHOLE = box((40, 50, 50), (2, 1, 1))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        # Fields end half a voxel beyond their centres: at 57.5 + 2.5 of 78 mm, 4 of 49, and at both.
        (box((12, 50, 50), (5, 1, 1)), r"ends 20\.5 mm \(superior\)"),
        (box((40, 50, 50), (2, 1, 1), (0, 0, 15)), r"ends 14\.0 mm \(inferior\)"),
        (box((40, 50, 50), (2, 1, 1), (0, -9, 0)), r"ends 8\.5 mm \(anterior\)"),
        (box((40, 50, 50), (2, 1, 1), (0, 9, 0)), r"ends 8\.5 mm \(posterior\)"),
        (box((40, 50, 50), (2, 1, 1), (9, 0, 0)), r"ends 8\.5 mm \(left\)"),
        (box((40, 50, 50), (2, 1, 1), (-9, 0, 0)), r"ends 8\.5 mm \(right\)"),
        (box((40, 50, 50), (2, 1, 1), (3.5, 4.5, 0)), r"ends 5\.0 mm before"),
    ],
)
def test_a_field_of_view_that_ends_too_early(put, backend, grid, message):
    scans = {"t1": Image(put(np.zeros(WHOLE.shape, np.int16)), WHOLE)}
    scans["flair"] = Image(put(np.zeros(grid.shape, np.int16)), grid)
    same_error(lambda: fp.stack(scans), GeometryError, f"^flair: its field of view {message}.*tolerance=")
    assert to_numpy(fp.stack(scans, tolerance=25).array).shape == (2, *WHOLE.shape)


def test_how_far_is_allowed():
    grid = box((12, 50, 50), (5, 1, 1))  # up to 57.5 mm
    for slices, spare in ((12, -2.5), (13, 2.5), (14, 7.5)):
        target = box((slices, 50, 50), (5, 1, 1))
        if spare <= 5:
            check_covers(grid, target)
        else:
            with pytest.raises(GeometryError, match=r"image: .*7\.5 mm \(superior\).*tolerance=5 mm"):
                check_covers(grid, target)
        check_covers(grid, target, max(spare, 0))
        if spare > 0:
            with pytest.raises(GeometryError):
                check_covers(grid, target, spare - 0.01)
    # What reaches further than the target is no matter, turned about or not.
    check_covers(WHOLE, box((3, 3, 3), (1, 1, 1), (10, 10, 10)), 0)
    flipped = Grid(WHOLE.shape, WHOLE.affine @ IndexMap.flip(WHOLE.shape, (0, 2)).matrix)
    check_covers(flipped, WHOLE, 0)
    check_covers(WHOLE, flipped, 0)


def test_real_sequences(data):
    """T1, T2 and FLAIR of one brain: voxel on voxel they tell the same brain from the same air."""
    scans = {name: fp.load(data / "mri" / "stroke" / f"{name}.nii.gz") for name in ("T1", "T2", "FLAIR")}
    result = fp.stack(scans, onto="T1", tolerance=INF)
    assert result.grid == scans["T1"].grid and result.array.shape == (3, *result.grid.shape)
    np.testing.assert_array_equal(result.array[0], scans["T1"].array)
    brains = []
    for channel, scan in zip(result.array, scans.values(), strict=True):
        truth = oracles.sitk_resample(scan.array, scan.grid, result.grid, "linear", 0)
        where = coordinates(IndexMap.between(scan.grid, result.grid).matrix, result.grid.shape)
        clear = ~on_an_edge(where, scan.grid.shape, "linear")
        assert np.abs(channel - truth)[clear].max() <= 2e-6 * np.ptp(scan.array)
        brains.append(channel > 0.1 * np.percentile(channel, 99))
    overlap = [2 * (brains[0] & b).sum() / (brains[0].sum() + b.sum()) for b in brains[1:]]
    assert min(overlap) > 0.9


def test_errors(backend, put):
    x = values(T1.shape, "int16")
    image = Image(put(x), T1)
    label = Image(put(x), T1, "label")
    channels = Image(put(np.stack([x, x])), T1)
    flat = Image(put(x[0]), Grid.from_spacing(T1.shape[1:], (1, 1)))
    same_error(lambda: fp.stack([]), ArgumentError, "there is none")
    same_error(lambda: fp.stack(image), ArgumentError, "images of type Image")
    same_error(lambda: fp.stack([image, put(x)]), ArgumentError, "image 1 of type .*: expected an Image")
    same_error(lambda: fp.stack({"t1": image, "seg": label}), ArgumentError, "seg of kind 'label'.*resample_to")
    same_error(lambda: fp.stack([image, channels]), ShapeError, r"image 1 of shape \(2, 12, 14, 13\)")
    same_error(lambda: fp.stack({"t1": image, "x": flat}), GeometryError, "x: has 2 axes, the target grid 3")
    for onto in ("t2", 1, -2, 1.0, True):
        same_error(lambda onto=onto: fp.stack({"t1": image}, onto=onto), ArgumentError, f"onto={onto!r}: .*one of t1")
    same_error(lambda: fp.stack([image], order="onehot"), ArgumentError, "order='onehot'")
    same_error(lambda: fp.stack([image], order=2), ArgumentError, "order=2")
    for mm in (-1, math.nan):
        same_error(lambda mm=mm: fp.stack([image], tolerance=mm), ArgumentError, "0 or more")
    same_error(lambda: fp.stack([image], fill=math.nan), ArgumentError, "finite")
    same_error(lambda: fp.stack([image], dtype="complex64"), DTypeError, "dtype='complex64'")


def test_arrays_of_one_library_and_device(gpu):
    torch = pytest.importorskip("torch")
    x = values(T1.shape, "float32")
    mixed = {"t1": Image(x, T1), "t2": Image(torch.from_numpy(x), T1)}
    with pytest.raises(ArgumentError, match="t1 of numpy, t2 of torch: expected one array library"):
        fp.stack(mixed)
    with pytest.raises(DeviceError, match="a on the CPU, b on GPU 0"):
        fp.stack({"a": Image(x, T1), "b": Image(gpu(x), T1)})
