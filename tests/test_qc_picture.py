"""The picture of a bias correction: whole or not there, upright, in true proportions, the same bytes each time."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, MissingExtraError, NonFiniteError, ShapeError, WriteError
from fastprep.qc import picture
from fastprep.qc._bins import edges_of
from fastprep.qc.picture import bias_picture
from fastprep.testing import bias_phantom, bias_phantom_on, patient_grid

pytest.importorskip("matplotlib")
pixels = pytest.importorskip("PIL.Image")

SMALL = ((24, 28, 24), (7.2, 7.2, 7.2))


def result_of(head, **changed):
    """A result as from a corrector that knows the truth."""
    field = head.image.with_array(head.log_field.astype(np.float32))
    return SimpleNamespace(**{"corrected": head.clean, "log_field": field, **changed})


@pytest.fixture(scope="module")
def head():
    return bias_phantom(*SMALL)


def test_a_png_with_three_planes(head, tmp_path, drawn):
    path = tmp_path / "bias.png"
    bias_picture(head.image, result_of(head), path, head.mask, title="patient-04")
    with pixels.open(path) as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 800
    (figure,) = drawn
    pictures = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in pictures[:3]] == ["original", "field", "corrected"]
    assert [pictures[i].get_ylabel() for i in (0, 3, 6)] == ["axial", "coronal", "sagittal"]
    for before, field, after in (pictures[i : i + 3] for i in (0, 3, 6)):
        assert before.images[0].get_clim() == after.images[0].get_clim(), "one grey window"
        low, high = field.images[0].get_clim()
        assert (low + high) / 2 == pytest.approx(1) and 0.02 < high - 1 < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["bias.png"]


def test_same_bytes_and_no_global_state(head, tmp_path):
    for name in ("a.png", "b.png"):
        bias_picture(head.image, result_of(head), tmp_path / name, head.mask)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Matplotlib" not in (tmp_path / "a.png").read_bytes()
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize("axes", ["SAR", "IPL", "LAS", "ASR", "PIL"])
def test_upright_whatever_the_axes(axes):
    """The same head stored another way is the same picture: superior and anterior up, right on the left."""
    steps = {"S": 8.0, "I": 8.0, "A": 6.0, "P": 6.0, "R": 7.0, "L": 7.0}
    sizes = {"S": 22, "I": 22, "A": 34, "P": 34, "R": 24, "L": 24}
    grid = patient_grid([sizes[a] for a in axes], [steps[a] for a in axes], axes=axes)
    stored = bias_phantom_on(grid, noise=0)
    usual = fp.reorient(stored.image, "SAR")
    planes = {p.name: p for p in picture._planes(stored.image, np.ones(grid.shape, bool))}
    assert set(planes) == {"axial", "coronal", "sagittal"}
    x = usual.array
    # An even number of voxels has two middles: the cut is one of them.
    expected = {
        "axial": ([x[k, ::-1, ::-1] for k in (10, 11)], 6 / 7),
        "coronal": ([x[::-1, k, ::-1] for k in (16, 17)], 8 / 7),
        "sagittal": ([x[::-1, ::-1, k] for k in (11, 12)], 8 / 6),
    }
    for name, (cuts, aspect) in expected.items():
        got = planes[name].of(stored.image.array)
        assert any(np.array_equal(got, cut) for cut in cuts), name
        assert planes[name].aspect == pytest.approx(aspect)


def test_planes_cross_in_the_mask():
    inside = np.zeros((10, 20, 30), bool)
    inside[1:4, 11:14, 21:24] = True
    assert [p.at for p in picture._planes(np.zeros(inside.shape), inside)] == [
        (2, slice(None), slice(None)),
        (slice(None), 12, slice(None)),
        (slice(None), slice(None), 22),
    ]


def test_a_gain_of_the_field_is_not_shown(head, tmp_path):
    """Halved and with a field twice as large, a correction is the same one."""
    other = result_of(
        head,
        corrected=head.clean.with_array(head.clean.array / 2),
        log_field=head.image.with_array(head.log_field + np.log(2)),
    )
    for name, result in (("a.png", result_of(head)), ("b.png", other)):
        bias_picture(head.image, result, tmp_path / name, head.mask)
    with pixels.open(tmp_path / "a.png") as a, pixels.open(tmp_path / "b.png") as b:
        assert np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() < 0.1


@pytest.mark.parametrize(
    ("shape", "rows"), [((40, 50), 1), ((1, 40, 50), 1), ((40, 1, 50), 1), ((2, 40, 50), 3), ((1, 1, 50), 2)]
)
def test_two_axes_and_thin_volumes(shape, rows, tmp_path, drawn):
    x = np.random.default_rng(0).uniform(50, 100, shape).astype(np.float32)
    result = SimpleNamespace(corrected=x, log_field=np.zeros(shape, np.float32))
    bias_picture(x, result, tmp_path / "thin.png")
    assert sum(bool(axes.images) for axes in drawn[0].axes if axes.get_label() != "<colorbar>") == 3 * rows


@pytest.mark.parametrize("values", [np.zeros((4, 5, 6)), np.full((4, 5, 6), 7, np.int16), -np.ones((4, 5, 6))])
def test_constant_scans_have_a_picture_too(values, tmp_path):
    bias_picture(values, SimpleNamespace(corrected=values, log_field=np.zeros(values.shape)), tmp_path / "flat.png")
    assert (tmp_path / "flat.png").stat().st_size > 1000


def test_errors_leave_nothing(head, tmp_path):
    good = result_of(head)
    path = tmp_path / "bias.png"
    with pytest.raises(ArgumentError, match="mask is empty"):
        bias_picture(head.image, good, path, head.mask & False)
    with pytest.raises(ShapeError, match="expected one shape"):
        bias_picture(head.image, good, path, head.mask[1:])
    with pytest.raises(ShapeError, match="two or three axes"):
        four = np.ones((2, 2, 2, 2))
        bias_picture(four, SimpleNamespace(corrected=four, log_field=four), path)
    with pytest.raises(NonFiniteError, match="original holds"):
        bias_picture(head.image.array * np.nan, good, path, head.mask)
    with pytest.raises(WriteError, match="no-such"):
        bias_picture(head.image, good, tmp_path / "no-such" / "bias.png", head.mask)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(head, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install fastprep\[report\]"):
        bias_picture(head.image, result_of(head), tmp_path / "bias.png", head.mask)
    assert not list(tmp_path.iterdir())


def test_integers_make_no_comb():
    """Every bin holds as many grey levels as its neighbours, whatever the slope they were stored with."""
    levels = np.random.default_rng(0).integers(20, 700, 200_000)
    for slope, intercept in ((1, 0), (0.37, -5), (12.5, 1000)):
        x = levels * slope + intercept
        edges = edges_of(x, x * 1.01)
        counts = np.histogram(x, edges)[0]
        inner = counts[2 : np.searchsorted(edges, x.max()) - 2]
        assert 50 < len(edges) < 400 and inner.min() > 0.7 * inner.max()
    smooth = np.random.default_rng(0).normal(0, 1, 200_000)
    assert 195 < len(edges_of(smooth, smooth)) < 206
