"""stack: several sequences of one subject as the channels of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastprep.core.checks import ONEHOT, check_order
from fastprep.core.coverage import check_covers
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import check_together, dtype_name, is_torch, shape_of
from fastprep.ops._arrays import empty
from fastprep.ops._sample import sample
from fastprep.ops.resample_to import map_between


def stack(
    images: Mapping[str, Image] | Sequence[Image],
    *,
    onto: str | int | Grid | None = None,
    order: int | str = "linear",
    fill: float | None = None,
    tolerance: float | None = None,
    dtype: Any = None,
) -> Image:
    """Put the sequences of one subject on one grid, as channels: ``y[k] = resample_to(images[k], grid)``.

    Images whose grid it is already are copied, not interpolated. Nothing is registered: the world coordinates of the
    scans are taken as they are, which holds for sequences of one session in which nobody moved.

    Parameters
    ----------
    images : Images by name, or a list of them; channels have their order.
    onto : name or index of the image whose grid is taken, by default the first; or a Grid.
    order : "nearest", "linear" or "cubic".
    fill : beyond an image's field of view; by default each image's own (-1024 for CT, else 0).
    tolerance : millimetres by which the grid may reach beyond an image's field of view; by default the image's largest
        spacing. ``float("inf")`` allows everything.
    dtype : of the result; by default float32, and float64 where an image is.

    Returns
    -------
    An Image (K, z, y, x) or (K, y, x) on that grid, in physical units.

    Raises
    ------
    GeometryError
        An image that does not cover the grid, or has another number of axes.
    ArgumentError
        No image, an unknown name, labels, or arrays of different libraries.
    ShapeError
        An image that has channels already.
    DeviceError
        Images on different devices.

    Examples
    --------
    A FLAIR of 5 mm slices on the voxels of the T1, two channels for a network:

    >>> t1 = Image(np.ones((20, 8, 8), np.int16), Grid.from_spacing((20, 8, 8), (1, 1, 1)), modality="MR")
    >>> flair = Image(np.ones((4, 8, 8), np.int16), Grid.from_spacing((4, 8, 8), (5, 1, 1)), modality="MR")
    >>> stack({"t1": t1, "flair": flair}).array.shape
    (2, 20, 8, 8)
    """
    named = _named(images)
    target = _target(named, onto)
    if check_order(order) == ONEHOT:
        msg = f"order={order!r}: expected 'nearest', 'linear' or 'cubic', of numbers that are no labels"
        raise ArgumentError(msg)
    for name, image in named.items():
        check_covers(image.grid, target, tolerance, name)
    first = next(iter(named.values()))
    arrays = [image.array for image in named.values()]
    wide = any(dtype_name(a.dtype, a) == "float64" for a in arrays)
    number = ("float64" if wide else "float32") if dtype is None else dtype_name(dtype, first.array)
    out = empty((len(named), *target.shape), number, first.array)
    for k, image in enumerate(named.values()):
        # Grids that differ by the rounding of a file's header are one.
        same = image.grid.same_as(target)
        sample(
            image.array,
            IndexMap.identity(target.shape) if same else map_between(image.grid, target),
            order=0 if same else check_order(order),
            fill=image.default_fill if fill is None else fill,
            pre=image.rescale,
            dtype=number,
            into=out.view[k],
        )
    modalities = {image.modality for image in named.values()}
    return Image(out.finish(), target, modality=modalities.pop() if len(modalities) == 1 else None)


def _named(images: Mapping[str, Image] | Sequence[Image]) -> dict[str, Image]:
    """The images by name, each a volume of numbers, all in one place."""
    pairs: list[tuple[str, Image]]
    if isinstance(images, Mapping):
        pairs = [(str(name), image) for name, image in images.items()]
    elif isinstance(images, Sequence):
        pairs = [(f"image {k}", image) for k, image in enumerate(images)]
    else:
        msg = f"images of type {type(images).__name__}: expected Images by name, or a list of them"
        raise ArgumentError(msg)
    if not pairs:
        msg = "images: expected at least one, there is none"
        raise ArgumentError(msg)
    for name, image in pairs:
        if not isinstance(image, Image):
            msg = f"{name} of type {type(image).__name__}: expected an Image, its grid says where it is"
            raise ArgumentError(msg)
        if image.kind == "label":
            msg = f"{name} of kind 'label': labels have no intensities to stack, put them on the grid by resample_to"
            raise ArgumentError(msg)
        if shape_of(image.array) != image.grid.shape:
            msg = f"{name} of shape {shape_of(image.array)}: expected the axes of its grid {image.grid.shape} alone"
            raise ShapeError(msg)
    named = dict(pairs)
    check_together(**{name: image.array for name, image in pairs})
    libraries = {name: _library(image.array) for name, image in pairs}
    if len(set(libraries.values())) > 1:
        msg = f"{', '.join(f'{name} of {where}' for name, where in libraries.items())}: expected one array library"
        raise ArgumentError(msg)
    return named


def _library(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return "numpy"
    return "torch" if is_torch(array) else type(array).__module__.partition(".")[0]


def _target(named: Mapping[str, Image], onto: str | int | Grid | None) -> Grid:
    if isinstance(onto, Grid):
        return onto
    names = list(named)
    if onto is None:
        return named[names[0]].grid
    if isinstance(onto, int) and not isinstance(onto, bool) and -len(names) <= onto < len(names):
        return named[names[onto]].grid
    if isinstance(onto, str) and onto in named:
        return named[onto].grid
    msg = f"onto={onto!r}: expected a Grid, an index below {len(names)}, or one of {', '.join(names)}"
    raise ArgumentError(msg)
