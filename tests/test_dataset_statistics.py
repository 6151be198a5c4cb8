"""DatasetStatistics: against NumPy over all voxels of a cohort in one array."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastprep import DatasetStatistics, Grid, Image
from fastprep.core.errors import (
    ArgumentError,
    ConfigError,
    NoKernelError,
    NonFiniteError,
    NotFittedError,
    ReadError,
    ShapeError,
)
from fastprep.core.ramp import Ramp
from fastprep.core.spectrum import Spectrum, keys
from fastprep.core.threads import thread_limit
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, same_error, values

Q = (0.5, 50, 99.5)


def scan(seed, dtype="int16", shape=(5, 12, 13)):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(shape) < 0.3, -1024, rng.normal(60, 90, shape))
    x = np.maximum(x, 0) if np.dtype(dtype).kind == "u" else x
    return (x if np.dtype(dtype).kind == "f" else np.rint(x)).astype(dtype), rng.random(shape) > 0.4


def assert_those_of(found, voxels, exact=True):
    voxels = voxels.astype(np.float64)
    assert found.count == voxels.size and (found.low, found.high) == (voxels.min(), voxels.max())
    np.testing.assert_allclose([found.mean, found.std], [voxels.mean(), voxels.std()], rtol=1e-12)
    mine, theirs = [found.percentile(q) for q in (*Q, 0, 12.5, 100)], np.percentile(voxels, [*Q, 0, 12.5, 100])
    np.testing.assert_allclose(mine, theirs, rtol=1e-14 if exact else 2**-13, atol=0 if exact else 1e-37)


COHORT = [scan(s) for s in range(4)]
IMAGES, MASKS = [x for x, _ in COHORT], [m for _, m in COHORT]
VOXELS = np.concatenate([x[m] for x, m in COHORT])
FITTED = DatasetStatistics().fit(IMAGES, MASKS)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16"])
def test_counts_of_whole_numbers(backend, put, dtype):
    cohort = [(values((4, 5, 6), dtype, s), values((4, 5, 6), "bool", s + 9)) for s in range(3)]
    cohort = [(x // 8 if np.dtype(dtype).itemsize > 1 else x, m) for x, m in cohort]  # up to 8192
    found = DatasetStatistics().fit([put(x) for x, _ in cohort], [put(m) for _, m in cohort])
    assert_those_of(found, np.concatenate([x[m] for x, m in cohort]))
    assert found.cases == 3
    everything = DatasetStatistics().fit([put(x) for x, _ in cohort])
    assert_those_of(everything, np.concatenate([x.ravel() for x, _ in cohort]))


@pytest.mark.parametrize("host", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
def test_other_types(host, dtype):
    from fastprep import registry

    cohort = [scan(s, dtype) for s in range(3)]
    with registry.backend(host):
        found = DatasetStatistics().fit([x for x, _ in cohort], [m for _, m in cohort])
    assert_those_of(found, np.concatenate([x[m] for x, m in cohort]), exact=dtype.startswith("int"))


def test_floats_on_a_gpu_are_not_moved(gpu):
    with pytest.raises(NoKernelError, match=r"of float32 on a GPU: expected integers of 8 or 16 bits there"):
        DatasetStatistics().observe(gpu(scan(0, "float32")[0]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_layouts_and_threads(layout, dtype):
    x, mask = scan(1, dtype, (9, 60, 400))
    found = DatasetStatistics().fit([LAYOUTS[layout](x)], [LAYOUTS[layout](mask)])
    assert_those_of(found, x[mask], exact=dtype == "int16")
    with thread_limit(1):
        assert DatasetStatistics().fit([x], [mask]).to_dict(counts=True) == found.to_dict(counts=True)


@settings(max_examples=20)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_any_numbers_are_near_their_keys(numbers):
    x = np.array(numbers, np.float32).astype(np.float64)
    spectrum = Spectrum()
    spectrum.add(x)
    found, counts = spectrum.values_and_counts()
    assert counts.sum() == x.size
    # The smallest subnormal numbers are as far apart as their last bit.
    np.testing.assert_allclose(np.repeat(found, counts), np.sort(x), rtol=2**-13, atol=2**-139)
    assert (np.diff(keys(np.sort(x)).astype(int)) >= 0).all()


def test_whole_numbers_are_their_keys():
    x = np.arange(-8192, 8193)
    spectrum = Spectrum()
    spectrum.add(np.append(x, -0.0))
    found, counts = spectrum.values_and_counts()
    np.testing.assert_array_equal(found, x)
    assert counts.max() == 2 and counts[x == 0] == 2
    wide = Spectrum()
    wide.add(np.array([1e300, -1e300, 3.4e38]))
    assert np.isfinite(wide.values_and_counts()[0]).all()


def test_images_are_in_physical_units(backend, put):
    grid = Grid.from_spacing((5, 12, 13), (2, 1, 1))
    stored = [Image(put(x), grid, modality="CT", rescale=Ramp(-2.0, 100.0)) for x in IMAGES]
    found = DatasetStatistics().fit(stored, [Image(put(m), grid, kind="label") for m in MASKS])
    assert_those_of(found, -2.0 * VOXELS + 100)
    assert found.modality == "CT"
    with pytest.raises(ArgumentError, match="modality MR: expected CT"):
        found.transform(Image(put(IMAGES[0]), grid, modality="MR"))
    with pytest.raises(ArgumentError, match="modality MR: expected CT"):
        found.observe(Image(put(IMAGES[0]), grid, modality="MR"))
    result = found.transform(stored[0])
    assert result.grid is grid and result.rescale.is_identity
    x = np.clip(IMAGES[0] * -2.0 + 100, found.percentile(0.5), found.percentile(99.5))
    assert_same(result.array, ((x - found.mean) / found.std).astype(np.float32), put(IMAGES[0]), tolerance=1e-6)


def test_nnunet_s_formula(backend, put):
    """Clip to the cohort's percentiles, less its mean, over its standard deviation."""
    low, high = np.percentile(VOXELS, [0.5, 99.5])
    for x, _ in COHORT:
        expected = (np.clip(x, low, high) - VOXELS.mean()) / VOXELS.std()
        assert_same(FITTED.transform(put(x)), expected.astype(np.float32), put(x), tolerance=1e-6)
        expected = (x - VOXELS.mean()) / VOXELS.std()
        assert_same(FITTED.transform(put(x), clip=False), expected.astype(np.float32), put(x), tolerance=1e-6)


