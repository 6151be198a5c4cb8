"""What a segmenter is, and how one is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from fastprep.core.errors import SegmenterError
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name, shape_of


@runtime_checkable
class Segmenter(Protocol):
    """Anything that maps an Image to a mask of it: bool or whole numbers, as an array of its space axes or an Image."""

    @property
    def identity(self) -> dict[str, Any]:
        """What names the model in the record of an output, plain as JSON: name, kind, sha256, parameters."""

    def __call__(self, image: Image) -> Any:
        """The mask."""


def segment(segmenter: Segmenter, image: Image) -> Image:
    """The mask of an image as a label Image on its grid.

    Raises
    ------
    SegmenterError
        An answer that is no mask of the image: another shape or grid, or floats.

    Examples
    --------
    A collapsed lung is no business of a threshold; the air around the patient is:

    >>> import numpy as np
    >>> from fastprep import Grid
    >>> def is_air(image):
    ...     return image.array < -400
    >>> ct = Image(np.array([[-1000, -990], [40, -850]]), Grid.from_spacing((2, 2), (1, 1)), modality="CT")
    >>> from fastprep.segment import as_segmenter
    >>> mask = segment(as_segmenter(is_air), ct)
    >>> mask.kind, mask.array.tolist()
    ('label', [[True, True], [False, True]])
    """
    answer = segmenter(image)
    if isinstance(answer, Image) and not answer.grid.same_as(image.grid):
        msg = f"segmenter {_name_of(segmenter)!r}: its answer is on {answer.grid}, the image on {image.grid}"
        raise SegmenterError(msg)
    array = answer.array if isinstance(answer, Image) else answer
    if not hasattr(array, "__dlpack_device__") or shape_of(array) != image.grid.shape:
        what = f"of shape {shape_of(array)}" if hasattr(array, "__dlpack_device__") else f"a {type(array).__name__}"
        msg = f"segmenter {_name_of(segmenter)!r}: its answer is {what}, expected a mask of shape {image.grid.shape}"
        raise SegmenterError(msg)
    if not (dtype_name(array.dtype, array) == "bool" or "int" in dtype_name(array.dtype, array)):
        msg = f"segmenter {_name_of(segmenter)!r}: its answer is of dtype {array.dtype}, expected bool or whole numbers"
        raise SegmenterError(msg)
    return replace(image.with_array(array), kind="label")


def _name_of(segmenter: Segmenter) -> str:
    # For messages alone: an identity may take a hash of all weights.
    return str(segmenter.identity.get("name", type(segmenter).__name__))
