"""Deltas in the form in which they are easy to compare: what belongs together is one."""

from collections.abc import Sequence
from typing import Any

from antiphon.model import CallArguments, CallStarted, Delta, ReasoningDelta, TextDelta


def joined(deltas: Sequence[Delta]) -> list[Any]:
    """Texts, thoughts (with their name) and calls whole; all other deltas as they are."""
    found: list[Any] = []
    for delta in deltas:
        last = found[-1] if found else None
        match delta:
            case TextDelta(said):
                found[-1:] = [last + said] if isinstance(last, str) else [*found[-1:], said]
            case ReasoningDelta(said):
                thought = isinstance(last, tuple) and last[0] == "thought"
                found[-1:] = [("thought", last[1] + said)] if thought else [*found[-1:], ("thought", said)]
            case CallStarted(_, name, call_id):
                found.append((name, "", call_id))
            case CallArguments(_, more):
                found[-1] = (last[0], last[1] + more, last[2])
            case other:
                found.append(other)
    return found
