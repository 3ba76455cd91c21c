"""The process of a server, before its first request."""

import subprocess
import sys

from openai import OpenAI
from tests.scripted import Answer, Upstream

_FOUR_THREADS = """
import sys, threading
import msgspec
from antiphon import application, worker
from antiphon.protocol.response import Response

def read():
    together.wait()
    msgspec.json.decode(said, type=Response)

said = sys.stdin.buffer.read()
worker.build_decoders()
together = threading.Barrier(4)
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_that_read_a_type_at_first_do_not_take_the_process_along(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    said = client.responses.with_raw_response.create(model="m", input="Hi").content

    done = subprocess.run([sys.executable, "-c", _FOUR_THREADS], input=said, capture_output=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, b"")
