"""Base64 that is taken out of JSON, and put back."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.store.contract.kit import spoken

from antiphon.store.conversations import ConversationRow
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.inline_data import AT_ONCE, LEAST, cut, fill, marked_in
from antiphon.store.items import ItemRow
from antiphon.store.open import open_store

MIB = 2**20


def there_and_back(text: bytes) -> tuple[bytes, bytes]:
    """With marks, and filled again."""
    marked, data = cut(text)
    assert marked_in([marked]) == data.keys()
    return marked, fill([marked], data)[0]


@pytest.mark.parametrize("size", [LEAST * 3 // 4, LEAST, MIB * 3 // 4, MIB * 3 // 4 + 1, 3 * MIB + 2])
@pytest.mark.parametrize("before", ["", "data:image/png;base64,"])
def test_base64_gives_way_to_a_mark_and_comes_back(size: int, before: str) -> None:
    data = os.urandom(size)
    text = msgspec.json.encode({"id": "i", "result": before + base64.b64encode(data).decode()})

    marked, filled = there_and_back(text)

    assert len(marked) < 150
    assert filled == text


def test_several_are_found_and_the_same_one_is_one() -> None:
    one, two = (base64.b64encode(os.urandom(5000)).decode() for _ in range(2))
    text = msgspec.json.encode({"a": [one, {"b": two}], "c": f"data:;base64,{one}"})

    marked, filled = there_and_back(text)

    assert filled == text
    assert len(marked_in([marked])) == 2
    assert len(marked) < 400


LONG = "QUJD" * (LEAST // 4)


@pytest.mark.parametrize(
    "text",
    [
        LONG[:-4],
        LONG[:-1],
        LONG + " ",
        LONG + "QQ==" + LONG,
        LONG[:-4] + "QR==",
        LONG.replace("Q", "_"),
        LONG.replace("Q", "é"),
        "A" * (MIB - 1) + "=" + LONG,
    ],
    ids=[
        "short",
        "cut",
        "space",
        "joined",
        "not what is encoded",
        "of URLs",
        "foreign",
        "ended in the middle",
    ],
)
def test_what_would_not_come_back_as_it_was_stays(text: str) -> None:
    whole = msgspec.json.encode({"text": text})
    assert cut(whole) == (whole, {})


def test_a_mark_that_is_sent_is_text() -> None:
    sent = msgspec.json.encode({"text": "\x1a" + "0" * 64})
    assert marked_in([sent]) == set()
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(b'{"text": "\x1a%b"}' % (b"0" * 64), type=msgspec.Raw)


pieces = st.one_of(
    st.text(),
    st.binary(max_size=200).map(lambda data: base64.b64encode(data * 90).decode()),
    st.integers(LEAST - 3, LEAST + 3).map(lambda size: ("QUJD" * LEAST)[:size]),
    st.sampled_from(['"', "\\", ",", "\x1a", "data:;base64,"]),
)


@given(
    st.recursive(
        st.lists(pieces).map("".join), lambda inner: st.lists(inner) | st.dictionaries(pieces, inner)
    )
)
@example(['"' + LONG + '"'])
def test_whatever_the_json_is_it_comes_back(value: Any) -> None:
    text = msgspec.json.encode(value)
    assert there_and_back(text)[1] == text


class Meeting(FolderBlobs):
    """Reads a blob when as many more are asked for as may be at the same time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._meeting = asyncio.Barrier(AT_ONCE)

    async def read(self, name: str) -> bytes:
        async with self._meeting:
            return await super().read(name)


async def test_a_history_does_not_wait_for_one_picture_after_another(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'store.db'}", Meeting(tmp_path / "blobs"))
    rows = [
        ItemRow(f"{n}", msgspec.json.encode({"result": base64.b64encode(os.urandom(LEAST)).decode()}))
        for n in range(5 * AT_ONCE)
    ]
    await store.conversations.create("p", ConversationRow("c", 1, b"{}"), rows)

    async with asyncio.timeout(60):
        assert await spoken(store, "c", "p") == [row.json for row in rows]
    await store.close()
