"""CLAHE with one pair of parameters after the other: what each does to contrast and to noise, and how it looks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops.clahe import clahe
from fastprep.ops.clahe_parameters import clahe_parameters
from fastprep.qc._figure import new_figure, write_figure
from fastprep.qc._planes import frame_of, host_of, planes_at
from fastprep.qc.compare import Figure, aligned, number, own_figures

_Array = npt.NDArray[Any]
#: Names that pairs of clip limit and tiles go by.
NAMES = {(1.0, 8): "weak", (2.0, 8): "standard", (3.0, 8): "strong", (4.0, 16): "max"}
_INCHES, _MOST = 3.1, 600
_FIGURES = ("contrast", "edge strength", "noise", "edges over noise", "entropy, bits", "levels")
_HEADS = ("contrast", "edges", "noise", "edges over noise", "entropy", "levels")
_CHOSEN = "tab:orange"

Tiles = int | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Setting:
    """One pair of parameters and what came of it: figures beside those of doing nothing, and the plane that is shown.

    Parameters
    ----------
    name : "weak", "standard", "strong", "max", or nothing.
    is_chosen : by `fastprep.clahe_parameters`.
    """

    name: str
    clip_limit: float
    tiles: Tiles
    is_chosen: bool
    figures: dict[str, Figure]
    plane: _Array

    @property
    def title(self) -> str:
        """The parameters in words."""
        tiles = "x".join(map(str, self.tiles)) if isinstance(self.tiles, tuple) else str(self.tiles)
        return f"clip {self.clip_limit:g}, {tiles} tiles{f' ({self.name})' if self.name else ''}"


@dataclass(frozen=True, eq=False)
class Sweep:
    """All settings of a scan, the scan itself, and why `fastprep.clahe_parameters` chose what it did.

    ``str`` is a table of gains, doing nothing first.
    """

    clip_limits: tuple[float, ...]
    tiles: tuple[int, ...]
    settings: tuple[Setting, ...]
    before: _Array
    aspect: float
    why: str
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> Setting:
        """The setting that `fastprep.clahe_parameters` chose."""
        return next(one for one in self.settings if one.is_chosen)

    def to_dict(self) -> dict[str, Any]:
        """Figures by setting, the first being that of doing nothing."""
        first = self.settings[0].figures.values()
        rows: list[dict[str, Any]] = [
            {
                "name": "do nothing",
                "clip_limit": None,
                "tiles": None,
                "is_chosen": False,
                "figures": {f.name: {"value": f.before, "gain": 1.0} for f in first},
            }
        ]
        for one in self.settings:
            figures = {f.name: {"value": f.after, "gain": f.gain} for f in one.figures.values()}
            row = {"name": one.name, "clip_limit": one.clip_limit, "tiles": one.tiles, "is_chosen": one.is_chosen}
            rows.append({**row, "figures": figures})
        return {"settings": rows, "why": self.why, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Gains, and entropy and levels as they are."""
        first = self.settings[0].figures
        nothing = ["1"] * 4 + [number(first[name].before) for name in _FIGURES[4:]]
        rows = [("gain of", *_HEADS, ""), ("do nothing", *nothing, "")]
        for one in self.settings:
            gains = [number(one.figures[name].gain) for name in _FIGURES[:4]]
            values = [number(one.figures[name].after) for name in _FIGURES[4:]]
            rows.append((one.title, *gains, *values, "chosen" if one.is_chosen else ""))
        return "\n".join([*aligned(rows), f"chosen: {self.why}", *(f"note: {note}" for note in self.notes)])


