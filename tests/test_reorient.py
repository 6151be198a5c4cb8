from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values

CODES = ["".join(c) for axes in permutations(("RL", "AP", "SI")) for c in product(*axes)]
OBLIQUE = np.array([[0.1, 0.2, -0.7, 5], [0.0, 0.8, 0.3, -7], [1.9, -0.1, 0.2, 11], [0, 0, 0, 1.0]])


def scan(dtype="int16", shape=(3, 4, 5), affine=OBLIQUE):
    return Image(values(shape, dtype), Grid(shape, affine))


def nibabel_as(image, codes):
    """Reoriented by nibabel: array and affine."""
    nib = oracles.peer("nibabel")
    have = nib.orientations.io_orientation(image.grid.affine)
    want = nib.orientations.axcodes2ornt(tuple(codes))
    turned = nib.Nifti1Image(image.array, image.grid.affine).as_reoriented(nib.orientations.ornt_transform(have, want))
    return np.asarray(turned.dataobj), turned.affine


@pytest.mark.parametrize("codes", CODES)
def test_nibabel(backend, put, codes):
    image = scan()
    array, affine = nibabel_as(image, codes)
    result = fp.reorient(image.with_array(put(image.array)), codes)
    assert_same(result.array, array, put(image.array), tolerance=0)
    assert np.abs(result.grid.affine - affine).max() < 1e-9
    assert "".join(result.grid.axcodes) == codes


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "ILA"])
def test_there_and_back_is_the_identity(backend, put, codes):
    image = scan("float32", (5, 1, 7))
    back = fp.reorient(fp.reorient(image.with_array(put(image.array)), codes), image.grid.axcodes)
    assert to_numpy(back.array).tobytes() == image.array.tobytes()
    assert back.grid.same_as(image.grid, tolerance=1e-12)


def test_every_voxel_keeps_its_world_position(backend, put):
    image = scan()
    result = fp.reorient(image.with_array(put(image.array)), "AIL")
    where = np.argwhere(np.ones(result.grid.shape, bool))
    source = np.rint(image.grid.to_index(result.grid.to_world(where))).astype(int)
    assert np.array_equal(to_numpy(result.array)[tuple(where.T)], image.array[tuple(source.T)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    image = scan(dtype)
    array, _ = nibabel_as(scan("float64").with_array(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), "RPI")
    truth = image.array.reshape(-1)[array.astype(int)]
    check_layouts(
        lambda a: fp.reorient(image.with_array(a), "RPI").array, truth, image.array, put, backend, tolerance=0
    )


def test_channels_move_with_their_voxels(backend, put):
    image = scan()
    both = np.stack([image.array, image.array + 1])
    result = fp.reorient(Image(put(both), image.grid), "LSA")
    alone = fp.reorient(image.with_array(put(image.array)), "LSA")
    assert np.array_equal(to_numpy(result.array), np.stack([to_numpy(alone.array), to_numpy(alone.array) + 1]))


def test_two_axes(backend, put):
    picture = Image(put(values((3, 4), "uint8")), Grid.from_spacing((3, 4), (1, 2)))
    assert picture.grid.axcodes == ("A", "R")
    turned = fp.reorient(picture, "LP")
    assert np.array_equal(to_numpy(turned.array), to_numpy(picture.array)[::-1, ::-1].T)


def test_libraries(xp):
    image = scan()
    given = xp.asarray(image.array)
    array, _ = nibabel_as(image, "RAS")
    assert_same(fp.reorient(image.with_array(given), "RAS").array, array, given, tolerance=0)


def test_kind_and_modality_stay(backend, put):
    image = Image(put(np.zeros((2, 3, 4), np.uint8)), Grid((2, 3, 4), OBLIQUE), kind="label", modality="CT")
    result = fp.reorient(image, "RAS")
    assert (result.kind, result.modality) == ("label", "CT")


def test_errors(backend, put):
    image = scan()
    for codes in ("RA", "RAA", "RLS", "XYZ", "RASS"):
        same_error(lambda c=codes: fp.reorient(image, c), ArgumentError, "each pair once")
    plane = Image(put(np.zeros((3, 4))), Grid.from_spacing((3, 4), (1, 1)))
    same_error(lambda: fp.reorient(plane, "SR"), ArgumentError, "no axis of AR runs along S")
