"""Words of the command line that stand for numbers."""

from __future__ import annotations

import math

import click


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


def _numbers_of(text: str, expected: str, most: int | None = None) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)) or len(found) > (most or len(found)):
        msg = f"{text!r}: expected {expected}"
        raise click.BadParameter(msg)
    return found
