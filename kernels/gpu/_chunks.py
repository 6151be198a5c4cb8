"""What launchers over the voxels inside a mask share: the structs ``MaskedJob`` and ``BatchJob``."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView

THREADS = 256
MASKED = "PPPq3q3q3qiii4x"
BATCH = f"{MASKED}qqqi4x"


def masked(x: DeviceView, out: DeviceView, mask: DeviceView | None) -> tuple[int, ...]:
    """The values of `MASKED` for ``x`` (Z, Y, X) and a mask of that shape, or None."""
    flat = x.is_contiguous and (mask is None or mask.is_contiguous)
    about = (0, 0, 0) if mask is None else mask.strides
    kind = (0, 0) if mask is None else (mask.dtype.itemsize, mask.dtype.kind == "f")
    address = 0 if mask is None else mask.address
    return (x.address, out.address, address, x.size, *x.shape, *x.strides, *about, flat, *kind)


def batch(x: DeviceView, out: DeviceView, mask: DeviceView | None, chunks: int) -> tuple[int, ...]:
    """The values of `BATCH` for ``x`` (B, Z, Y, X) and a mask of that shape, or None, in so many chunks a volume."""
    first = masked(x[0], out, None if mask is None else mask[0])
    # Of one volume there is no step to the next.
    step, mask_step = (0 if v is None or len(x) == 1 else v.strides[0] for v in (x, mask))
    count = 16 // x.dtype.itemsize
    packed = x[0].is_contiguous and all(at % 16 == 0 for at in (x.address, step * x.dtype.itemsize))
    if mask is not None:
        placed = all(at % count == 0 for at in (mask.address, mask_step))
        packed = packed and mask[0].is_contiguous and mask.dtype.itemsize == 1 and placed
    return (*first, step, mask_step, chunks, packed)
