from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, ShapeError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import same_error, values
from test_clahe import chest


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_patch_is_a_part_of_the_whole(backend, put, dtype):
    x = chest((50, 70)).astype(dtype)
    tables = fp.clahe_tables(put(x), tiles=(3, 4))
    whole = fp.clahe(put(x), tiles=(3, 4))
    assert_same(tables.apply(put(x)), to_numpy(whole), put(x), tolerance=0)
    for y0, y1, x0, x1 in ((0, 20, 0, 20), (13, 40, 31, 70), (49, 50, 69, 70), (3, 4, 0, 70)):
        patch = np.ascontiguousarray(x[y0:y1, x0:x1])
        found = tables.apply(put(patch), origin=(y0, x0))
        assert_same(found, to_numpy(whole)[y0:y1, x0:x1], put(x), tolerance=0)


@given(st.data())
@settings(max_examples=15)
def test_any_patch_of_a_volume(data):
    x = chest((9, 20, 25), 3000).astype(np.int16)
    how = {"tiles": data.draw(st.sampled_from([(2, 3, 3), (1, 1, 1), (9, 4, 5)])), "bins": 100}
    ends = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in x.shape]
    part = tuple(slice(*e) for e in ends)
    found = fp.clahe_tables(x, **how).apply(x[part], origin=[e[0] for e in ends])
    np.testing.assert_array_equal(found, fp.clahe(x, **how)[part])


def test_masks_batches_and_ranges(backend, put):
    x, mask = chest((2, 3, 20, 30), 2000).astype(np.int16), values((3, 20, 30), "bool", 1)
    x[1] = 7
    tables = fp.clahe_tables(put(x), tiles=(1, 3, 4), mask=put(mask))
    assert len(tables.value_ranges) == 2 and tables.value_ranges[1] is None
    low, high = tables.value_ranges[0]
    inside = x[0][mask]
    assert inside.min() <= low < high <= inside.max() and low == int(low)
    whole = to_numpy(fp.clahe(put(x), tiles=(1, 3, 4), mask=put(mask)))
    part = (slice(1, 3), slice(4, 17), slice(8, 30))
    patches, marks = np.ascontiguousarray(x[:, *part]), np.ascontiguousarray(mask[part])
    found = tables.apply(put(patches), (1, 4, 8), mask=put(marks))
    assert_same(found, whole[:, *part], put(x), tolerance=0)
    # The tables of one image are for any number of patches.
    one = fp.clahe_tables(put(x[0]), tiles=(1, 3, 4))
    assert_same(one.apply(put(patches), (1, 4, 8))[0], to_numpy(one.apply(put(x[0])))[part], put(x), tolerance=0)


def test_images_and_other_types(backend, put):
    x = chest((20, 30)).astype(np.uint8)
    tables = fp.clahe_tables(Image(put(x), Grid.from_spacing((20, 30), (1, 1))), tiles=3, dtype="float32")
    assert (tables.shape, tables.tiles, tables.dtype) == ((20, 30), (3, 3), "float32")
    image = Image(put(np.ascontiguousarray(x[4:9, 5:25])), Grid.from_spacing((5, 20), (1, 1)), modality="DX")
    found = tables.apply(image, (4, 5))
    assert found.grid is image.grid and found.modality == "DX"
    whole = to_numpy(fp.clahe(put(x), tiles=3, dtype="float32"))
    assert_same(found.array, whole[4:9, 5:25], put(whole), tolerance=0)
    rounded = to_numpy(tables.apply(put(x), dtype="uint8"))
    np.testing.assert_array_equal(rounded, np.rint(whole).astype(np.uint8))


def test_errors(backend, put):
    x = chest((20, 30)).astype(np.uint8)
    tables = fp.clahe_tables(put(x))
    for origin in ((1, 0), (0, -1), (0, 30), (0,), (0.5, 0), (0, 0, 0)):
        with pytest.raises(ShapeError, match=r"patch of shape \(20, 30\) at origin"):
            tables.apply(put(x), origin)
    with pytest.raises(ShapeError, match="expected to lie inside"):
        tables.apply(put(chest((21, 30)).astype(np.uint8)))
    with pytest.raises(DTypeError, match="patch of dtype int16: expected that of the image, uint8"):
        tables.apply(put(x.astype(np.int16)))
    with pytest.raises(DTypeError, match="dtype=bool"):
        tables.apply(put(x), dtype="bool")
    swapped = np.asarray(x.astype(">i2"))
    assert_same(fp.clahe_tables(swapped).apply(x.astype(np.int16)), fp.clahe(swapped), x.astype(np.int16), tolerance=0)
    several = fp.clahe_tables(put(np.stack([x, x])), tiles=(2, 2))
    with pytest.raises(ShapeError, match="3 patches: expected as many as the images, 2"):
        several.apply(put(np.stack([x, x, x])))
    same_error(lambda: fp.clahe_tables(put(x), tiles=0), ArgumentError, "tiles=0")
