"""lung_mask: both lungs of a chest CT, or why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops import _lungs
from fastprep.ops._morphology import beside, check_radius
from fastprep.ops._torso import between, torso_of
from fastprep.ops.body_mask import body_of


@dataclass(frozen=True, eq=False)
class LungMask:
    """Both lungs, and whether to believe it.

    Attributes
    ----------
    mask : bool, what ``hu`` was, array or label Image; nothing is set where no lung was found.
    labels : uint8 of the same kind: 1 the right lung, 2 the left.
    volume_ml, volumes_ml : of both, and of the right and the left.
    ok : two lungs of a plausible ratio, closed to the outside.
    why : if not, what is wrong; else "".
    steps : what was found on the way: thresholds in HU, volumes in ml, radii in mm.
    """

    mask: Any = field(repr=False)
    labels: Any = field(repr=False)
    volume_ml: float
    volumes_ml: tuple[float, float]
    ok: bool
    why: str
    steps: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All but the masks, plain, for JSON."""
        told = {"volume_ml": self.volume_ml, "volumes_ml": list(self.volumes_ml), "ok": self.ok, "why": self.why}
        return {**told, "steps": dict(self.steps)}


def lung_mask(
    hu: Any,
    spacing: Any = None,
    *,
    threshold: float | None = -400,
    body_threshold: float = -500,
    opening_mm: float = 2.5,
    airway: float = -900,
    airway_mm: float = 2.0,
    gas: float = -940,
    min_lung_ml: float = 100,
    max_ratio: float = 5,
    closing_mm: float = 10,
) -> LungMask:
    """The lungs in a CT by thresholds and morphology, with a verdict instead of a guess.

    1. The body (`body_mask`), and in it what is below ``threshold`` HU, in pieces connected by faces. Those below
       ``min_lung_ml`` go: gas in bowel and sinuses, a trachea by itself.
    2. Trachea and main bronchi: of what is below ``airway`` HU, eroded in each slice by ``airway_mm``, the largest
       piece, if it is a tube in the middle; grown back, it is taken out. In emphysema the threshold sinks until there
       is one.
    3. The two largest pieces whose median is not below ``gas`` HU. Where there is one, or it is ``max_ratio`` times the
       other, it is eroded by ever larger balls until it comes apart, and each part grows back until they meet.
    4. Each lung by itself is closed by a ball of ``closing_mm``, for vessels and nodules at its surface, and its holes
       are filled; neither grows over airways, the other lung, or the skin.

    Consolidations wider than the ball at the surface of a lung are tissue to any threshold, and stay outside; inside a
    lung they are holes, and filled. A lung that the field of view cuts through is open to the outside in those slices.

    Parameters
    ----------
    hu : CT Image, or array (z, y, x) in HU, its first axis along the body.
    spacing : mm along z, y, x; an Image has its own.
    threshold : in HU; None finds the one halfway between the means of body and air (Hu et al. 2001).
    body_threshold, opening_mm : those of `body_mask`.
    airway, gas : in HU. airway_mm, closing_mm : radii in mm.
    min_lung_ml : of a piece that may be a lung.
    max_ratio : of the volumes of two lungs.

    Returns
    -------
    LungMask
        ``labels`` tells the right lung from the left by the grid of an Image; in an array the lung that comes first
        along x is 1, the right one as scanners store slices.

    Raises
    ------
    ArgumentError
        Values that cannot be HU; an array without spacing; constants that make no sense.
    ShapeError
        No single volume.

    Notes
    -----
    After S. Hu, E. A. Hoffman, J. M. Reinhardt, "Automatic lung segmentation for accurate quantitation of volumetric
    X-ray CT images", 2001; volumes and radii are common practice.

    Examples
    --------
    >>> from fastprep.testing.phantoms import LUNG_VOLUME_ML, chest_ct
    >>> lungs = lung_mask(chest_ct())
    >>> lungs.ok, abs(lungs.volume_ml - LUNG_VOLUME_ML) < 60
    (True, True)
    """
    how = _lungs.How(
        None if threshold is None else _finite(threshold, "threshold"),
        _finite(airway, "airway"),
        check_radius(airway_mm, "airway_mm"),
        _finite(gas, "gas"),
        check_radius(closing_mm, "closing_mm"),
        check_radius(min_lung_ml, "min_lung_ml"),
        _finite(max_ratio, "max_ratio"),
    )
    torso = torso_of(hu, spacing)
    body = body_of(torso, body_threshold, check_radius(opening_mm, "opening_mm"))
    found = _lungs.find(torso, body, how)
    part = beside(body, (1, 1, 1, 1), "uint8") if found.labels is None else found.labels
    labels = torso.returned(part, found.start)
    mask = torso.returned(between(part, None, 0.0, math.inf), found.start)
    if isinstance(hu, Image):
        labels, mask = (replace(hu.with_array(one), kind="label") for one in (labels, mask))
    why = "; ".join(found.why)
    return LungMask(mask, labels, sum(found.volumes_ml), found.volumes_ml, not why, why, found.steps)


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        msg = f"{name}={value}: expected a finite number"
        raise ArgumentError(msg)
    return float(value)
