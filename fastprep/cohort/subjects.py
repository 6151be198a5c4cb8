"""Subjects: the scans of one person, told apart by sequence, as one case.

Either each subject has a folder, with one scan of each sequence, or file names differ in the sequence alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from fastprep.cohort.cases import Case, Found
from fastprep.core.errors import ReadError
from fastprep.pipeline.fuse import Fuse

_JOINTS = " _-."


class _Member(NamedTuple):
    """A scan, the sequence it is of, and what else its name says."""

    sequence: str
    rest: str
    case: Case


def subjects(found: Found, fuse: Fuse) -> Found:
    """The scans of ``found`` as subjects; a subject that lacks a sequence, or has two of one, is a case that fails.

    Raises
    ------
    ReadError
        No scan is of any sequence of the pipeline.
    """
    skipped = list(found.skipped)
    folders: dict[str, list[_Member]] = defaultdict(list)
    for case in found.cases:
        folder, _, stem = case.id.rpartition("/")
        fits = {one.name: rest for one in fuse.sequences if (rest := _rest(one.match, stem)) is not None}
        if len(fits) == 1:
            ((name, rest),) = fits.items()
            folders[folder].append(_Member(name, rest, case))
        else:
            why = f"may be {' or '.join(fits)}" if fits else "of no sequence of the pipeline"
            skipped.append((case.relative(case.path), why))
    cases = [case for folder, members in folders.items() for case in _in_folder(folder, members, fuse)]
    if not cases:
        matches = ", ".join(f"{one.name}: {one.match}" for one in fuse.sequences)
        msg = f"none of {len(found.cases)} scans is of a sequence of the pipeline ({matches})"
        raise ReadError(msg)
    return Found(tuple(sorted(cases, key=lambda case: case.id)), tuple(skipped))


def _in_folder(folder: str, members: Sequence[_Member], fuse: Fuse) -> Iterator[Case]:
    """The subjects of a folder: one, where no sequence comes twice, else one for each rest of the names."""
    groups: dict[str, list[_Member]] = defaultdict(list)
    alone = len({member.sequence for member in members}) == len(members)
    for member in members:
        groups["" if alone else member.rest.lower()].append(member)
    for group in groups.values():
        same = len({member.rest.lower() for member in group}) == 1
        name = "/".join(part for part in (folder, group[0].rest if same else "") if part)
        yield _subject(name or group[0].case.root.name, group, fuse)


def _subject(name: str, group: Sequence[_Member], fuse: Fuse) -> Case:
    by_name: dict[str, list[Case]] = defaultdict(list)
    for member in group:
        by_name[member.sequence].append(member.case)
    members = {sequence: by_name[sequence][0] for sequence in fuse.names if sequence in by_name}
    error = next((case.error for case in members.values() if case.error is not None), None)
    for one in fuse.sequences:
        have = by_name.get(one.name, [])
        if len(have) != 1 and error is None:
            what = "no scan" if not have else f"{len(have)} scans ({', '.join(case.id for case in have)})"
            error = ReadError(f"{name}: {what} of sequence {one.name!r} (match {one.match!r}), expected one")
    files = tuple(file for case in members.values() for file in case.files)
    warnings = tuple(text for case in members.values() for text in case.warnings)
    first = next(iter(members.values()))
    return Case(name, "sequences", files, first.root, error=error, warnings=warnings, members=tuple(members.items()))


def _rest(match: str, name: str) -> str | None:
    """What the stars of a glob stand for in a name, without the joints at its ends; None where they do not fit."""
    found = _pattern(match).fullmatch(name)
    return None if found is None else "_".join(part for text in found.groups() if (part := text.strip(_JOINTS)))


@lru_cache(maxsize=64)
def _pattern(match: str) -> re.Pattern[str]:
    parts = {"*": "(.*?)", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in match), re.IGNORECASE | re.DOTALL)
