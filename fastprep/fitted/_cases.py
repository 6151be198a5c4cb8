"""What fitting and applying share: images with their masks, one modality, and plain forms that may not be any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Any, Protocol

from fastprep.core.errors import ArgumentError, ConfigError
from fastprep.core.image import Image

#: An iterable of masks, a function that makes an image's mask, or None.
Masks = Iterable[Any] | Callable[[Any], Any] | None
_MISSING = object()


def cases(images: Iterable[Any], masks: Masks) -> Iterator[tuple[Any, Any]]:
    """Each image with its mask, or None; no two at a time.

    Raises
    ------
    ArgumentError
        One image where a cohort is expected, or not as many masks as images.
    """
    for name, value in (("images", images), ("masks", masks)):
        if isinstance(value, Image) or hasattr(value, "__dlpack_device__"):
            msg = (
                f"{name} of type {type(value).__name__}: expected an iterable of volumes; for one use observe(x, mask)"
            )
            raise ArgumentError(msg)
    if masks is None or callable(masks):
        for x in images:
            yield x, None if masks is None else masks(x)
        return
    for count, (x, mask) in enumerate(zip_longest(images, masks, fillvalue=_MISSING)):
        if x is _MISSING or mask is _MISSING:
            longer, shorter = ("images", "masks") if mask is _MISSING else ("masks", "images")
            msg = f"{shorter} end after {count}, {longer} go on: expected a mask for each image"
            raise ArgumentError(msg)
        yield x, mask


class Observer(Protocol):
    """What takes in one case after the other, and counts them."""

    cases: int

    def observe(self, x: Any, mask: Any = None) -> None:
        """Take in one more volume, or each of a batch."""


def observe_all(observer: Observer, images: Iterable[Any], masks: Masks) -> None:
    """Every image with its mask into what has seen none.

    Raises
    ------
    ArgumentError
        No image, or as `cases`.
    """
    for x, mask in cases(images, masks):
        observer.observe(x, mask)
    if not observer.cases:
        msg = "images: expected at least one volume to fit on"
        raise ArgumentError(msg)


def are_percentiles(values: Sequence[float]) -> bool:
    """Whether they are from 0 to 100 and strictly increasing."""
    return all(0 <= p <= 100 for p in values) and all(a < b for a, b in pairwise(values))


def modality_in(form: Any) -> str | None:
    """The modality of a plain form, if it has one.

    Raises
    ------
    ConfigError
        It is no text.
    """
    modality = form.get("modality")
    if not isinstance(modality, str | None):
        msg = f"modality={modality!r}: expected text"
        raise ConfigError(msg)
    return modality


def same_modality(known: str | None, new: str | None) -> str | None:
    """The one modality of both, of which either may be unknown.

    Raises
    ------
    ArgumentError
        There are two.
    """
    if known and new and known != new:
        msg = f"modality {new}: expected {known}, the one it was fitted on"
        raise ArgumentError(msg)
    return known or new


def modality_of(x: Any) -> str | None:
    """The modality of an Image; arrays have none."""
    return x.modality if isinstance(x, Image) else None


def numbers(form: Any, key: str, count: int | None = None) -> tuple[float, ...]:
    """The finite numbers under ``key`` of a plain form.

    Raises
    ------
    ConfigError
        There are none, or not ``count``.
    """
    value: Any = form.get(key) if isinstance(form, dict) else None
    plain = isinstance(value, list | tuple) and all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    if not plain or count not in (None, len(value)):
        msg = f"{key}={value!r}: expected a list of {'' if count is None else f'{count} '}finite numbers"
        raise ConfigError(msg)
    return tuple(map(float, value))


def whole(form: Any, key: str) -> int:
    """The whole number, not below 0, under ``key`` of a plain form."""
    value = form.get(key, 0) if isinstance(form, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"{key}={value!r}: expected a whole number, not below 0"
        raise ConfigError(msg)
    return value
