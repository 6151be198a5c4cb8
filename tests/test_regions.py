"""``regions`` and its kernel: against SciPy, on every backend."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, NonFiniteError, ShapeError, TooLargeError
from fastprep.core.ramp import Ramp
from fastprep.core.regions import sums
from fastprep.ops._arrays import view_of
from layouts import LAYOUTS, same_error, values
from masks import kernel_of

SHAPE = (4, 7, 75)  # rows of more than one block, the last not full
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def labels_of(shape=SHAPE, density=0.35, seed=0):
    """SciPy's labels of a random mask."""
    return ndi.label(np.random.default_rng(seed).random(shape) < density)


def table(backend, put, labels, count, x=None, ceiling=math.inf, scale=1.0):
    given_ = None if x is None else view_of(put(x))
    return kernel_of(backend, "regions")(view_of(put(labels)), count, given_, ceiling, scale)


def check(found, labels, count, x=None, ceiling=math.inf):
    """The table of whole numbers, by SciPy and Python's integers."""
    index = np.arange(1, count + 1)
    np.testing.assert_array_equal(found.voxels, np.bincount(labels.ravel().astype(np.int64), minlength=count + 1)[1:])
    boxes = [[[s.start, s.stop] for s in box] for box in ndi.find_objects(labels.astype(np.int64))]
    np.testing.assert_array_equal(found.box, np.reshape(boxes, (count, 3, 2)))
    where = np.indices(labels.shape)
    np.testing.assert_array_equal(found.index_sum.T, [ndi.sum_labels(axis, labels, index) for axis in where])
    assert all(column.shape[0] == count for column in found)
    if x is None:
        return
    inside = [x[labels == label] for label in index]
    assert sums(found, 1.0).tolist() == [float(sum(int(v) for v in one)) for one in inside]
    np.testing.assert_array_equal(found.least, ndi.minimum(x, labels, index))
    np.testing.assert_array_equal(found.most, ndi.maximum(x, labels, index))
    np.testing.assert_array_equal(found.capped, [(one.astype(np.longdouble) >= ceiling).sum() for one in inside])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_type_of_values(backend, put, dtype):
    labels, count = labels_of()
    info = np.iinfo(dtype)
    x = np.random.default_rng(1).integers(info.min, info.max, SHAPE, dtype=dtype, endpoint=True)
    check(table(backend, put, labels, count, x, info.max / 3), labels, count, x, info.max / 3)


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_every_type_of_labels(backend, put, dtype):
    labels, count = labels_of(density=0.15 if dtype == "int8" else 0.35)
    x = values(SHAPE, "int16")
    if dtype == "bool":
        labels, count = labels > 0, 1
    elif count > np.iinfo(dtype).max:
        labels, count = labels % 100, 99
    check(table(backend, put, labels.astype(dtype), count, x), labels, count, x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sums_of_floats(backend, put, dtype):
    """Exact ones of rounded values, NaN of 0; the same bits on every backend."""
    labels, count = labels_of()
    x = values(SHAPE, dtype)
    x[1, ::3, ::7], x[2, 2, 10:12] = np.nan, (np.inf, -np.inf)
    found = table(backend, put, labels, count, x, 100.5, 2.0**20)
    index = np.arange(1, count + 1)
    wide = x.astype(np.float64)
    whole = np.rint(np.nan_to_num(wide * 2**20, nan=0.0, posinf=2.0**52, neginf=-(2.0**52))).astype(np.int64)
    expected = [sum(int(v) for v in whole[labels == label]) for label in index]
    assert [(int(high) << 26) + int(low) for high, low in zip(found.high, found.low, strict=True)] == expected
    for got, ufunc, none in ((found.least, np.fmin, np.inf), (found.most, np.fmax, -np.inf)):
        ends = [ufunc.reduce(wide[labels == label]) for label in index]
        np.testing.assert_array_equal(got, np.nan_to_num(ends, nan=none, posinf=np.inf, neginf=-np.inf))
    np.testing.assert_array_equal(found.capped, [(wide[labels == label] >= 100.5).sum() for label in index])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    (labels, count), x = labels_of(), values(SHAPE, "int16")
    labels = labels.astype(np.int32)
    check(table(backend, put, LAYOUTS[layout](labels), count, x), labels, count, x)
    check(table(backend, put, labels, count, LAYOUTS[layout](x)), labels, count, x)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 200), (50, 1, 1), (1, 30, 33), (6, 9, 1), (2, 4, 128)])
def test_every_shape(backend, put, shape):
    for density in (0.3, 1.0):
        labels, count = labels_of(shape, density)
        x = values(shape, "int16")
        check(table(backend, put, labels, count, x), labels, count, x)
        check(table(backend, put, labels, count), labels, count)