def clahe_sweep(
    x: Any,
    *,
    clip_limits: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
    tiles: Sequence[int] = (4, 8, 16),
    bins: int = 256,
    mask: Any = None,
) -> Sweep:
    """`fastprep.clahe` with every clip limit and number of tiles, and with what `fastprep.clahe_parameters` chooses.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x), on the host.
    clip_limits, tiles, bins : of `fastprep.clahe`.
    mask : array or Image of that shape; tables and figures are of what is inside.

    Raises
    ------
    FastprepError
        As `fastprep.clahe` and `fastprep.qc.compare` do.

    Examples
    --------
    >>> print(clahe_sweep(radiograph, clip_limits=(1, 2), tiles=(8,)))  # doctest: +SKIP
    """
    if not (len(clip_limits) and len(tiles)):
        msg = f"clip_limits={clip_limits!r}, tiles={tiles!r}: expected one of each at least"
        raise ArgumentError(msg)
    chosen = clahe_parameters(x, mask=mask)
    clips, counts = tuple(dict.fromkeys(map(float, clip_limits))), tuple(dict.fromkeys(tiles))
    pairs: list[tuple[float, Tiles]] = [(clip, n) for n in counts for clip in clips]
    best = (float(chosen.clip_limit), _plain(chosen.tiles))
    if best not in pairs:
        pairs.append(best)
    notes = list[str]()
    before = own_figures(x, mask, notes)
    values = host_of(x)
    planes = planes_at([n // 2 for n in values.shape], values.shape, *frame_of(x, values.ndim))
    plane = next((one for one in planes if one.name == "axial"), planes[0])
    settings = []
    for pair in pairs:
        after = clahe(x, clip_limit=pair[0], tiles=pair[1], bins=bins, mask=mask)
        found = own_figures(after, mask, notes)
        figures = {name: Figure(name, before[name], value) for name, value in found.items()}
        shown = _small(plane.of(host_of(after)))
        settings.append(Setting(_name(pair), *pair, pair == best, figures, shown))
    shown = _small(plane.of(_units(x, values)))
    return Sweep(clips, counts, tuple(settings), shown, plane.aspect, chosen.why, tuple(dict.fromkeys(notes)))


def sweep_picture(sweep: Sweep, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Write a PNG: the plane in the middle with every setting, a row for each number of tiles, beside the scan itself.

    All share one grey window. What `fastprep.clahe_parameters` chose has a frame.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed: ``pip install fastprep[report]``.
    WriteError
        The operating system refused.
    """
    grid = _places(sweep)
    rows, columns = 1 + max(row for row, _ in grid), 1 + max(column for _, column in grid)
    height = _INCHES * min(max(sweep.before.shape[0] * sweep.aspect / sweep.before.shape[1], 0.4), 1.4)
    figure = new_figure(columns * _INCHES, rows * (height + 0.5) + 0.4)
    places = figure.add_gridspec(rows, columns)
    ends = [np.percentile(plane, (0.5, 99.5)) for plane in (sweep.before, *(one.plane for one in sweep.settings))]
    low, high = min(float(e[0]) for e in ends), max(float(e[1]) for e in ends)
    for (row, column), one in grid.items():
        axes = figure.add_subplot(places[row, column])
        plane = sweep.before if one is None else one.plane
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=sweep.aspect, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.set_title("do nothing" if one is None else one.title, size=10)
        axes.set_xlabel(_line(one), size=8)
        if one is not None and one.is_chosen:
            for side in axes.spines.values():
                side.set(color=_CHOSEN, linewidth=3)
            axes.set_title(f"{one.title}: chosen", size=10, color=_CHOSEN, weight="bold")
    figure.supxlabel(fill(f"chosen: {sweep.why}", 38 * columns), size=9)
    figure.suptitle(title or " ")
    write_figure(figure, path)


def _places(sweep: Sweep) -> dict[tuple[int, int], Setting | None]:
    """Where each setting is: clip limits across, tiles down; before it the scan itself, and below that what is odd."""
    found: dict[tuple[int, int], Setting | None] = {(0, 0): None}
    for one in sweep.settings:
        if one.tiles in sweep.tiles and one.clip_limit in sweep.clip_limits:
            found[sweep.tiles.index(one.tiles), 1 + sweep.clip_limits.index(one.clip_limit)] = one
        else:
            found[1, 0] = one
    return found


def _line(one: Setting | None) -> str:
    """What a setting does to contrast and noise, on one line."""
    names = {"contrast": "contrast", "noise": "noise", "edges over noise": "edges/noise"}
    gains = {short: 1.0 if one is None else one.figures[name].gain for name, short in names.items()}
    return ", ".join(f"{short} x{gain:.2f}" for short, gain in gains.items())


def _plain(tiles: Any) -> Tiles:
    """Tiles that are alike along all axes as one number."""
    if isinstance(tiles, int):
        return tiles
    numbers = tuple(int(n) for n in tiles)
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _name(pair: tuple[float, Tiles]) -> str:
    clip, tiles = pair
    return NAMES.get((clip, tiles), "") if isinstance(tiles, int) else ""


def _units(x: Any, values: _Array) -> _Array:
    if isinstance(x, Image) and not x.rescale.is_identity:
        return np.asarray(x.rescale(values.astype(np.float32)))
    return values


def _small(plane: _Array) -> _Array:
    """Means of squares of pixels, so that a picture of many planes stays small."""
    k = max(1, min(plane.shape) // _MOST)
    rows, columns = (n // k for n in plane.shape)
    parts = plane[: rows * k, : columns * k].reshape(rows, k, columns, k)
    return np.asarray(parts.mean(axis=(1, 3), dtype=np.float32))
