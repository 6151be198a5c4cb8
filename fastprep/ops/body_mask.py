"""body_mask: the patient, without table, air and what lies around."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from fastprep.core.image import Image
from fastprep.ops._morphology import check_radius, grow
from fastprep.ops._torso import Torso, torso_of
from fastprep.registry import kernel


def body_mask(hu: Any, spacing: Any = None, *, threshold: float = -500, opening_mm: float = 2.5) -> Any:
    """The body in a CT: its largest part denser than air, and the air within.

    1. What is above ``threshold`` HU. Padding around the reconstruction circle (-2000, -3024) is not.
    2. In each axial slice an opening by a disc of ``opening_mm``: the shells of a table, blankets, and tubes go.
    3. The largest component of 26 neighbours. Arms and legs that no tissue in the scan joins to the trunk are left out.
    4. In each axial slice its holes: lungs and bowel, whatever they are open to above or below. Air that skin encloses
       in a slice, as between an arm at the side and the trunk, is within.

    Parameters
    ----------
    hu : CT Image, or array (z, y, x) in HU, its first axis along the body. An Image is looked at along its axis nearest
        to S-I, however it is turned.
    spacing : mm along z, y, x; an Image has its own.
    threshold : in HU, between air and fat.
    opening_mm : radius of the disc, 0 for none. It does nothing where pixels are larger.

    Returns
    -------
    A bool array of the library and on the device of ``hu``; of an Image a label Image on its grid. Nothing is set where
    nothing is dense enough. NaN is outside.

    Raises
    ------
    ArgumentError
        Values that cannot be HU; an array without spacing; a negative radius.
    ShapeError
        No single volume.

    Notes
    -----
    The steps are common practice, with no single source; every constant is an argument.

    Examples
    --------
    >>> from fastprep.testing.phantoms import chest_ct
    >>> ct = chest_ct()
    >>> body = body_mask(ct)
    >>> litres = body.array.sum() * 4.0 * 2.8 * 2.8 / 1e6
    >>> round(float(litres), 1)  # 256 mm of a cylinder of 165 by 115 mm
    15.3
    """
    torso = torso_of(hu, spacing)
    result = torso.returned(body_of(torso, threshold, check_radius(opening_mm, "opening_mm")))
    return replace(hu.with_array(result), kind="label") if isinstance(hu, Image) else result


def body_of(torso: Torso, threshold: float, opening_mm: float) -> Any:
    """`body_mask` as the kernels' view of it."""
    mask = torso.between(threshold, math.inf)
    # What lies beyond the image is air, as where the image is padded with it.
    grow(mask, mask, opening_mm, torso.disc, complement=True, beyond=True)
    grow(mask, mask, opening_mm, torso.disc)
    kernel("keep", mask)(mask, 3, 1, 0, mask)
    kernel("fill", mask)(mask, 1, True, -1, mask)
    return mask
