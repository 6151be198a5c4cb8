"""Typed access to the raw elements of a DICOM data set: plain numbers, or one kind of error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fastprep.core.errors import ReadError

#: The functional groups of multi-frame objects: plane position, plane orientation, pixel measures, VOI LUT and
#: pixel value transformation.
_MACROS = (0x00209113, 0x00209116, 0x00289110, 0x00289132, 0x00289145)


class Values:
    """Typed access to the raw elements of one data set."""

    def __init__(self, path: Path, dataset: Any) -> None:
        self.path = path
        self.dataset = dataset

    def raw(self, tag: int) -> bytes | None:
        """The element's bytes, None where it is absent or empty."""
        if tag not in self.dataset:
            return None
        return self.dataset.get_item(tag).value or None

    def text(self, tag: int) -> str:
        """A string value, "" where absent."""
        value = self.raw(tag)
        if value is None:
            return ""
        return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else str(value)

    def integer(self, tag: int, default: int | None = None) -> int:
        """An unsigned 16-bit value."""
        value = self.raw(tag)
        if value is None and default is not None:
            return default
        if value is None or len(value) < 2:
            msg = f"{self.path}: no value for {keyword(tag)}"
            raise ReadError(msg)
        return int.from_bytes(value[:2], "little" if self.order(tag) == "<" else "big")

    def order(self, tag: int) -> str:
        """The byte order of an element that is there, as NumPy writes it."""
        return "<" if self.dataset.get_item(tag).is_little_endian else ">"

    def kind(self, tag: int) -> str:
        """The value representation of an element that is there; "" where the file does not say."""
        return self.dataset.get_item(tag).VR or ""

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Decimal or integer strings, () where absent."""
        text = self.text(tag)
        if not text:
            return ()
        try:
            return tuple(float(part) for part in text.split("\\"))
        except ValueError as error:
            msg = f"{self.path}: {keyword(tag)} is {text[:60]!r}: expected decimal numbers"
            raise ReadError(msg) from error

    def checked(self, tag: int, values: tuple[float, ...], count: int) -> tuple[float, ...]:
        """The first ``count`` of ``values``, all finite."""
        if len(values) < count or not all(math.isfinite(v) for v in values[:count]):
            msg = f"{self.path}: {keyword(tag)} is {values}: expected {count} finite numbers"
            raise ReadError(msg)
        return values[:count]

    def items(self, tag: int) -> list[Values]:
        """The items of a sequence, [] where absent."""
        if tag not in self.dataset:
            return []
        return [Values(self.path, item) for item in self.dataset[tag].value or ()]

    def macros(self) -> list[Values]:
        """The functional group macros inside one item."""
        return [inner for tag in _MACROS for inner in self.items(tag)[:1]]


def keyword(tag: int) -> str:
    """What the standard calls the tag."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
