"""Python warnings by case, with many cases at work at once.

``warnings.catch_warnings`` swaps the state of the whole process, so two threads inside it mix up and lose each
other's warnings. Here it is swapped once for a run, and each warning goes to the case whose thread gave it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_notes: ContextVar[list[str] | None] = ContextVar("fastprep_notes", default=None)


@contextmanager
def routed() -> Iterator[None]:
    """Inside, in every thread: warnings given under `collected` go there, all others where they went before."""
    usual = warnings.showwarning

    def show(message: Warning | str, *where: Any, **how: Any) -> None:
        notes = _notes.get()
        if notes is None:
            usual(message, *where, **how)
        else:
            notes.append(str(message))

    with warnings.catch_warnings():
        # A warning already given for another case must be given for this one too.
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


@contextmanager
def collected() -> Iterator[list[str]]:
    """The warnings of this thread from here on, while `routed` is in force."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
