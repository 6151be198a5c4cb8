"""The regions above a threshold, and what is known of each."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastprep.core.regions import Clusters
from fastprep.kernels.reference._components import above, labelled, table_of


def clusters(x: npt.NDArray[Any], threshold: float, connectivity: int, ceiling: float, scale: float) -> Clusters:
    """The components of ``x > threshold``, x (Z, Y, X) of any type of numbers, in C order of their first voxels.

    NaN is not above. `RegionTable` tells what ``ceiling`` and ``scale`` are; the runs are for ``paint``.
    """
    labels, count = labelled(above(x, threshold), connectivity)
    return Clusters(table_of(labels, count, x, ceiling, scale), labels)
