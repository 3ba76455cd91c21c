"""What reaches the log."""

import subprocess
import sys

CRASH = """
import structlog
from antiphon import logs

logs.configure()

def call(key):
    raise ValueError("refused")

try:
    call("sk-very-" + "secret")
except ValueError:
    structlog.get_logger().exception("call failed", path="/v1")
structlog.get_logger().debug("not told")
"""


def test_a_traceback_shows_where_and_not_what() -> None:
    ran = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert "call failed" in ran.stderr
    assert "ValueError: refused" in ran.stderr
    assert "sk-very-secret" not in ran.stderr
    assert "not told" not in ran.stderr


OUTAGE = """
import structlog
from antiphon import logs

now = 100.0
logs.time.monotonic = lambda: now
logs.configure()
log = structlog.get_logger()

def fail(error, **about):
    log.error("request failed", error=error, **about)

for number in range(50):
    fail("refused", request_id=f"req_{number}", path=f"/v1/responses/{number}")
    fail("refused", storage="full")
    log.info("an answer", number=number % 2)
now += logs.AGAIN_SECONDS
fail("refused", request_id="req_last")
"""


def test_what_is_told_by_all_while_a_database_is_away_is_told_once_in_a_while() -> None:
    ran = subprocess.run([sys.executable, "-c", OUTAGE], capture_output=True, text=True, check=True)
    lines = [line for line in ran.stderr.splitlines() if "request failed" in line]
    assert ["req_0" in lines[0], "full" in lines[1], "req_last" in lines[2]] == [True, True, True]
    assert len(lines) == 3
    assert "more_times=49" in lines[2]
    assert ran.stderr.count("an answer") == 50
