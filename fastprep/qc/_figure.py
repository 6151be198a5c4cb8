"""Figures drawn without a screen, and written whole or not at all."""

from __future__ import annotations

import os
from typing import Any

from fastprep.io._extras import require
from fastprep.io.atomic import atomic_path

_DPI = 110


def new_figure(width: float, height: float) -> Any:
    """An empty white figure of so many inches.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    """
    how = {"figsize": (width, height), "dpi": _DPI, "layout": "constrained", "facecolor": "white"}
    figure = require("matplotlib.figure").Figure(**how)
    # The figure keeps it.
    require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """As a PNG.

    Raises
    ------
    WriteError
        The operating system refused.
    """
    with atomic_path(path) as temporary:
        # Without the writer's version: the same picture has the same bytes.
        figure.canvas.print_png(temporary, metadata={"Software": None})