def test_labels_that_are_not_asked_for(backend, put):
    """Negative ones, those beyond the count, and rows of regions that have no voxel."""
    labels = np.array([[[-3, 2, 2, 0, 7, 4, 4, 4, 9]]])
    found = table(backend, put, labels, 5, np.arange(9).reshape(labels.shape))
    assert found.voxels.tolist() == [0, 2, 0, 3, 0]
    assert found.box[:, 2].tolist() == [[0, 0], [1, 3], [0, 0], [5, 8], [0, 0]]
    assert found.box[0].tolist() == [[0, 0]] * 3 and found.index_sum[:, 2].tolist() == [0, 3, 0, 18, 0]
    assert found.least.tolist() == [np.inf, 1, np.inf, 5, np.inf] and found.most[0] == -np.inf
    assert table(backend, put, labels, 0).voxels.shape == (0,)
    huge = np.array([[[2**63 + 1, 1]]], np.uint64)
    assert table(backend, put, huge, 1).voxels.tolist() == [1]


def test_any_number_of_threads():
    labels, count = labels_of((40, 60, 37))
    x = values(labels.shape, "float32")
    found = []
    try:
        for n in (1, 2, 3):
            fp.set_num_threads(n)
            found.append(table("cpu", np.asarray, labels, count, x, 10.0, 2.0**20))
    finally:
        fp.set_num_threads(None)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert one.tobytes() == two.tobytes()


def volume(seed=0, shape=(5, 6, 70)):
    labels, count = labels_of(shape, 0.3, seed)
    return labels.astype(np.int32), count, values(shape, "int16", seed)


def test_columns_are_those_of_scipy(backend, put):
    labels, count, x = volume()
    found = fp.regions(put(labels), intensity=put(x), spacing=(2, 0.7, 0.5))
    index = np.arange(1, count + 1)
    assert len(found) == count and found.label.tolist() == index.tolist()
    np.testing.assert_allclose(found.volume_mm3, found.voxels * 0.7, rtol=1e-15)
    np.testing.assert_array_equal(found.centroid, ndi.center_of_mass(labels > 0, labels, index))
    np.testing.assert_array_equal(found.mean, ndi.mean(x, labels, index))
    np.testing.assert_array_equal(found.minimum, ndi.minimum(x, labels, index))
    np.testing.assert_array_equal(found.maximum, ndi.maximum(x, labels, index))
    for one, box in zip(found, ndi.find_objects(labels), strict=True):
        assert one.bounding_box == tuple((s.start, s.stop) for s in box)
        at_end = any(s.start == 0 or s.stop == n for s, n in zip(box, labels.shape, strict=True))
        assert one.touches_border == at_end
    assert found.voxels.dtype == found.bounding_box.dtype == np.int64 and found.mean.dtype == np.float64


