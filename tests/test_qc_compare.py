"""A comparison: its figures, its table and its picture."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, GeometryError, MissingExtraError, NonFiniteError, ShapeError, WriteError
from fastprep.qc import compare, comparison_picture
from fastprep.qc.compare import Figure
from fastprep.testing import patient_grid

pytest.importorskip("matplotlib")
pixels = pytest.importorskip("PIL.Image")


def phantom(shape=(48, 50), noise=10.0, seed=0):
    """A disc or ball of 300 in 100, and it with noise."""
    index = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    r2 = sum(i**2 for i in index)
    truth = ndimage.gaussian_filter(np.where(r2 < 0.4, 300.0, 100.0), 1)
    return truth, truth + np.random.default_rng(seed).normal(0, noise, shape)


def test_figures_of_each_and_against_the_truth(backend, put):
    truth, before = phantom()
    after = ndimage.gaussian_filter(before, 0.7)
    found = compare(put(before), put(after), data_range=300, truth=put(truth))
    assert found.against == "truth" and found.voxels == truth.size and found.notes == ()
    for name, x in (("before", before), ("after", after)):
        at = {f.name: getattr(f, name) for f in (*found.figures, *found.errors)}
        assert at["PSNR, dB"] == pytest.approx(peak_signal_noise_ratio(truth, x, data_range=300))
        assert at["SSIM"] == pytest.approx(structural_similarity(truth, x, data_range=300))
        assert at["MSE"] == pytest.approx(np.mean((x - truth) ** 2))
        assert at["MAE"] == pytest.approx(np.mean(np.abs(x - truth)))
        assert at["contrast"] == pytest.approx(x.std())
        assert at["noise"] == pytest.approx(fp.estimate_noise(x))
        assert at["edges over noise"] == pytest.approx(at["edge strength"] / at["noise"])
    assert found.noise_gain == pytest.approx(fp.estimate_noise(after) / fp.estimate_noise(before))
    assert found.edge_gain_over_noise == pytest.approx(found.edge_gain / found.noise_gain)
    # What blur is for: less noise, and nearer to the truth than doing nothing.
    assert found.noise_gain < 0.6 and found["PSNR"].after > found["PSNR"].before + 3


def test_doing_nothing():
    """It gains nothing, and differs in nothing."""
    _, x = phantom()
    found = compare(x, x, data_range=400)
    assert found.against == "before" and all(f.gain == 1 for f in found.figures)
    assert [f.after for f in found.errors[:3]] == [0, 0, 0]
    assert found["PSNR, dB"].after == math.inf and found["SSIM"].after == pytest.approx(1)
    assert found.edge_gain == found.noise_gain == found.edge_gain_over_noise == 1


def test_sharpening_is_not_praised():
    """Edges of noise: twice the edge strength, more than twice the noise. The quotient says so."""
    _, before = phantom(noise=20)
    after = before + 1.5 * (before - ndimage.gaussian_filter(before, 1))
    found = compare(before, after, data_range=500)
    assert found.edge_gain > 1.5 and found.noise_gain > found.edge_gain and found.edge_gain_over_noise < 1


def test_no_integer_wraps():
    """A radiograph of 8 bits, made darker: the difference of two uint8 is no uint8."""
    before = phantom()[1].clip(0, 255).astype(np.uint8)
    after = (before // 3).astype(np.uint8)
    found = compare(before, after, data_range=255)
    change = after.astype(float) - before
    assert found["MSE"].after == pytest.approx((change**2).mean()) != np.mean((after - before) ** 2)
    assert found["PSNR"].after == pytest.approx(peak_signal_noise_ratio(before, after, data_range=255))


def test_a_mask_is_all_that_counts(backend, put):
    truth, before = phantom((12, 20, 21))
    mask = truth > 200
    outside = np.where(mask, before, before + 1000)
    one, other = (compare(put(x), put(0.9 * x), data_range=400, mask=put(mask)) for x in (before, outside))
    for name in ("contrast", "range", "entropy", "MSE", "MAE", "NMSE", "PSNR"):
        assert one[name] == other[name]
    assert one.voxels == int(mask.sum())


def test_the_table():
    truth, before = phantom()
    text = str(compare(before, before + 1, data_range=400, truth=truth))
    head, *rows = text.splitlines()
    assert head.split() == ["before", "after", "gain"]
    assert rows[0].split()[0] == "contrast" and rows[0].split()[3] == "1"
    assert any(row.startswith("against the truth") and "do nothing" in row for row in rows)
    # Never an edge figure without that of the noise.
    names = [row.split("  ")[0] for row in rows]
    at = names.index("edge strength")
    assert names[at + 1 : at + 3] == ["noise", "edges over noise"]
    form = compare(before, before, data_range=400).to_dict()
    assert form["figures"]["noise"]["gain"] == 1 and form["errors"]["MSE"] == {"before": 0.0, "after": 0.0}
    json.dumps(form)


@pytest.mark.parametrize(("before", "after", "gain"), [(0, 0, 1), (0, 2, math.inf), (2, 3, 1.5)])
def test_gains(before, after, gain):
    assert Figure("x", before, after).gain == gain
    assert math.isnan(Figure("x", before, after, is_ratio=False).gain)
    assert math.isnan(Figure("x", math.nan, after).gain)


def test_notes():
    _, x = phantom((5, 20, 21))
    (note,) = compare(x, x, data_range=400).notes
    assert "1 x 7 x 7" in note
    tiny = x[:3, :3, :3]
    found = compare(tiny, tiny, data_range=400)
    assert math.isnan(found["SSIM"].after) and math.isnan(found.noise_gain)
    assert len(found.notes) == 2 and "-" in str(found)
    hu = Image(x, patient_grid(x.shape, (2, 1, 1)), modality="CT")
    (_, note) = compare(hu, hu.with_array(x / 1000), data_range=400).notes
    assert "two scales" in note
    flat = compare(np.full((9, 9), 7.0), np.full((9, 9), 7.0), data_range=1)
    assert flat["contrast"].gain == flat.noise_gain == 1


def test_errors():
    _, x = phantom()
    images = [Image(x, Grid.from_spacing(x.shape, (k, 1))) for k in (1, 2)]
    with pytest.raises(GeometryError, match="expected one grid"):
        compare(*images, data_range=400)
    with pytest.raises(GeometryError, match="expected one grid"):
        compare(images[0], images[0], truth=images[1], data_range=400)
    with pytest.raises(ShapeError, match="expected that of a"):
        compare(x, x[1:], data_range=400)
    with pytest.raises(ArgumentError, match="data_range=255: a goes from"):
        compare(10 * x, 10 * x, data_range=255)
    with pytest.raises(NonFiniteError, match="holds 1 values"):
        compare(x, np.where(x == x.max(), np.nan, x), data_range=400)
    with pytest.raises(ShapeError, match="one volume"):
        compare(np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 4, 5)), data_range=1)


# The picture.


def drawn_axes(figure):
    """Panels by title, without the bar of colours."""
    return [axes for axes in figure.axes if axes.images]


def test_a_picture_of_two_axes(tmp_path, drawn):
    _, before = phantom()
    after = ndimage.gaussian_filter(before, 1)
    found = compare(before, after, data_range=400)
    comparison_picture(before, after, found, tmp_path / "a.png", title="patient-04")
    with pixels.open(tmp_path / "a.png") as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 600
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    first, second, change = drawn_axes(drawn[0])
    assert [axes.get_title() for axes in (first, second, change)] == ["before", "after", "after - before"]
    assert first.images[0].get_clim() == second.images[0].get_clim(), "one grey window"
    low, high = change.images[0].get_clim()
    assert low == -high and high > 0
    # An array is shown as it lies.
    np.testing.assert_array_equal(first.images[0].get_array(), before)
    np.testing.assert_allclose(change.images[0].get_array(), after - before)
    texts = [text.get_text() for axes in drawn[0].axes for text in axes.texts]
    assert any("edges over noise" in text and "do nothing" in text for text in texts)
    labels = [axes.get_ylabel() for axes in drawn[0].axes]
    assert "voxels" in labels and "share of voxels below" in labels


def test_three_planes_and_the_truth(tmp_path, drawn):
    truth, before = phantom((12, 20, 22))
    grid = patient_grid(truth.shape, (3, 1, 1))
    scans = [Image(x, grid) for x in (before, 0.9 * before, truth)]
    found = compare(*scans[:2], truth=scans[2], data_range=400, mask=truth > 150)
    for name in ("a.png", "b.png"):
        comparison_picture(*scans[:2], found, tmp_path / name, truth > 150, truth=scans[2])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    panels = drawn_axes(drawn[0])
    assert [axes.get_title() for axes in panels[:5]] == ["truth", "before", "after", "before - truth", "after - truth"]
    assert [axes.get_ylabel() for axes in panels[::5]] == ["axial", "coronal", "sagittal"]
    assert len({axes.images[0].get_clim() for axes in panels if "-" not in axes.get_title()}) == 2
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_radiograph_is_upright(tmp_path, drawn):
    """A plane with a spacing and no orientation is shown as it is stored."""
    _, before = phantom()
    image = Image(before, Grid.from_spacing(before.shape, (0.2, 0.2)), modality="DX")
    comparison_picture(image, image, compare(image, image, data_range=400), tmp_path / "a.png")
    np.testing.assert_array_equal(drawn[0].axes[0].images[0].get_array(), before)


@pytest.mark.parametrize("scale", [0.001, 1000])
def test_two_scales_have_a_window_each(scale, tmp_path, drawn):
    _, before = phantom()
    after = before * scale
    comparison_picture(before, after, compare(before, after, data_range=400), tmp_path / "a.png")
    first, second, _ = drawn_axes(drawn[0])
    assert np.ptp(second.images[0].get_clim()) == pytest.approx(scale * np.ptp(first.images[0].get_clim()))


def test_constant_and_thin_scans_have_a_picture(tmp_path):
    for shape in ((30, 40), (1, 30, 40), (2, 1, 40)):
        x = np.full(shape, 7, np.int16)
        comparison_picture(x, x, compare(x, x, data_range=1), tmp_path / "a.png")
        assert (tmp_path / "a.png").stat().st_size > 1000


def test_picture_errors_leave_nothing(tmp_path, monkeypatch):
    _, x = phantom()
    found = compare(x, x, data_range=400)
    with pytest.raises(ShapeError, match="expected one shape"):
        comparison_picture(x, x[1:], found, tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="mask is empty"):
        comparison_picture(x, x, found, tmp_path / "a.png", x > 1e9)
    with pytest.raises(WriteError, match="no-such"):
        comparison_picture(x, x, found, tmp_path / "no-such" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"fastprep\[report\]"):
        comparison_picture(x, x, found, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
