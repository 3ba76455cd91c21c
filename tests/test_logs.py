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
