"""The message at the end of a response whose model has said nothing about the pictures that it had made.

The real API ends such a response with a message that has one empty text (behaviours.md section 2).
"""

from itertools import takewhile

from antiphon.protocol.items import AssistantMessage, ImageGenerationCall, Reasoning
from antiphon.stream.items import OpenMessage
from antiphon.stream.kinds import kind_of
from antiphon.stream.machine import Machine


def close_with_message(machine: Machine) -> None:
    """Add it, where it belongs."""
    wordless = takewhile(lambda item: not isinstance(item, AssistantMessage), reversed(machine.items))
    since = [item for item in wordless if item is not None and not isinstance(item, Reasoning)]
    if not since or not isinstance(since[0], ImageGenerationCall):
        return
    if any(kind_of(item).answered_by is not None for item in since):
        return  # a call waits for its client
    item = AssistantMessage(id=machine.new_id("message"), status="in_progress", content=())
    message = machine.open(OpenMessage, item)
    message.nothing()
    message.close()