def test_batches_and_functions():
    batch, marks = np.stack(IMAGES), np.stack(MASKS)
    found = DatasetStatistics()
    found.observe(batch, marks)
    assert found.cases == 4
    assert_those_of(found, VOXELS)
    by_function = DatasetStatistics().fit(iter(IMAGES), lambda x: x > -1000)
    assert_those_of(by_function, np.concatenate([x[x > -1000] for x in IMAGES]))
    one = DatasetStatistics().fit([IMAGES[0]], [IMAGES[0] == IMAGES[0].max()])
    assert one.count == 1 and one.std == 0 and one.percentile(50) == IMAGES[0].max()


@settings(max_examples=5)
@given(st.permutations(range(4)), st.integers(0, 4))
def test_parts_add_up(order, cut):
    parts = [DatasetStatistics(), DatasetStatistics()]
    for place, i in enumerate(order):
        parts[place < cut].observe(*COHORT[i])
    both = pickle.loads(pickle.dumps(parts[0])).merge(parts[1])
    assert_those_of(both, VOXELS)
    assert both.cases == 4
    # Through its plain form, too.
    again = DatasetStatistics.from_dict(json.loads(json.dumps(both.to_dict(counts=True))))
    assert again.to_dict(counts=True) == both.to_dict(counts=True)
    again.observe(*COHORT[0])
    assert_those_of(again, np.concatenate([VOXELS, IMAGES[0][MASKS[0]]]))


