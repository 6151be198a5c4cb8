"""CLAHE written out voxel by voxel and axis by axis, in float32 as OpenCV has it: the truth where there is no peer."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

F = np.float32


def sizes(shape, tiles):
    """OpenCV's padding of planes; of volumes each axis by itself."""
    size = [math.ceil(n / t) for n, t in zip(shape, tiles, strict=True)]
    if len(shape) == 2 and any(n % t for n, t in zip(shape, tiles, strict=True)):
        size = [n // t + 1 for n, t in zip(shape, tiles, strict=True)]
    return tuple(size)


def bounced(i, n):
    """Where a walk of ``i`` steps ends that turns at both ends of ``n`` voxels."""
    at, step = 0, 1
    for _ in range(i):
        if n > 1 and not 0 <= at + step < n:
            step = -step
        at += step if n > 1 else 0
    return at


def place(value, bins, low, high):
    """Bin, and the filled part of it; None of what does not count."""
    if isinstance(value, int):
        n = high - low + 1
        d = min(max(value, low), high) - low
        return d * bins // n, F(min(d * bins % n + bins, n)) / F(n)
    if not math.isfinite(value):
        return None
    at = min(max((value - low) * (bins / (high - low)), 0.0), float(bins))
    k = min(int(at), bins - 1)
    return k, F(at - k)


def table(histogram, span, clip_limit, whole):
    """A tile's table, clipped as OpenCV clips."""
    h, total, bins = list(histogram), sum(histogram), len(histogram)
    if not total:
        return [F(0)] * bins
    if clip_limit > 0:
        limit = max(int(min(clip_limit * total / bins, total)), 1)
        excess = sum(max(v - limit, 0) for v in h)
        h = [min(v, limit) + excess // bins for v in h]
        rest = excess % bins
        for i in range(0, bins, max(bins // rest, 1) if rest else bins):
            if rest:
                h[i] += 1
                rest -= 1
    out, so_far = [], 0
    for v in h:
        so_far += v
        level = F(so_far) * (F(span) / F(total))
        out.append(np.rint(level) if whole else level)
    return out


def tables(x, mask, tiles, size, bins, low, high, clip_limit, whole):
    """(T, bins) and (T,) of one image of any number of axes."""
    out, counts = [], []
    for tile in product(*map(range, tiles)):
        histogram = [0] * bins
        for inner in product(*map(range, size)):
            at = tuple(bounced(t * s + i, n) for t, s, i, n in zip(tile, size, inner, x.shape, strict=True))
            found = place(x[at].item(), bins, low, high)
            if found is not None and (mask is None or mask[at]):
                histogram[found[0]] += 1
        out.append(table(histogram, high - low, clip_limit, whole))
        counts.append(sum(histogram))
    return np.array(out, F), np.array(counts, np.int32)


def blend(x, mask, made, counts, tiles, size, origin, bins, low, high):
    """One image through them, as float64; what stays as it is as NaN."""
    out = np.full(x.shape, np.nan)
    exact = x.dtype.kind in "iu" and bins == high - low + 1
    for at in product(*map(range, x.shape)):
        found = place(x[at].item(), bins, low, high)
        if found is None or (mask is not None and not mask[at]):
            continue
        sides = []
        for i, o, t, s in zip(at, origin, tiles, size, strict=True):
            where = F(i + o) * (F(1) / F(s)) - F(0.5)
            first, far = math.floor(where), where - F(math.floor(where))
            pair = [(max(first, 0), F(1) - far), (min(first + 1, t - 1), far)]
            sides.append([(0, None)] if t == s == 1 else pair)
        values, weights = {}, {}
        for corner in product(*(range(len(s)) for s in sides)):
            tile = np.ravel_multi_index([s[c][0] for s, c in zip(sides, corner, strict=True)], tiles)
            k, filled = found
            value = made[tile, k]
            if not exact:
                base = made[tile, k - 1] if k else F(0)
                value = base + (value - base) * filled
            weight = F(1)
            for s, c in zip(sides, corner, strict=True):
                weight = weight if s[c][1] is None else weight * s[c][1]
            if counts[tile]:
                values[corner], weights[corner] = value, weight
        if len(values) == math.prod(map(len, sides)):
            out[at] = low + float(_nested(values, sides))
        elif values:
            total = one = F(0)
            for corner, value in values.items():
                total, one = total + weights[corner] * value, one + weights[corner]
            out[at] = low + float(total / one) if one else np.nan
    return out


def _nested(values, sides):
    for side in reversed(sides):
        shorter = {corner[:-1] for corner in values}
        if len(side) == 1:
            values = {c: values[(*c, 0)] for c in shorter}
        else:
            values = {c: values[(*c, 0)] * side[0][1] + values[(*c, 1)] * side[1][1] for c in shorter}
    return values[()]
