"""The steps of `lung_mask`: air inside the body, without airways and gas, parted into two lungs and closed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastprep.core.distribution import Distribution
from fastprep.core.regions import Clusters
from fastprep.ops._masked import distribution_of, moments_of
from fastprep.ops._morphology import beside, close, grow, paste
from fastprep.ops._torso import Box, Torso, between, both, inside, without
from fastprep.registry import kernel

#: Bins of HU that are not of 16 bits, for the threshold.
_BINS = 4096
#: Where the iteration for a threshold begins, in HU.
_START = -500.0
#: HU by which the threshold of an airway is lowered while what is below it is too much, and how far.
_DARKER, _DARKEST = 25.0, -975.0
#: An airway is a tube of so many ml, and so many mm along the body.
_TUBE_ML, _TUBE_MM = (0.5, 100.0), 30.0
#: Radii in mm by which lungs that touch are eroded until they come apart, and steps in which they grow back.
_APART, _ROUNDS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0), 24
#: Pieces that are looked at whether they are gas.
_MOST = 4


@dataclass(frozen=True)
class How:
    """The numbers of `lung_mask`, as told there."""

    threshold: float | None
    airway: float
    airway_mm: float
    gas: float
    closing_mm: float
    min_lung_ml: float
    max_ratio: float


@dataclass
class Lungs:
    """What was found: ``labels`` (1, Z, Y, X) from ``start`` on, or None, why they are not right, and the steps."""

    labels: Any
    start: tuple[int, ...]
    volumes_ml: tuple[float, float]
    why: list[str]
    steps: dict[str, Any]


class Piece(NamedTuple):
    """A connected part of a mask (1, Z, Y, X): how many voxels, within what box, and their mean x."""

    mask: Any
    voxels: int
    box: Box
    place: float


def find(torso: Torso, body: Any, how: How) -> Lungs:
    """Both lungs of a CT whose body is known, or what is missing."""
    threshold = _between_body_and_air(torso, body) if how.threshold is None else how.threshold
    # From where no voxel is.
    found = Lungs(
        None, torso.whole, (0.0, 0.0), [], {"threshold": threshold, "body_ml": round(_count(body) * torso.voxel_ml, 1)}
    )
    air = torso.between(-math.inf, threshold, body)
    spaces = _clusters(air)
    ml = spaces.table.voxels * torso.voxel_ml
    largest = np.argsort(-ml, kind="stable")
    found.steps |= {"air_ml": round(float(ml.sum()), 1), "spaces_ml": [round(float(v), 1) for v in ml[largest[:5]]]}
    large = [i for i in largest if ml[i] >= how.min_lung_ml]
    if not large:
        found.why.append(_no_lung(threshold, ml))
        return found
    box = _around(spaces.table.box[large], torso.shape)
    part = torso.cropped(box)
    lungs = inside(_painted(air, spaces, large), box)
    airway = _airway(part, lungs, how, found.steps)
    if airway is not None:
        lungs = without(lungs, airway)
    pieces = _two(part, lungs, how, found)
    if not pieces:
        return found
    found.start, middle = tuple(start for start, _ in box), None
    if len(pieces) == 1:
        trunk = _clusters(body).table
        middle = trunk.index_sum[:, 2].sum() / trunk.voxels.sum() - found.start[2]
    _finish(part, inside(body, box), airway, pieces, how, found, middle)
    return found


def _between_body_and_air(torso: Torso, body: Any) -> float:
    """The threshold halfway between the means on either side of it (Hu, Hoffman, Reinhardt 2001)."""
    found = distribution_of(torso.view[0], body[0], _BINS)
    one = torso.units
    return one.a * _halfway(found, (_START - one.b) / one.a) + one.b


def _halfway(values: Distribution, threshold: float) -> float:
    counts, centers = values.counts.astype(np.float64), values.centers
    for _ in range(100):
        above = centers > threshold
        weights = counts[~above].sum(), counts[above].sum()
        if min(weights) == 0:
            break
        means = counts[~above] @ centers[~above] / weights[0], counts[above] @ centers[above] / weights[1]
        before, threshold = threshold, float(sum(means) / 2)
        if abs(threshold - before) < 1e-6 * abs(before):
            break
    return threshold


def _no_lung(threshold: float, ml: Any) -> str:
    if not ml.size:
        return f"no air below {threshold:g} HU inside the body"
    return f"no lung: the largest air space inside the body has {ml.max():.1f} ml"


def _airway(torso: Torso, lungs: Any, how: How, steps: dict[str, Any]) -> Any:
    """Trachea and main bronchi: the tube in the middle that stays when what is not quite dark is eroded."""
    steps |= {"airway_ml": 0.0, "airway_threshold": None}
    darkest = how.airway
    while darkest >= min(_DARKEST, how.airway):
        core = torso.between(-math.inf, darkest, lungs)
        grow(core, core, how.airway_mm, torso.disc, complement=True, beyond=True)
        found = _clusters(core)
        ml = found.table.voxels * torso.voxel_ml
        best = int(np.argmax(ml)) if ml.size else -1
        if best < 0 or ml[best] < _TUBE_ML[0]:
            return None
        if ml[best] <= _TUBE_ML[1]:
            break
        # Emphysema: darker still than that is air alone.
        darkest -= _DARKER
    else:
        return None
    box = found.table.box[best]
    middle = (found.table.index_sum[best, 2] / found.table.voxels[best] + 0.5) / torso.shape[2]
    if (box[0, 1] - box[0, 0]) * torso.spacing[0] < _TUBE_MM or not 0.25 < middle < 0.75:
        return None
    tube = _painted(core, found, [best])
    # As far as it was eroded, and over its blurred edge.
    grow(tube, tube, how.airway_mm + 2 * min(torso.spacing[1:]), torso.disc)
    tube = both(tube, lungs)
    steps |= {"airway_ml": round(_count(tube) * torso.voxel_ml, 1), "airway_threshold": darkest}
    return tube


def _two(torso: Torso, lungs: Any, how: How, found: Lungs) -> list[Piece]:
    """Two lungs, or what there is, and why it is not two."""
    spaces = _clusters(lungs)
    ml = spaces.table.voxels * torso.voxel_ml
    pieces, gas = list[Piece](), 0.0
    for i in np.argsort(-ml, kind="stable")[:_MOST]:
        if ml[i] < how.min_lung_ml:
            break
        one = _piece(lungs, spaces, i)
        # The median is below where more than half are.
        if 2 * _count(torso.between(-math.inf, how.gas, one.mask)) > one.voxels:
            gas += float(ml[i])
        else:
            pieces.append(one)
    # A lobe that a consolidation has cut off may be among them.
    left_out = sum(piece.voxels for piece in pieces[2:]) * torso.voxel_ml
    found.steps |= {"gas_ml": round(gas, 1), "left_out_ml": round(left_out, 1), "split_mm": 0.0}
    if not pieces:
        found.why.append(f"no lung: {gas:.0f} ml of gas darker than {how.gas:g} HU")
        return []
    if len(pieces) == 1 or pieces[0].voxels > how.max_ratio * pieces[1].voxels:
        apart = _apart(torso, pieces[0].mask, how, found.steps)
        if apart:
            return apart
    if len(pieces) == 1:
        found.why.append(f"one lung only: {pieces[0].voxels * torso.voxel_ml / 1000:.1f} l")
    return pieces[:2]


def _apart(torso: Torso, joined: Any, how: How, steps: dict[str, Any]) -> list[Piece]:
    """Two lungs that touch, parted where they are thinnest: none if they are one."""
    core, near = (beside(joined, joined.shape, "bool") for _ in range(2))
    for radius in _APART:
        grow(joined, core, radius, torso.spacing, complement=True, beyond=True)
        seeds = _clusters(core)
        pair = _side_by_side(torso, seeds, how)
        if pair:
            break
    else:
        return []
    first, second = (_piece(core, seeds, i).mask for i in pair)
    step = max(torso.spacing)
    for _ in range(_ROUNDS):
        grow(second, near, step, torso.spacing)
        second = both(near, without(joined, first))
        grow(first, near, step, torso.spacing)
        first = both(near, without(joined, second))
        # Where they meet a layer is left out, and with it gone the rest is of one lung or of the other.
        grow(second, near, 1.75 * step, torso.spacing)
        rest = without(joined, both(near, first))
        parts = _clusters(rest)
        pair = _side_by_side(torso, parts, how)
        if pair:
            steps["split_mm"] = radius
            return [_piece(rest, parts, i) for i in pair]
    return []


def _side_by_side(torso: Torso, found: Clusters, how: How) -> list[int]:
    """The two largest, if they are both large and rather beside than above each other."""
    voxels = found.table.voxels
    order = np.argsort(-voxels, kind="stable")[:2].tolist()
    if len(order) < 2 or voxels[order[1]] * how.max_ratio < voxels[order[0]]:
        return []
    apart = np.abs(np.diff(found.table.index_sum[order] / voxels[order, None], axis=0)[0]) * torso.spacing
    return order if apart[2] > max(apart[0], apart[1]) else []


def _finish(
    torso: Torso, body: Any, airway: Any, pieces: list[Piece], how: How, found: Lungs, middle: float | None
) -> None:
    """Vessels closed, holes filled, and both as labels: 1 comes first along x, or before the middle if it is alone."""
    pieces = sorted(pieces, key=lambda piece: piece.place)
    first = int(middle is not None and pieces[0].place > middle)
    found.steps["lungs_ml"] = [round(piece.voxels * torso.voxel_ml, 1) for piece in pieces]
    below, above = (f(piece.box[0][end] for piece in pieces) for end, f in enumerate((min, max)))
    found.steps["reaches_ends"] = [found.start[0] + below == 0, found.start[0] + above == torso.whole[0]]
    closed = [_closed(torso, piece, how.closing_mm) for piece in pieces]
    allowed = body if airway is None else without(body, airway)
    labels = beside(body, (1, *body.shape[1:]), "uint8")
    pair = beside(body, (len(pieces), *body.shape[1:]), "bool")
    for k, piece in enumerate(pieces):
        one = both(closed[k], allowed)
        if len(pieces) == 2:
            # What both reach by closing is of neither.
            between(without(closed[1 - k], piece.mask), one, -math.inf, 0.5, out=pair[k : k + 1])
        else:
            pair = one
    kernel("combine", body)(pair, labels[0], np.arange(first + 1.0, first + 1.0 + len(pieces)), 0.0)
    found.labels = labels
    ml = [_count(pair[k : k + 1]) * torso.voxel_ml for k in range(len(pieces))]
    found.volumes_ml = (ml[0], ml[1]) if len(ml) == 2 else (0.0, ml[0]) if first else (ml[0], 0.0)
    _judge(body, found, how)


def _judge(body: Any, found: Lungs, how: How) -> None:
    """What a lung mask that is right does not do."""
    inner = beside(body, body.shape, "bool")
    # Without the voxels that a face joins to what is not body.
    grow(body, inner, 1.0, (1.0, 1.0, 1.0), complement=True)
    open_air = kernel("bounds", body)(without(found.labels, inner)[0]).any()
    found.steps["touches_exterior"] = bool(open_air)
    if open_air:
        found.why.append("touches the exterior")
    ends = found.volumes_ml
    if min(ends) > 0 and max(ends) > how.max_ratio * min(ends):
        found.why.append(f"volumes differ by a factor of {max(ends) / min(ends):.1f}")


def _closed(torso: Torso, piece: Piece, radius: float) -> Any:
    """Closed by a ball, and its holes filled."""
    part = inside(piece.mask, piece.box)
    out = beside(part, part.shape, "bool")
    close(part, out, radius, torso.spacing)
    kernel("fill", out)(out, 1, False, -1, out)
    whole = beside(part, piece.mask.shape, "bool")
    paste(out, whole, [-start for start, _ in piece.box])
    return whole


def _around(boxes: Any, shape: Sequence[int], margin: int = 1) -> Box:
    """The box of boxes (K, 3, 2), and a margin of voxels as far as there are any."""
    return [
        (max(int(boxes[:, axis, 0].min()) - margin, 0), min(int(boxes[:, axis, 1].max()) + margin, n))
        for axis, n in enumerate(shape)
    ]


def _clusters(mask: Any) -> Clusters:
    """The components of a mask (1, Z, Y, X) by faces."""
    one = mask[0].view(np.uint8) if isinstance(mask, np.ndarray) else replace(mask[0], dtype=np.dtype(np.uint8))
    found: Clusters = kernel("clusters", mask)(one, 0.0, 1, 2.0, 1.0)
    return found


def _painted(mask: Any, found: Clusters, which: Sequence[int]) -> Any:
    """Some components of a mask as another."""
    values = np.zeros(len(found.table.voxels), np.int64)
    values[list(which)] = 1
    out = beside(mask, mask.shape, "bool")
    kernel("paint", mask)(found.runs, values, out[0])
    return out


def _piece(mask: Any, found: Clusters, i: int) -> Piece:
    """A component of a mask."""
    table = found.table
    voxels = int(table.voxels[i])
    return Piece(_painted(mask, found, [i]), voxels, table.box[i].tolist(), float(table.index_sum[i, 2] / voxels))


def _count(mask: Any) -> int:
    """Voxels that are set."""
    found = moments_of(mask[0], None)
    return round(found.mean * found.count)
