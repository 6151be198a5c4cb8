"""What launchers over the voxels inside a mask share: the struct ``MaskedJob``."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView

THREADS = 256
MASKED = "PPPq3q3q3qiii4x"


def masked(x: DeviceView, out: DeviceView, mask: DeviceView | None) -> tuple[int, ...]:
    """The values of `MASKED` for ``x`` (Z, Y, X) and a mask of that shape, or None."""
    flat = x.is_contiguous and (mask is None or mask.is_contiguous)
    about = (0, 0, 0) if mask is None else mask.strides
    kind = (0, 0) if mask is None else (mask.dtype.itemsize, mask.dtype.kind == "f")
    address = 0 if mask is None else mask.address
    return (x.address, out.address, address, x.size, *x.shape, *x.strides, *about, flat, *kind)
