"""Links into a container become citations: the filter by itself, whatever a model writes in whatever pieces,
and over the wire."""

import json
from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from tests.api.asking import Json, Like
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.coding.serving import Coding
from tests.tools.libraries import shelve
from tests.tools.using import ask, calls, stream

from antiphon.protocol.content import ContainerFileCitation
from antiphon.stream.filters import Annotated
from antiphon.tools.containers import ContainerFile
from antiphon.tools.sandbox_links import SandboxLinks

PATHS = ["/mnt/data/a.csv", "/mnt/data/my plot (1).png", "/mnt/data/sub/b.txt", "/mnt/data/é.txt"]
FILES = {path: ContainerFile(id=f"cfile_{n}", path=path, size=1) for n, path in enumerate(PATHS)}
PICTURE = ContainerFile(id="cfile_p", path="/mnt/data/cfile_p.png", size=1)

Cited = list[tuple[str, int, int]]


def filtered(pieces: Sequence[str], pictures: Sequence[ContainerFile] = ()) -> tuple[str, Cited]:
    """The text that comes out, and its citations: the file's name and where. They stand behind all text."""
    through = SandboxLinks("cntr_1", FILES.get, list(pictures))
    text, cited = "", []
    for found in chain(map(through.feed, pieces), [None]):
        for piece in through.end() if found is None else found:
            plain = piece.text if isinstance(piece, Annotated) else piece
            assert not (plain and cited), "no text stands behind a citation"
            if isinstance(piece, Annotated):
                annotation = piece.annotation(len(text), len(text) + len(plain))
                if isinstance(annotation, ContainerFileCitation):
                    cited.append((annotation.filename, annotation.start_index, annotation.end_index))
            text += plain
    return text, cited


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("[a](sandbox:/mnt/data/a.csv)", [("a.csv", 4, 27)]),
        ("See [a](sandbox:/mnt/data/a.csv).", [("a.csv", 8, 31)]),
        ("![a](sandbox:/mnt/data/a.csv)", [("a.csv", 5, 28)]),
        ("⛵ [a](sandbox:/mnt/data/a.csv)", [("a.csv", 6, 29)]),
        ("[a](sandbox:/mnt/data/a.csv) [a](sandbox:/mnt/data/a.csv)", [("a.csv", 4, 27), ("a.csv", 33, 56)]),
        ("[p](sandbox:/mnt/data/my plot (1).png)", [("my plot (1).png", 4, 37)]),
        ("[p](sandbox:/mnt/data/my%20plot%20(1).png)", [("my plot (1).png", 4, 41)]),
        ('[a](sandbox:/mnt/data/a.csv "The table")', [("a.csv", 4, 27)]),
        ("[b](sandbox:/mnt/data/sub/b.txt)", [("b.txt", 4, 31)]),
        ("[é](sandbox:/mnt/data/é.txt)", [("é.txt", 4, 27)]),
    ],
)
def test_what_a_link_leads_to_is_cited_where_it_is_named(text: str, cited: Cited) -> None:
    assert filtered([text]) == (text, cited)
    assert filtered(text) == (text, cited)


@pytest.mark.parametrize(
    "text",
    [
        "[a](sandbox:/mnt/data/none.csv)",
        "[a](sandbox:/etc/passwd)",
        "[a](sandbox:/mnt/data/../data/a.csv)",
        "[a](sandbox:/mnt/data/a.csv",
        "[a](sandbox:/mnt/data/\na.csv)",
        "[a](sandbox:)",
        "(sandbox:/mnt/data/a.csv)",
        "[a] (sandbox:/mnt/data/a.csv)",
        "[a](https://example.com/mnt/data/a.csv)",
        "[a](sandbox:/" + "x" * 700 + ")",
        "/mnt/data/a.csv",
        "]](](sandbox",
    ],
)
def test_what_leads_to_no_file_is_text(text: str) -> None:
    assert filtered([text]) == (text, [])
    assert filtered(text) == (text, [])


def test_no_more_is_held_back_than_what_may_become_a_link() -> None:
    through = SandboxLinks("cntr_1", FILES.get, [])

    assert through.feed("Look [a") == ["Look [a"]
    assert through.feed("](") == [""]
    assert through.feed("https://a.example)") == ["](https://a.example)"]


def test_pictures_are_cited_before_all_links_and_once() -> None:
    pictures = [PICTURE]
    through = SandboxLinks("cntr_1", FILES.get, pictures)
    assert list(through.end()) == [""], "where nothing was said nothing is cited"

    text = "[a](sandbox:/mnt/data/a.csv)"
    assert filtered([text], pictures) == (text, [("cfile_p.png", 0, 0), ("a.csv", 4, 27)])


_pieces = st.sampled_from(
    [
        *("]", "[", "(", ")", "](sandbox:/", "](sandbox:/mnt/data/", "a.csv", "my plot (1).png", "sub/"),
        *(" ", '"', "\n", "⛵", "%20", "x", *(f"[a](sandbox:{path})" for path in PATHS)),
    ]
)
_texts = st.lists(_pieces, max_size=24).map("".join)


