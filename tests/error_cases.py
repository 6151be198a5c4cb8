"""What `mse`, `mae` and `psnr` have in common: what they refuse, and in which words."""

from __future__ import annotations

import numpy as np

from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from layouts import same_error, values


def check_refusals(put, figure):
    """``figure(a, b, mask)`` of arrays, Images and masks that do not go together."""
    a, b = values((3, 4, 5), "float32"), values((3, 4, 5), "float32", 1)
    none = np.zeros((3, 4, 5), bool)
    odd, one = b.copy(), none.copy()
    odd[0, 0, :3], odd[1, 2, 3], one[1, 2, 3] = np.nan, -np.inf, True
    grids = [Grid.from_spacing((3, 4, 5), (k, 1, 1)) for k in (1, 2)]
    images = [Image(put(x), grid) for x, grid in zip((a, b), grids, strict=True)]
    same_error(
        lambda: figure(put(a), put(b[:2])), ShapeError, r"b of shape \(2, 4, 5\): expected that of a, \(3, 4, 5\)"
    )
    same_error(lambda: figure(*images), GeometryError, "a is on .* expected one grid")
    same_error(lambda: figure(put(a), put(odd)), NonFiniteError, "b holds 4 values that are NaN or infinite")
    same_error(lambda: figure(put(odd), put(a)), NonFiniteError, "a holds 4 values that are NaN or infinite")
    same_error(lambda: figure(put(a), put(odd), put(one)), NonFiniteError, "b holds 1 values inside the mask that")
    same_error(lambda: figure(put(a), put(b), put(none)), ArgumentError, "mask holds no voxel")
    same_error(lambda: figure(put(a), put(b), put(one[:2])), ShapeError, r"mask of shape \(2, 4, 5\)")
    same_error(lambda: figure(put(a[:0]), put(b[:0])), ShapeError, "none of length zero")
    # Outside the mask NaN is nobody's business.
    inside = np.isfinite(odd)
    assert figure(put(a), put(odd), put(inside)) == figure(put(a), put(np.where(inside, odd, 0)), put(inside))


def check_volumes(put, figure, truth, rel=1e-12):
    """One figure of each volume of a batch, of stored values as physical ones, and of masks of either shape."""
    a, b = values((2, 5, 6, 7), "uint16"), values((2, 5, 6, 7), "float32", 1)
    mask = values((2, 5, 6, 7), "bool", 2)
    for marks in (None, mask, mask[0]):
        found = figure(put(a), put(b), None if marks is None else put(marks))
        inside = np.broadcast_to(True if marks is None else marks, a.shape)
        expected = [truth(v[m], w[m]) for v, w, m in zip(a.astype(float), b.astype(float), inside, strict=True)]
        assert isinstance(found, np.ndarray) and found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=rel)
    stored, grid = Image(put(a[0]), Grid.from_spacing((5, 6, 7), (2, 1, 1)), rescale=Ramp(-0.5, 31)), None
    grid = stored.grid
    found = figure(stored, Image(put(b[0]), grid), Image(put(mask[0]), grid, kind="label"))
    physical = (a[0] * np.float32(-0.5) + 31).astype(float)
    assert type(found) is float
    np.testing.assert_allclose(found, truth(physical[mask[0]], b[0][mask[0]].astype(float)), rtol=rel)
    # Slices of two space axes are images of their own.
    flat = [Image(put(x[0]), Grid.from_spacing((6, 7), (1, 1))) for x in (a, b)]
    assert figure(*flat).shape == (5,)
