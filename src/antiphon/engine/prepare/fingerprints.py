"""Programs that are ours: what a program begins with, and the proof that this server made it.

A program waits as an item alone, and the client may keep that instead of us. Nobody is to run JavaScript of
his own here by sending it back: so an item goes on only with the fingerprint that was made for it, in this
project. The fingerprint also has what the program depends on beside its code: its chance and its time.
"""

import hmac
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from antiphon.context.seal import Seal
from antiphon.engine.compaction import since_compaction
from antiphon.engine.prepare.inner_calls import episodes
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import Program
from antiphon.protocol.item import Item
from antiphon.protocol.wire import encode

PROGRAM = "program"
"""What fingerprints are signed as."""


class Beginning(NamedTuple):
    seed: int
    now: int
    """Milliseconds since the epoch."""


class Fingerprints:
    """Makes the fingerprints of a project's programs, and knows them again."""

    def __init__(self, seal: Seal, project: str) -> None:
        self._seal = seal
        self._project = project

    def made(self, call_id: str, code: str) -> str:
        """The fingerprint of a program that begins now."""
        begins = f"{secrets.randbits(32):08x}.{int(time.time() * 1000):x}"
        return f"{begins}.{self._signature(begins, call_id, code)}"

    def read(self, program: Program) -> Beginning | None:
        """What the program began with; None: it is none of ours."""
        begins, _, signature = program.fingerprint.rpartition(".")
        ours = self._signature(begins, program.call_id, program.code)
        if not hmac.compare_digest(signature.encode(), ours.encode()):
            return None
        seed, _, now = begins.partition(".")
        return Beginning(int(seed, 16), int(now, 16))

    def _signature(self, begins: str, call_id: str, code: str) -> str:
        return self._seal.sign(self._project, PROGRAM, encode([begins, call_id, code]))


def open_programs(fingerprints: Fingerprints, items: Sequence[Item]) -> Sequence[Program]:
    """The programs of a context that have not ended. Raises InvalidRequest for one that is none of ours."""
    waiting = [each.program for each in episodes(since_compaction(items)) if each.output is None]
    for program in waiting:
        if fingerprints.read(program) is None:
            raise InvalidRequest(f"No tool output found for program {program.call_id}.", param="input")
    return waiting
