"""What a model answers, and the mask that it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat

from fastprep.core.errors import ArgumentError, SegmenterError
from fastprep.core.namespace import shape_of

#: Beyond 0 and 1 by more than rounding an answer is no probability.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Meaning:
    """How numbers become a mask.

    Parameters
    ----------
    threshold : a probability above it is inside.
    activation : "sigmoid" or "softmax" where the model answers logits, None where it answers probabilities.
    channel : which of several is the mask; None takes the likeliest, whose number is the label.
    """

    threshold: float = 0.5
    activation: str | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        if self.activation not in (None, "sigmoid", "softmax"):
            msg = f"activation={self.activation!r}: expected 'sigmoid', 'softmax', or None for probabilities"
            raise ArgumentError(msg)
        if isinstance(self.threshold, bool) or not 0 <= self.threshold < 1:
            msg = f"threshold={self.threshold!r}: expected a probability from 0 to below 1"
            raise ArgumentError(msg)
        if self.channel is not None and (type(self.channel) is not int or self.channel < 0):
            msg = f"channel={self.channel!r}: expected a whole number of at least 0, or None"
            raise ArgumentError(msg)

    def probabilities(self, answer: Any, who: str) -> Any:
        """Of an answer of floats (K, ...) the probabilities that decide, (1, ...) or (K, ...).

        Raises
        ------
        SegmenterError
            NaN, no probabilities, or a number of channels that the meaning does not fit.
        """
        xp = array_api_compat.array_namespace(answer)
        channels = answer.shape[0]
        if self.channel is not None and self.channel >= channels:
            msg = f"{who}: channel={self.channel} of an answer of {channels}"
            raise SegmenterError(msg)
        if channels > 1 and self.channel is None and self.activation == "sigmoid":
            msg = f"{who}: {channels} channels of a sigmoid may overlap: say which one, channel=..."
            raise SegmenterError(msg)
        if channels == 1 and self.activation == "softmax":
            msg = f"{who}: a softmax of one channel is 1 everywhere: expected activation='sigmoid'"
            raise SegmenterError(msg)
        broken = int(xp.sum(xp.astype(xp.isnan(answer), xp.int64)))
        if broken:
            msg = f"{who}: its answer holds {broken} NaN of {math.prod(shape_of(answer))} values"
            raise SegmenterError(msg)
        if self.activation == "softmax":
            answer = xp.exp(answer - xp.max(answer, axis=0, keepdims=True))
            answer = answer / xp.sum(answer, axis=0, keepdims=True)
        if self.channel is not None:
            answer = answer[self.channel : self.channel + 1]
        if self.activation == "sigmoid":
            # No exponential that overflows.
            return (xp.tanh(answer / 2) + 1) / 2
        if self.activation is None:
            low, high = float(xp.min(answer)), float(xp.max(answer))
            if low < -_ROUNDING or high > 1 + _ROUNDING:
                msg = (
                    f"{who}: its answer goes from {low:.4g} to {high:.4g}: expected probabilities, or "
                    "activation='sigmoid' or 'softmax' for logits"
                )
                raise SegmenterError(msg)
        return answer

    def mask(self, probabilities: Any) -> Any:
        """Of probabilities (K, ...) bool for one channel, else the number of the likeliest as uint8 (int32 above 256).

        Where nothing is likely at all, as beyond what the model saw, it is 0.
        """
        xp = array_api_compat.array_namespace(probabilities)
        if probabilities.shape[0] == 1:
            return probabilities[0] > self.threshold
        best = xp.argmax(probabilities, axis=0)
        return xp.astype(best, xp.uint8 if probabilities.shape[0] <= 256 else xp.int32)


def channels_first(answer: Any, space: tuple[int, ...], who: str) -> Any:
    """An answer of shape ``space``, (K, *space) or (1, K, *space) as (K, *space).

    Raises
    ------
    SegmenterError
        It is none of these.
    """
    if not hasattr(answer, "__dlpack_device__"):
        msg = f"{who}: its answer is a {type(answer).__name__}, expected an array"
        raise SegmenterError(msg)
    shape = shape_of(answer)
    lead = shape[: len(shape) - len(space)]
    if shape[len(lead) :] != space or len(lead) > 2 or (len(lead) == 2 and lead[0] != 1) or 0 in lead:
        said = ", ".join(map(str, space))
        msg = f"{who}: its answer is of shape {shape}, expected ({said}), (K, {said}) or (1, K, {said})"
        raise SegmenterError(msg)
    if len(lead) == 2:
        return answer[0]
    return answer if lead else answer[None]
