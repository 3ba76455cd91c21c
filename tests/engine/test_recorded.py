"""What is recorded of an exchange: no secret, no picture, and no more than may be."""

import time

import pytest
from yarl import URL

from antiphon.engine.recorded import KEPT_BYTES, kept, shown

SECRET = b"a secret word"


def test_a_secret_is_not_kept_wherever_it_stands() -> None:
    body = b"a" * (KEPT_BYTES - 5) + SECRET + b"behind"

    assert kept(SECRET + b" and " + SECRET, (SECRET,)) == b"*** and ***"
    assert kept(body, (SECRET,)) == b"a" * (KEPT_BYTES - 5) + b"***be"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://me:word@b:1/v1", "http://b:1/v1"),
        ("http://word@b/v1?key=word&a=", "http://b/v1?key=***&a=***"),
        ("http://b/v1/chat", "http://b/v1/chat"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, seen: str) -> None:
    assert shown(URL(url)) == seen


@pytest.mark.parametrize("what", [b"A" * 4095 + b'"', b"A" * 4095 + b".", b"A", b'"'])
def test_a_body_is_made_ready_without_holding_others_up(what: bytes) -> None:
    body = what * (8 * 2**20 // len(what))
    begun = time.process_time()

    kept(body, (SECRET,))

    assert time.process_time() - begun < 2
