"""The named grids give their peers' own shapes, samples and affines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
import oracles
from fastprep import Grid, IndexMap
from fastprep.testing.assertions import to_numpy
from layouts import coordinates, interpolated, matrix_of, values

# Spacings as files have them: none of most is exact in binary.
SPACINGS = (
    0.3,
    0.4297,
    0.48828125,
    0.5,
    0.625,
    0.6348,
    0.7,
    0.748046875,
    0.8,
    0.88,
    1.0,
    1.1,
    1.25,
    1.5,
    2.0,
    2.5,
    3.0,
    5.0,
)
LENGTHS = st.integers(2, 600)
STEPS = st.sampled_from(SPACINGS)

CASES = [
    ((9, 14, 13), (2.0, 0.748046875, 0.748046875), (1.0, 1.0, 1.0)),
    ((17, 9, 8), (0.88, 0.88, 0.88), (1.0, 1.25, 0.7)),
    ((6, 20, 19), (5.0, 0.4297, 0.4297), (3.0, 0.8, 0.8)),
    ((11, 12, 13), (1.0, 1.0, 1.0), (0.7, 2.5, 1.0)),
    ((1, 12, 10), (3.0, 0.7, 0.7), (3.0, 1.0, 0.5)),
]


def length(grid, n, s, t):
    return IndexMap.spacing_change((n, n), (s, s), (t, t), grid=grid).shape[0]


def is_tie(x):
    """Halfway: here "itk" rounds the number meant, the peers whatever binary arithmetic left of it."""
    return abs(x - np.floor(x) - 0.5) < 1e-9


@settings(max_examples=500)
@given(n=LENGTHS, s=STEPS, t=STEPS)
def test_lengths_of_nnunet_scipy_and_torch(n, s, t):
    assert length("edges", n, s, t) == max(round(s / t * n), 1)
    assert length("scipy", n, s, t) == max(round(n * (s / t)), 1)
    if not is_tie(n * s / t):
        assert length("itk", n, s, t) == length("edges", n, s, t)


@settings(max_examples=300)
@given(n=LENGTHS, s=STEPS, t=STEPS)
def test_lengths_of_monai(n, s, t):
    shape_of = oracles.peer("monai.data.utils").compute_shape_offset
    affine = np.diag([s, s, s, 1.0])
    shape, _ = shape_of(np.array([n, n, n]), affine, np.diag([t, t, t, 1.0]))
    assert length("monai", n, s, t) == shape[0]


@settings(max_examples=300)
@given(n=LENGTHS, s=STEPS, t=STEPS)
def test_lengths_of_torchio(n, s, t):
    sitk = oracles.peer("SimpleITK")
    image = sitk.Image([n, 1, 1], sitk.sitkUInt8)
    image.SetSpacing([s, s, s])
    m = oracles.peer("torchio").Resample.get_reference_image(image, (t, t, t)).GetSize()[0]
    # TorchIO goes on with no voxels at all, and fails.
    assert length("torchio", n, s, t) == max(m, 1)


@pytest.mark.parametrize("n", [10, 100, 148])
def test_binary_noise_does_not_move_a_length(n):
    # 0.1 * 3 is not 0.3: what is a whole or a half number on paper is rounded as one.
    for s, t in ((0.7, 1.4), (0.3, 0.1), (0.1, 0.3), (1.1, 0.55), (0.35, 0.05)):
        exact = round(n * round(s * 100) / round(t * 100), 6)
        assert length("itk", n, s, t) == round(exact)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["linear", "nearest"])
def test_monai(backend, put, case, order):
    shape, spacing, new_spacing = case
    if order == "nearest":
        # MONAI rounds ties to even; these are none.
        new_spacing = tuple(t * 1.013 for t in new_spacing)
    x = values(shape, "float32")
    grid = Grid.from_spacing(shape, spacing)
    truth, affine = oracles.monai_spacing(x, grid, new_spacing, order)
    index_map = IndexMap.spacing_change(shape, spacing, new_spacing, grid="monai")
    assert np.abs(index_map.grid(grid).affine - affine).max() < 1e-9
    result = to_numpy(fp.resample(put(x), spacing, new_spacing, order=order, grid="monai"))
    assert result.shape == truth.shape
    # MONAI extends the border for ever, fastprep for half a voxel.
    where = coordinates(index_map.matrix, index_map.shape)
    inside = (where < np.array(shape).reshape(3, 1, 1, 1) - 0.5).all(0)
    assert inside.mean() > 0.7
    assert np.abs(result - truth)[inside].max() <= (2e-6 * np.ptp(x) if order == "linear" else 0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_torchio(backend, put, case, order):
    shape, spacing, new_spacing = case
    if order == "cubic" and min(shape) < 4:
        pytest.skip("ITK's spline filter wants four voxels")
    x = values(shape, "float32")
    grid = Grid.from_spacing(shape, spacing)
    truth, affine = oracles.torchio_resample(x, grid, new_spacing, order)
    index_map = IndexMap.spacing_change(shape, spacing, new_spacing, grid="torchio")
    assert np.abs(index_map.grid(grid).affine - affine).max() < 1e-6
    result = to_numpy(fp.resample(put(x), spacing, new_spacing, order=order, grid="torchio"))
    assert result.shape == truth.shape
    assert np.abs(result - truth).max() <= (2e-6 if order == "linear" else 5e-6) * np.ptp(x)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["linear", "nearest"])
def test_torch(backend, put, case, order):
    shape, spacing, new_spacing = case
    x = values(shape, "float64")
    truth = oracles.torch_interpolate(x, spacing, new_spacing, order)
    result = to_numpy(fp.resample(put(x), spacing, new_spacing, order=order, grid="edges"))
    assert result.shape == truth.shape
    index_map = IndexMap.spacing_change(shape, spacing, new_spacing, grid="edges")
    where = coordinates(index_map.matrix, shape=truth.shape)
    clear = (np.abs(where - np.floor(where) - 0.5) > 1e-6).all(0) if order == "nearest" else np.ones(truth.shape, bool)
    assert np.abs(result - truth)[clear].max() <= (0 if order == "nearest" else 1e-9 * np.ptp(x))


@pytest.mark.parametrize("case", CASES)
def test_nnunet_linear(backend, put, case):
    shape, spacing, new_spacing = case
    x = values(shape, "float32")
    truth = oracles.nnunet_resample(x, spacing, new_spacing, 1)
    result = to_numpy(fp.resample(put(x), spacing, new_spacing, grid="edges"))
    assert result.shape == truth.shape
    assert np.abs(result - truth).max() <= 2e-6 * np.ptp(x)


@pytest.mark.parametrize(("shape", "new_spacing"), [((40, 44, 42), (0.8, 1.1, 0.7)), ((44, 40, 41), (1.3, 0.6, 1.0))])
def test_nnunet_cubic_away_from_the_border(backend, put, shape, new_spacing):
    # scikit-image extends the edge voxel, ITK and fastprep mirror: the difference falls by 0.27 a voxel.
    x = values(shape, "float32")
    truth = oracles.nnunet_resample(x, (1, 1, 1), new_spacing, 3, clip=False)
    result = to_numpy(fp.resample(put(x), (1, 1, 1), new_spacing, order="cubic", grid="edges"))
    assert result.shape == truth.shape
    inner = tuple(slice(int(14 / t) + 1, m - int(14 / t) - 1) for t, m in zip(new_spacing, truth.shape, strict=True))
    assert truth[inner].size > 100
    assert np.abs(result - truth)[inner].max() <= 5e-6 * np.ptp(x)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["linear", "cubic", "nearest"])
def test_scipy_zoom(backend, put, case, order):
    shape, spacing, new_spacing = case
    x = values(shape, "float64")
    number = {"nearest": 0, "linear": 1, "cubic": 3}[order]
    truth, true_spacing = oracles.scipy_zoom(
        x, spacing, new_spacing, number, mode="mirror" if number == 3 else "nearest"
    )
    result = to_numpy(fp.resample(put(x), spacing, new_spacing, order=order, grid="scipy"))
    assert result.shape == truth.shape
    index_map = IndexMap.spacing_change(shape, spacing, new_spacing, grid="scipy")
    where = coordinates(index_map.matrix, shape=truth.shape)
    clear = (np.abs(where - np.floor(where) - 0.5) > 1e-6).all(0) if order == "nearest" else np.ones(truth.shape, bool)
    assert np.abs(result - truth)[clear].max() <= 1e-9 * np.ptp(x)
    assert np.allclose(index_map.grid(Grid.from_spacing(shape, spacing)).spacing, true_spacing, rtol=0, atol=1e-9)


@settings(max_examples=100)
@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    steps=st.lists(st.tuples(STEPS, STEPS), min_size=3, max_size=3),
    name=st.sampled_from(["itk", "edges", "monai", "torchio", "scipy"]),
    order=st.sampled_from(["nearest", "linear", "cubic"]),
)
def test_samples_are_where_the_grid_says(shape, steps, name, order):
    old, new = [s for s, _ in steps[: len(shape)]], [t for _, t in steps[: len(shape)]]
    # No more than 8 times finer: the shapes stay small.
    new = [max(t, s / 8) for s, t in zip(old, new, strict=True)]
    x = values(shape, "float32")
    index_map = IndexMap.spacing_change(shape, old, new, grid=name)
    result = fp.resample(x, old, new, order=order, grid=name, fill=-5)
    assert result.shape == index_map.shape
    where = coordinates(index_map.matrix, index_map.shape)
    truth = interpolated(x, where, {"nearest": 0, "linear": 1, "cubic": 3}[order], -5)
    assert np.abs(result - truth).max() <= (0 if order == "nearest" else 5e-6 * 3000)


def test_edges_keeps_the_field_of_view():
    for n, m in ((7, 10), (10, 7), (5, 5), (1, 3)):
        index_map = IndexMap.spacing_change((n, n), (1, 1), (n / m, n / m), grid="edges", new_shape=(m, m))
        ends = index_map.to_input([[-0.5, -0.5], [m - 0.5, m - 0.5]])
        assert np.allclose(ends, [[-0.5, -0.5], [n - 0.5, n - 0.5]])


def test_shape_overrides(backend, put):
    x = values((6, 7, 8), "float32")
    result = to_numpy(fp.resample(put(x), (1, 1, 1), (0.7, 0.9, 1.3), shape=(4, 9, 5)))
    truth = interpolated(x, coordinates(matrix_of((0.7, 0.9, 1.3), (0, 0, 0)), (4, 9, 5)), 1, 0)
    assert result.shape == (4, 9, 5) and np.abs(result - truth).max() <= 2e-6 * 3000
