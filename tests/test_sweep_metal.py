from __future__ import annotations

from itertools import pairwise

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.testing import chest_ct
from fastprep.testing.assertions import to_numpy
from layouts import same_error
from test_detect_metal import SPACING, check, scan


def test_each_is_detect_metal(backend, put):
    x = scan()
    thresholds = (2500, 1500.5, 3500)
    reports = fp.sweep_metal(put(x), SPACING, thresholds, min_volume_mm3=20, connectivity=6)
    assert [report.threshold for report in reports] == list(thresholds)
    for report, threshold in zip(reports, thresholds, strict=True):
        check(report, x, threshold, 20, 1)
        assert report.min_volume_mm3 == 20 and report.connectivity == 6
    nested = [to_numpy(report.mask) for report in fp.sweep_metal(put(x), SPACING, min_volume_mm3=0)]
    assert len(nested) == 5 and all((high <= low).all() for low, high in pairwise(nested))


def test_a_saturated_scan(backend, put):
    """From 3071 on every threshold is the same, instead of metal that is gone."""
    ct = chest_ct((32, 64, 64), (8, 5.5, 5.5), metal=True)
    reports = fp.sweep_metal(ct.with_array(put(ct.array)))
    assert [report.threshold for report in reports] == [2000, 2500, 3000, 3071, 3071]
    assert {report.volume_mm3 for report in reports} == {reports[0].volume_mm3} and all(r.saturated for r in reports)
    assert [len(report.notes) for report in reports] == [1, 1, 1, 2, 2]


def test_one_threshold_and_none(backend, put):
    x = scan()
    assert [r.count for r in fp.sweep_metal(put(x), SPACING, 3000)] == [fp.detect_metal(put(x), SPACING).count]
    assert fp.sweep_metal(put(x), SPACING, ["adaptive"])[0].requested == "adaptive"
    same_error(lambda: fp.sweep_metal(put(x), SPACING, []), ArgumentError, "thresholds: expected at least one")
    same_error(lambda: fp.sweep_metal(put(x), SPACING, [2000, "high"]), ArgumentError, "threshold='high'")
    same_error(lambda: fp.sweep_metal(put(x)), ArgumentError, "spacing is missing")
    same_error(lambda: fp.sweep_metal(put(x[0]), (1, 1)), ShapeError, "expected one volume")
    mr = Image(put(x), Grid.from_spacing(x.shape, SPACING), modality="MR")
    same_error(lambda: fp.sweep_metal(mr), ArgumentError, "modality 'MR': expected a CT")


def test_libraries(xp):
    for report in fp.sweep_metal(xp.asarray(scan()), SPACING, (2000, 3000)):
        assert type(report.mask) is type(xp.asarray(scan() > 0))
