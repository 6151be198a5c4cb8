"""What the corrections of a detector's raw frames share."""

from __future__ import annotations

#: Good pixels that a bad one is mended from at least, and how far they may be: a square of 31 pixels.
LEAST_GOOD = 3
MEND_REACH = 15
