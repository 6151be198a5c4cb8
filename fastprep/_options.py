"""Options that commands share, and words that stand for numbers."""

from __future__ import annotations

import math

import click

IRREGULAR = click.option(
    "--irregular",
    type=click.Choice(["refuse", "resample"]),
    default="refuse",
    show_default=True,
    help="DICOM stacks with a tilt or uneven gaps: refuse, or interpolate to a regular grid.",
)
THREADS = click.option("--threads", type=click.IntRange(1), help="[default: every core]")


def counts(_context: object, _option: object, text: str | None) -> tuple[int, ...] | None:
    """The numbers of "50,50,50,50"."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        msg = f"{text!r}: expected whole numbers, one per level, as 50,50,50,50"
        raise click.BadParameter(msg) from error


def threshold_or_word(_context: object, _option: object, text: str) -> float | str:
    """HU, or the word."""
    return text if text == "adaptive" else _numbers_of(text, "HU, or adaptive", 1)[0]


def thresholds(_context: object, _option: object, text: str | None) -> tuple[float, ...]:
    """The numbers of "2000,2500,3000"."""
    return () if text is None else _numbers_of(text, "HU, as 2000,2500,3000")


def clip_limits(_context: object, _option: object, text: str) -> tuple[float, ...]:
    """The numbers of "1,2,3,4"."""
    return _numbers_of(text, "clip limits, as 1,2,3,4")


def tile_counts(_context: object, _option: object, text: str) -> tuple[int, ...]:
    """The whole numbers of "4,8,16"."""
    found = _numbers_of(text, "numbers of tiles, as 4,8,16")
    if not all(n >= 1 and n.is_integer() for n in found):
        msg = f"{text!r}: expected numbers of tiles, as 4,8,16"
        raise click.BadParameter(msg)
    return tuple(int(n) for n in found)


def _numbers_of(text: str, expected: str, most: int | None = None) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)) or len(found) > (most or len(found)):
        msg = f"{text!r}: expected {expected}"
        raise click.BadParameter(msg)
    return found