@settings(max_examples=15)
@given(st.integers(0, 999), st.floats(0.05, 0.9), st.tuples(*[st.integers(1, 9)] * 2, st.integers(1, 40)))
def test_any_volume(seed, density, shape):
    labels, count = labels_of(shape, density, seed)
    x = values(shape, "float64", seed)
    found, index = fp.regions(labels, intensity=x), np.arange(1, count + 1)
    assert len(found) == count
    if count:
        np.testing.assert_allclose(found.mean, ndi.mean(x, labels, index), rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(found.centroid, ndi.center_of_mass(labels > 0, labels, index))


def test_images(backend, put):
    labels, count, x = volume()
    affine = np.array([[0, 0.1, -0.7, 30], [0.3, 0.7, 0, 20], [2, 0, 0, -99], [0, 0, 0, 1]])
    grid = Grid(labels.shape, affine)
    found = fp.regions(Image(put(labels), grid, kind="label"), intensity=Image(put(x), grid, rescale=Ramp(-0.5, 31)))
    np.testing.assert_allclose(found.volume_mm3, found.voxels * abs(np.linalg.det(affine)), rtol=1e-12)
    index = np.arange(1, count + 1)
    centers = np.array(ndi.center_of_mass(labels > 0, labels, index))
    np.testing.assert_allclose(found.centroid_world, centers @ affine[:3, :3].T + affine[:3, 3], rtol=1e-12)
    np.testing.assert_allclose(found.mean, ndi.mean(x, labels, index) * -0.5 + 31, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(found.minimum, ndi.maximum(x, labels, index) * -0.5 + 31)
    stored = fp.regions(put(labels), intensity=Image(put(x), grid, rescale=Ramp(2, -1024)))
    np.testing.assert_array_equal(stored.mean, ndi.mean(x, labels, index) * 2 - 1024)
    with pytest.raises(GeometryError, match="an array has no place in the world"):
        _ = stored.centroid_world


def test_a_plane(backend, put):
    labels = np.array([[1, 1, 0], [0, 2, 2], [0, 0, 2], [0, 0, 0]])
    found = fp.regions(put(labels), spacing=(2, 0.5))
    assert found.area_mm2.tolist() == [2, 3] and found.bounding_box[1].tolist() == [[1, 3], [1, 3]]
    assert found[0].centroid == (0, 0.5) and found[1].touches_border
    grid = Grid.from_spacing(labels.shape, (2, 0.5))
    image = fp.regions(Image(put(labels), grid, kind="label"))
    np.testing.assert_allclose(image.centroid_world[0], grid.to_world((0, 0.5)))
    with pytest.raises(ArgumentError, match="volume_mm3 of a plane"):
        _ = found.volume_mm3
    one_slice = fp.regions(put(labels[None]), spacing=(3, 2, 0.5))
    assert one_slice.volume_mm3.tolist() == [6, 9] and one_slice.touches_border.tolist() == [True, True]
    assert not fp.regions(put(np.pad(labels, 1)[None])).touches_border.any()


def test_regions_without_a_voxel(backend, put):
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1:3, 2] = 2
    x = np.full(labels.shape, 7, np.float32)
    found = fp.regions(put(labels), intensity=put(x), spacing=(1, 1, 1), count=3)
    assert found.voxels.tolist() == [0, 2, 0] and found.volume_mm3.tolist() == [0, 2, 0]
    assert np.isnan(found.centroid[0]).all() and not found.bounding_box[0].any() and not found.touches_border[0]
    for column in (found.mean, found.minimum, found.maximum):
        np.testing.assert_array_equal(column, [np.nan, 7, np.nan])
    assert len(fp.regions(put(labels))) == 2 and len(fp.regions(put(labels * 0))) == 0
    assert len(fp.regions(put(labels.astype(np.int16) - 9))) == 0
    assert list(fp.regions(put(labels * 0), intensity=put(x))) == []


def test_forms_for_json():
    labels, _, x = volume()
    plain = fp.regions(labels)
    assert set(plain.to_dict()) == {"label", "voxels", "bounding_box", "centroid", "touches_border"}
    assert plain[0].volume_mm3 is None and plain[0].mean is None
    image = Image(labels, Grid.from_spacing(labels.shape, (2, 1, 1)), kind="label")
    full = fp.regions(image, intensity=x, count=int(labels.max()) + 1)
    columns = json.loads(json.dumps(full.to_dict(), allow_nan=False))
    assert columns["mean"][:-1] == full.mean[:-1].tolist() and columns["mean"][-1] is None
    assert {len(column) for column in columns.values()} == {len(full)}
    one = json.loads(json.dumps(full[3].to_dict(), allow_nan=False))
    assert one["centroid_world"] == full.centroid_world[3].tolist() and one["label"] == 4
    assert "saturated" not in one and json.dumps(full[-1].to_dict(), allow_nan=False)


def test_libraries(xp):
    labels, _, x = volume()
    found = fp.regions(xp.asarray(labels), intensity=xp.asarray(x))
    np.testing.assert_array_equal(found.mean, fp.regions(labels, intensity=x).mean)
    assert isinstance(found.mean, np.ndarray)


def test_errors(backend, put):
    labels = np.zeros((3, 4, 5), np.int16)
    labels[1, 1], labels[2, 3, 4] = 1, 2
    odd = values(labels.shape, "float32")
    odd[1, 1, :3], odd[0] = np.nan, np.nan
    same_error(lambda: fp.regions(put(labels), intensity=put(odd)), NonFiniteError, "holds 3 values inside the labels")
    same_error(lambda: fp.regions(put(odd)), DTypeError, "labels of dtype float32")
    same_error(lambda: fp.regions(put(labels[None])), ShapeError, r"labels of shape \(1, 3, 4, 5\)")
    same_error(lambda: fp.regions(put(labels[0, 0])), ShapeError, r"labels of shape \(5,\)")
    same_error(lambda: fp.regions(put(labels), intensity=put(odd[:2])), ShapeError, r"intensity of shape \(2, 4, 5\)")
    for count in (-1, 1.5, True, "2"):
        same_error(lambda c=count: fp.regions(put(labels), count=c), ArgumentError, "count=")
    same_error(lambda: fp.regions(put(labels), spacing=(1, 0, 1)), GeometryError, "spacing=")
    same_error(lambda: fp.regions(put(labels), count=1 << 50), TooLargeError, "GiB")
    found = fp.regions(put(labels))
    with pytest.raises(ArgumentError, match="volume_mm3: spacing is missing"):
        _ = found.volume_mm3
    with pytest.raises(ArgumentError, match="pass intensity="):
        _ = found.mean
    with pytest.raises(ArgumentError, match="detect_metal"):
        _ = found.saturated
    with pytest.raises(ArgumentError, match="area_mm2 of a volume"):
        _ = fp.regions(put(labels), spacing=(1, 1, 1)).area_mm2
    grids = [Grid.from_spacing(labels.shape, (1, 1, s)) for s in (1, 2)]
    images = [Image(put(labels), grid) for grid in grids]
    same_error(lambda: fp.regions(images[0], intensity=images[1]), GeometryError, "expected the grid of labels")
