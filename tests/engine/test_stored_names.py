"""What is stored with a run keeps its names: a server of this version goes on with runs of an older one."""

import msgspec

from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.prepare.run_request import RunRequest
from antiphon.protocol.items import AdditionalTools
from antiphon.protocol.wire import encode

REQUEST = (
    b'{"request":{"input":"","model":"m"},"trigger":2,"only_compacts":true,'
    b'"brought":[{"type":"additional_tools","role":"developer","tools":[]}]}'
)
CHECKPOINT = b'{"ran":3,"said":true}'


def test_a_kept_request_reads_and_writes_as_it_always_did() -> None:
    kept = msgspec.json.decode(REQUEST, type=RunRequest)
    assert (kept.request.model, kept.trigger, kept.only_compacts) == ("m", 2, True)
    assert [type(item) for item in kept.inline_tools] == [AdditionalTools]
    assert msgspec.json.decode(encode(kept)).keys() == msgspec.json.decode(REQUEST).keys()


def test_a_checkpoint_reads_and_writes_as_it_always_did() -> None:
    checkpoint = msgspec.json.decode(CHECKPOINT, type=Checkpoint)
    assert checkpoint == Checkpoint(ran=3, output_complete=True)
    assert encode(checkpoint) == CHECKPOINT