@given(_texts, st.data())
def test_however_a_text_is_cut_the_same_comes_out_unchanged(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    said, cited = filtered(pieces)

    assert (said, cited) == filtered([text])
    assert said == text
    for name, start, end in cited:
        assert text[start:end].startswith("sandbox:/mnt/data/")
        assert text[start:end].replace("%20", " ").endswith(name)
        assert text[start - 2 : start] == "]("


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="[]()\n")), st.sampled_from(PATHS))))
def test_every_link_is_cited_at_its_place(links: list[tuple[str, str]]) -> None:
    text, wanted = "", []
    for words, path in links:
        text += f"{words}[x]("
        link = f"sandbox:{path}"
        wanted.append((path.rpartition("/")[2], len(text), len(text) + len(link)))
        text += f"{link})"

    assert filtered(text) == (text, wanted)


# ---- over the wire -------------------------------------------------------------------------------------

INTERPRETER: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
SHELL: Json = {"type": "shell", "environment": {"type": "container_auto"}}
WRITE = "import pathlib\npathlib.Path('/mnt/data/out.csv').write_text('a')"
LINK = "See [it](sandbox:/mnt/data/out.csv) or [that](sandbox:/mnt/data/none.csv)."


def python(code: str) -> Answer:
    return calls("python", json.dumps({"code": code}))


def said(answer: Json) -> tuple[str, list[Json]]:
    (part,) = answer["output"][-1]["content"]
    return part["text"], part["annotations"]


def citation(container_id: str, name: str = "out.csv", start: int = 9, end: int = 34) -> Json:
    return {
        "type": "container_file_citation",
        "container_id": container_id,
        "file_id": Like("cfile_[0-9a-f]{32}"),
        "filename": name,
        "start_index": start,
        "end_index": end,
    }


@covers("annotation.container_file_citation", "event.response.output_text.annotation.added")
@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_the_file_of_a_link_is_cited_and_can_be_had(
    client: OpenAI, upstream: Upstream, coding: Coding, size: int
) -> None:
    upstream.script(python(WRITE), Answer(LINK, size=size))

    events = stream(client, INTERPRETER)

    text, annotations = said(events[-1]["response"])
    assert (text, annotations) == (LINK, [citation(coding.made[-1])])
    assert coding.content(coding.made[-1], "/mnt/data/out.csv") == b"a"
    kinds = [event["type"].removeprefix("response.output_text.") for event in events]
    assert kinds.index("annotation.added") == len(kinds) - 1 - kinds[::-1].index("delta") + 1
    assert kinds.index("annotation.added") + 1 == kinds.index("done")


def test_a_file_that_commands_made_is_cited(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    upstream.script(calls("shell", '{"commands": ["echo a > out.csv"]}'), Answer(LINK))

    assert said(ask(client, SHELL)) == (LINK, [citation(coding.made[-1])])


def test_a_file_that_is_gone_is_not_cited(client: OpenAI, upstream: Upstream) -> None:
    gone = "import os\nos.remove('/mnt/data/out.csv')"
    upstream.script(python(WRITE), python(gone), Answer(LINK))

    assert said(ask(client, INTERPRETER)) == (LINK, [])


def test_pictures_are_cited_in_what_is_said_next_and_once(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    between = Answer("A pixel.", calls=[Called("python", '{"code": "display(PNG)\\ndisplay(PNG)"}')])
    upstream.script(python("display(PNG)"), between, Answer("Two."), Answer("None."))

    first = ask(client, INTERPRETER)
    second = ask(client, INTERPRETER, previous_response_id=first["id"])

    told = [item["content"][0]["annotations"] for item in first["output"] if item["type"] == "message"]
    assert [len(annotations) for annotations in told] == [1, 2]
    for annotation in (*told[0], *told[1]):
        name = f"{annotation['file_id']}.png"
        assert annotation == citation(coding.made[-1], name, 0, 0)
        assert coding.content(coding.made[-1], f"/mnt/data/{name}").startswith(b"\x89PNG")
    assert said(second) == ("None.", [])


def test_files_of_an_earlier_turn_are_cited(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    upstream.script(python(WRITE), Answer("ok"), Answer(LINK))
    first = ask(client, INTERPRETER)

    second = ask(client, INTERPRETER, previous_response_id=first["id"])

    assert said(second) == (LINK, [citation(coding.made[-1])])


def test_links_stand_beside_citations_of_searches(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    store = shelve(client, {"boats.md": "Boats float."})
    search = {"type": "file_search", "vector_store_ids": [store]}
    look = Called("file_search", '{"queries": ["boats"]}')
    write = Called("python", json.dumps({"code": WRITE}))
    upstream.script(Answer(calls=[look, write]), Answer(f"Boats 【1】float【1】. {LINK}", size=3))

    text, annotations = said(ask(client, search, INTERPRETER))

    assert text == f"Boats float. {LINK}"
    assert [each["type"] for each in annotations] == [*["file_citation"] * 2, "container_file_citation"]
    start = text.index("sandbox:")
    assert annotations[2] == citation(coding.made[-1], "out.csv", start, start + 25)


def test_both_places_are_cited_each_with_its_own_container(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    both = [
        Called("python", json.dumps({"code": WRITE})),
        Called("shell", '{"commands": ["echo a > b.csv"]}'),
    ]
    upstream.script(Answer(calls=both), Answer("[a](sandbox:/mnt/data/out.csv) [b](sandbox:/mnt/data/b.csv)"))

    answer = ask(client, INTERPRETER, SHELL)

    python_at, shell_at = (
        answer["output"][0]["container_id"],
        answer["tools"][1]["environment"]["container_id"],
    )
    _, annotations = said(answer)
    assert {each["filename"]: each["container_id"] for each in annotations} == {
        "out.csv": python_at,
        "b.csv": shell_at,
    }