def test_plain_form_and_files(tmp_path):
    form = json.loads(json.dumps(FITTED.to_dict()))
    again = DatasetStatistics.from_dict(form)
    assert again.to_dict() == form and again.ramp() == FITTED.ramp()
    FITTED.save(tmp_path / "ct.json")
    assert DatasetStatistics.load(tmp_path / "ct.json").to_dict() == form
    for call in (lambda: again.observe(*COHORT[0]), lambda: again.merge(FITTED), lambda: FITTED.merge(again)):
        with pytest.raises(ArgumentError, match="from a file without counts"):
            call()
    with pytest.raises(ArgumentError, match=r"q=3: expected one of \(0.5, 50.0, 99.5\)"):
        again.percentile(3)
    assert not DatasetStatistics.from_dict(DatasetStatistics().to_dict()).is_fitted
    assert repr(FITTED) == f"DatasetStatistics(4 cases, {VOXELS.size} voxels)"


def test_nnunet_s_fingerprint(tmp_path):
    low, median, high = np.percentile(VOXELS, Q)
    numbers = {"max": 3071.0, "min": -1024.0, "mean": 70.5, "std": 80.25}
    numbers |= {"median": median, "percentile_00_5": low, "percentile_99_5": high}
    form = {"foreground_intensity_properties_per_channel": {"0": {}, "1": numbers}, "spacings": [[1, 1, 1]]}
    (tmp_path / "dataset_fingerprint.json").write_text(json.dumps(form))
    read = DatasetStatistics.load(tmp_path / "dataset_fingerprint.json", channel=1)
    assert (read.mean, read.std, read.low, read.high) == (70.5, 80.25, -1024, 3071)
    expected = (np.clip(IMAGES[0], low, high) - 70.5) / 80.25
    np.testing.assert_allclose(read.transform(IMAGES[0]), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="mean="):
        DatasetStatistics.load(tmp_path / "dataset_fingerprint.json")
    with pytest.raises(ConfigError, match="has no channel 2"):
        DatasetStatistics.load(tmp_path / "dataset_fingerprint.json", channel=2)
    with pytest.raises(ReadError, match="missing.json: cannot be read"):
        DatasetStatistics.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"percentiles": [5, 4]}, "strictly increasing"),
        ({"mean": "x"}, "mean="),
        ({"count": 1.5}, "count=1.5: expected a whole number"),
        ({"values": [1]}, "a list of 3 finite numbers"),
        ({"counts": {}}, "m2=None"),
        ({"modality": 3}, "modality=3: expected text"),
    ],
)
def test_forms_that_are_none(change, match):
    with pytest.raises(ConfigError, match=match):
        DatasetStatistics.from_dict(FITTED.to_dict() | change)


def test_errors(backend, put):
    x, mask = put(IMAGES[0]), put(MASKS[0])
    none = put(np.zeros(MASKS[0].shape, bool))
    same_error(lambda: DatasetStatistics().observe(x, none), ArgumentError, "mask holds no voxel")
    same_error(lambda: DatasetStatistics().observe(x, put(MASKS[0][1:])), ShapeError, "mask of shape")
    same_error(lambda: DatasetStatistics().transform(x), NotFittedError, "has seen no voxel yet: call fit")
    flat = DatasetStatistics()
    flat.observe(put(np.full((3, 4), 7, np.int16)))
    same_error(lambda: flat.transform(x), ArgumentError, "the cohort is constant, 7")
    assert to_numpy(mask).any()


def test_what_is_no_cohort():
    odd = scan(0, "float32")[0]
    odd[0, 0, :2] = np.nan, np.inf
    known = DatasetStatistics().fit(IMAGES, MASKS)
    before = known.to_dict(counts=True)
    with pytest.raises(NonFiniteError, match="x holds 2 values that are NaN or infinite"):
        known.observe(np.stack([scan(1, "float32")[0], odd]))
    assert known.to_dict(counts=True) == before
    for call, match in [
        (lambda: DatasetStatistics().fit([]), "images: expected at least one volume"),
        (lambda: DatasetStatistics((99, 1)), "strictly increasing"),
        (lambda: DatasetStatistics(()), "expected numbers from 0 to 100"),
        (lambda: FITTED.merge(DatasetStatistics((1, 99))), r"percentiles=\(1.0, 99.0\)"),
        (lambda: FITTED.percentile(101), "q=101: expected a percentile"),
    ]:
        with pytest.raises(ArgumentError, match=match):
            call()
