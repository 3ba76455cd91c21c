"""`file_search` over the wire, on stores that are really there: searches, and what goes wrong with them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused, some_id, whole
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers, ids_of
from tests.scripted import Answer, Called, Upstream
from tests.tools.libraries import FILES, shelve
from tests.tools.using import ask, calls, emitted, offered, read, stream

from antiphon.config import Server, hash_key

ON_BOTH_HOMES = True
RESULTS = "file_search_call.results"
QUESTION = "Why do boats and ducks float on water?"
LOOK = calls("file_search", json.dumps({"queries": [QUESTION]}), 5)
SEARCHED = [
    "output_item.added",
    "file_search_call.in_progress",
    "file_search_call.searching",
    "file_search_call.completed",
    "output_item.done",
]
FAILED = [*SEARCHED[:3], "output_item.done"]


def results(upstream: Upstream, which: int = -1) -> str:
    """What the model read of its last search."""
    return [str(message["content"]) for message in read(upstream, which) if message["role"] == "tool"][-1]


def heads(text: str) -> list[str]:
    """The first lines of the results that a model reads."""
    return [line for line in text.splitlines() if line.startswith("【")]


# ---- what it does --------------------------------------------------------------------------------------


@covers(
    "tool.file_search",
    "tool.file_search.vector_store_ids",
    "item.output.file_search_call",
    "event.response.file_search_call.in_progress",
    "event.response.file_search_call.searching",
    "event.response.file_search_call.completed",
)
def test_it_searches_on_the_server_and_emits_how_far_it_is(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer("They float."))

    events = stream(client, tool, include=[RESULTS])

    assert emitted(events)[:5] == SEARCHED
    added, done = (event["item"] for event in events if event.get("output_index") == 0 and "item" in event)
    bare = {"id": some_id("fs"), "type": "file_search_call", "results": None}
    assert added == bare | {"status": "in_progress", "queries": []}
    found = done.pop("results")
    assert done | {"results": None} == bare | {"status": "completed", "queries": [QUESTION]}
    assert {result["filename"]: result["text"] for result in found} == FILES
    for result in found:
        assert result.keys() == {"attributes", "file_id", "filename", "score", "text", "vector_store_id"}
        assert result["vector_store_id"] == tool["vector_store_ids"][0]
        assert 0 < result["score"] == round(result["score"], 4) <= 1
    assert events[-1]["response"]["usage"]["total_tokens"] == 24, "of both turns"


def test_the_model_is_shown_one_small_function_and_reads_numbered_results(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer("They float."))

    found = ask(client, tool, include=[RESULTS])["output"][0]["results"]

    (function,) = offered(upstream, 0).values()
    assert function["name"] == "file_search"
    assert list(function["parameters"]["properties"]) == ["queries"]
    assert tool["vector_store_ids"][0] not in json.dumps(upstream.requests[0].body)
    text = results(upstream)
    assert heads(text) == [f"【{n}】 {result['filename']}" for n, result in enumerate(found, 1)]
    assert all(body in text for body in FILES.values())


def test_all_that_is_searched_at_once_is_one_item(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    queries = [
        "boats that float",
        "the oil of ducks",
        "boats that float",
        " ",
        "water",
        "feathers",
        "one more",
    ]
    upstream.script(calls("file_search", json.dumps({"queries": queries})), Answer("ok"))

    (call, _) = ask(client, tool, include=[RESULTS])["output"]

    assert call["queries"] == ["boats that float", "the oil of ducks", "water", "feathers"]
    assert {result["filename"] for result in call["results"]} == set(FILES)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"queries": "boats"}',
        '{"query": "boats"}',
        '{"queries": [{"a": 1}, "boats", null, 7]}',
        '{"question": "boats"}',
    ],
)
def test_what_small_models_write_for_a_list_is_read(
    client: OpenAI, upstream: Upstream, tool: Json, arguments: str
) -> None:
    upstream.script(calls("file_search", arguments), Answer("ok"))

    (call, _) = ask(client, tool)["output"]

    assert (call["status"], call["queries"]) == ("completed", ["boats"])


def test_searches_of_one_turn_run_at_once_and_are_numbered_apart(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    both = [Called("file_search", json.dumps({"queries": [word]})) for word in ("boats", "ducks")]
    upstream.script(Answer(calls=both), Answer("ok"))

    first, second, _ = ask(client, tool)["output"]

    assert [first["queries"], second["queries"]] == [["boats"], ["ducks"]]
    read_of_both = [message["content"] for message in read(upstream) if message["role"] == "tool"]
    numbers = [head.split(" ")[0] for text in read_of_both for head in heads(text)]
    assert len(set(numbers)) == len(numbers) >= 2


def test_nothing_found_is_a_search_with_no_results(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("I do not know."))
    filters = {"type": "eq", "key": "year", "value": 1}

    (call, _) = ask(client, tool | {"filters": filters}, include=[RESULTS])["output"]

    assert (call["status"], call["results"]) == ("completed", [])
    assert "Nothing was found" in results(upstream)


# ---- what the request says of every search -------------------------------------------------------------


@covers("tool.file_search.max_num_results")
def test_no_more_is_found_than_the_request_allows(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("ok"))

    answer = ask(client, tool | {"max_num_results": 1}, include=[RESULTS])

    assert len(answer["output"][0]["results"]) == 1
    assert len(heads(results(upstream))) == 1
    assert answer["tools"][0]["max_num_results"] == 1


def test_the_tool_is_shown_with_its_defaults(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(Answer("Hi"))

    assert ask(client, tool)["tools"] == [
        tool
        | {
            "filters": None,
            "max_num_results": 20,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.0},
        }
    ]


def test_the_model_can_choose_no_store(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    other = shelve(client, {"secret.md": "Boats of the other store float on water."})
    arguments = {"vector_store_ids": [other], "queries": ["boats"], "store": other, "filters": None}
    upstream.script(calls("file_search", json.dumps(arguments)), Answer("ok"))

    (call, _) = ask(client, tool, include=[RESULTS])["output"]

    assert call["queries"] == ["boats"]
    assert {result["vector_store_id"] for result in call["results"]} == set(tool["vector_store_ids"])


def test_several_stores_are_searched_together(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    other = shelve(client, {"planks.md": "Planks float on water as boats do."})
    upstream.script(LOOK, Answer("ok"))
    stores = [*tool["vector_store_ids"], other, other]

    (call, _) = ask(client, tool | {"vector_store_ids": stores}, include=[RESULTS])["output"]

    assert {result["filename"] for result in call["results"]} == {*FILES, "planks.md"}
    assert {result["vector_store_id"] for result in call["results"]} == set(stores)


# ---- what is shown of it -------------------------------------------------------------------------------


@covers("include.file_search_call.results")
def test_results_are_kept_and_shown_to_who_includes_them(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(*[LOOK, Answer("They float.")] * 3)

    made = client.responses.create(model="m", input="Hi", tools=[tool])  # type: ignore[list-item]
    events = stream(client, tool)
    polled = ended(client, begin(client, tools=[tool]).id)

    for answer in (whole(made), events[-1]["response"], whole(polled)):
        assert answer["output"][0]["results"] is None
        shown = whole(client.responses.retrieve(answer["id"], include=[RESULTS]))["output"][0]["results"]
        assert {result["filename"] for result in shown} == set(FILES)


def test_a_later_turn_reads_what_was_found(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("They float."), Answer("With the tool."), Answer("Without it."))
    first = ask(client, tool)

    ask(client, tool, previous_response_id=first["id"])
    with_tool = results(upstream)
    ask(client, previous_response_id=first["id"])
    without = results(upstream)

    assert [head.split(" ")[0] for head in heads(with_tool)] == ["【1】", "【2】"]
    assert "【" not in without, "nobody would cut a mark"
    for text in (with_tool, without):
        assert all(body in text for body in FILES.values())


@covers("item.input.file_search_call")
def test_a_search_that_is_sent_back_without_results_is_read_with_them(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer("They float."), Answer("ok"))
    output = ask(client, tool)["output"]
    assert output[0]["results"] is None

    ask(client, tool, given=[*output, {"role": "user", "content": "And?"}])

    assert all(body in results(upstream) for body in FILES.values())


@pytest.mark.parametrize("item_id", ["fs_unknown", None])
def test_a_search_whose_results_nobody_has_any_more_is_read_as_one_that_was_made(
    client: OpenAI, upstream: Upstream, tool: Json, item_id: str | None
) -> None:
    upstream.script(Answer("ok"))
    call = {"type": "file_search_call", "queries": ["boats"], "status": "completed", "results": None}
    given = [call | ({"id": item_id} if item_id else {}), {"role": "user", "content": "And?"}]

    ask(client, tool, given=given)

    assert "not known any more" in results(upstream)


def test_a_search_that_was_sent_back_with_results_is_read_as_it_came(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(Answer("ok"))
    result = {"file_id": "file-1", "filename": "mine.md", "text": "My own words.", "score": 0.5}
    call = {"type": "file_search_call", "id": "fs_1", "queries": ["boats"], "results": [result]}

    ask(client, tool, given=[call, {"role": "user", "content": "And?"}], store=False)

    assert "【1】 mine.md\nMy own words." in results(upstream)


# ---- projects ------------------------------------------------------------------------------------------


def test_no_project_searches_anothers_stores_nor_reads_what_it_found(
    upstream: Upstream, tmp_path: Path
) -> None:
    server = Server(verify=True, keys={"a": hash_key("key-a"), "b": hash_key("key-b")})
    upstream.script(LOOK, Answer("They float."), Answer("ok"))
    with (
        Running(config_for(upstream, tmp_path, server)) as running,
        checked_client(running.url, "key-a") as mine,
        checked_client(running.url, "key-b") as other,
    ):
        tool = {"type": "file_search", "vector_store_ids": [shelve(mine, FILES)]}
        output = ask(mine, tool)["output"]

        with refused(404):
            ask(other, tool)
        ask(other, given=[*output, {"role": "user", "content": "And?"}])

    assert "not known any more" in results(upstream)


# ---- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [{}, {"stream": True}, {"background": True}])
def test_a_store_that_is_not_there_refuses_the_request(
    client: OpenAI, upstream: Upstream, tool: Json, members: Json
) -> None:
    missing = "vs_" + "0" * 31 + "f"
    stores = [*tool["vector_store_ids"], missing]

    with refused(404) as refusal:
        ask(client, tool | {"vector_store_ids": stores}, **members)

    assert refusal.message == f"Vector store with id [{missing}] not found."
    assert upstream.requests == []


def test_a_second_search_tool_is_refused_by_its_type(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    with refused(400, param="tools[1]") as refusal:
        ask(client, tool, tool | {"max_num_results": 3})
    assert "Duplicate tool of the type 'file_search'" in refusal.message

    function = {"type": "function", "name": "file_search", "parameters": {}, "strict": False}
    for pair in ([tool, function], [function, tool]):
        with refused(400, param="tools[1]") as refusal:
            ask(client, *pair)
        assert "Duplicate tool name 'file_search'" in refusal.message
    assert upstream.requests == []


@pytest.mark.parametrize(
    "arguments", ['{"queries": []}', "{}", '{"queries": [""]}', '["boats"]', "boats", ""]
)
def test_a_search_for_nothing_fails_and_the_model_goes_on(
    client: OpenAI, upstream: Upstream, tool: Json, arguments: str
) -> None:
    upstream.script(calls("file_search", arguments), Answer("I do not know."))

    events = stream(client, tool)

    assert emitted(events)[:4] == FAILED
    call, message = events[-1]["response"]["output"]
    assert (call["status"], call["queries"], call["results"]) == ("failed", [], None)
    assert message["content"][0]["text"] == "I do not know."
    assert "1 to 4 queries" in results(upstream)


@covers("param.max_tool_calls")
def test_searches_past_the_limit_are_not_made_and_the_model_reads_so(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, LOOK, Answer("I stop."))

    answer = ask(client, tool, max_tool_calls=1)

    assert [item["type"] for item in answer["output"]] == ["file_search_call", "message"]
    assert "no more tool calls" in results(upstream)


@covers("tool_choice.file_search")
@pytest.mark.parametrize("choice", [{"type": "file_search"}, "required"])
def test_a_search_that_was_forced_is_made_once(
    client: OpenAI, upstream: Upstream, tool: Json, choice: Any
) -> None:
    upstream.script(LOOK, Answer("They float."))

    answer = ask(client, tool, tool_choice=choice)

    forced, free = (request.body.get("tool_choice") for request in upstream.requests)
    assert forced == (
        {"type": "function", "function": {"name": "file_search"}} if choice != "required" else choice
    )
    assert free in (None, "auto")
    assert answer["tool_choice"] == choice
    assert [item["type"] for item in answer["output"]] == ["file_search_call", "message"]


# ---- filters and ranking -------------------------------------------------------------------------------


ATTRIBUTES: dict[str, Json] = {
    "old.md": {"year": 1990, "kind": "boat", "draft": False},
    "new.md": {"year": 2020.5, "kind": "duck", "draft": True},
    "bare.md": {},
}


@pytest.fixture(scope="module")
def shelf(server: Running) -> Iterator[str]:
    """The id of a store whose files have attributes."""
    with checked_client(server.url) as client:
        yield shelve(client, {name: f"Boats float on water, says {name}." for name in ATTRIBUTES}, ATTRIBUTES)


def compared(kind: str, key: str, value: Any) -> Json:
    return {"type": kind, "key": key, "value": value}


OLD = compared("eq", "kind", "boat")
NEW = compared("gt", "year", 2000)
FILTERS: list[tuple[Json | None, set[str]]] = [
    (None, {"old", "new", "bare"}),
    (OLD, {"old"}),
    (compared("eq", "draft", True), {"new"}),
    (compared("eq", "year", "1990"), set()),
    (compared("ne", "kind", "boat"), {"new", "bare"}),
    (NEW, {"new"}),
    (compared("gte", "year", 1990), {"old", "new"}),
    (compared("lt", "year", 2020.5), {"old"}),
    (compared("lte", "year", 2020.5), {"old", "new"}),
    (compared("in", "kind", ["duck", "goose"]), {"new"}),
    (compared("nin", "kind", ["duck", "goose"]), {"old", "bare"}),
    ({"type": "and", "filters": [OLD, NEW]}, set()),
    ({"type": "or", "filters": [OLD, NEW]}, {"old", "new"}),
    ({"type": "and", "filters": [{"type": "or", "filters": [OLD, NEW]}, OLD]}, {"old"}),
]


@covers("tool.file_search.filters", *ids_of("tool.file_search.filters"))
@pytest.mark.parametrize(("filters", "names"), FILTERS)
def test_only_files_that_fit_the_filters_are_searched(
    client: OpenAI, upstream: Upstream, shelf: str, filters: Json | None, names: set[str]
) -> None:
    upstream.script(LOOK, Answer("ok"))
    tool = {"type": "file_search", "vector_store_ids": [shelf], "filters": filters}

    answer = ask(client, tool, include=[RESULTS])

    found = answer["output"][0]["results"]
    assert {result["filename"].removesuffix(".md") for result in found} == names
    assert answer["tools"][0]["filters"] == filters
    for result in found:
        assert result["attributes"] == ATTRIBUTES[result["filename"]]


def test_every_filter_of_the_ledger_is_tried() -> None:
    tried = {filters["type"] for filters, _ in FILTERS if filters}
    known = {row.split(".")[3] for row in ids_of("tool.file_search.filters") if row.count(".") > 2}
    assert known == tried


def ranked(client: OpenAI, upstream: Upstream, tool: Json, query: str, **options: Any) -> dict[str, float]:
    """The scores of the files that are found with these options."""
    upstream.script(calls("file_search", json.dumps({"queries": [query]})), Answer("ok"))
    answer = ask(client, tool | {"ranking_options": options}, include=[RESULTS])
    shown = answer["tools"][0]["ranking_options"]
    assert shown == {"ranker": "auto", "score_threshold": 0.0} | options
    return {result["filename"]: result["score"] for result in answer["output"][0]["results"]}


@covers("tool.file_search.ranking_options", "tool.file_search.ranking_options.score_threshold")
def test_what_scores_less_than_the_threshold_is_not_found(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    def above(score: float) -> dict[str, float]:
        return ranked(client, upstream, tool, "oil on feathers", score_threshold=score)

    scores = above(0.0)

    assert scores["ducks.md"] > scores["boats.md"]
    assert above(sum(scores.values()) / 2).keys() == {"ducks.md"}
    assert above(1.0) == {}


@covers("tool.file_search.ranking_options.hybrid_search")
@covers(*ids_of("tool.file_search.ranking_options.hybrid_search"))
def test_words_and_meaning_count_as_much_as_they_are_weighted(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    def weighted(embedding: float, text: float) -> dict[str, float]:
        weights = {"embedding_weight": embedding, "text_weight": text}
        return ranked(client, upstream, tool, "feathers", hybrid_search=weights)

    words, meaning, both = weighted(0, 1), weighted(1, 0), weighted(0.5, 0.5)

    assert words.keys() == {"ducks.md"}, "the other file has no such word"
    assert meaning.keys() == set(FILES)
    assert both["ducks.md"] == pytest.approx((words["ducks.md"] + meaning["ducks.md"]) / 2, abs=0.001)


@covers(*ids_of("tool.file_search.ranking_options.hybrid_search"))
@pytest.mark.parametrize("weights", [(0, 0), (-1, 2), (1, -0.5)])
def test_weights_that_make_no_sense_are_refused(
    client: OpenAI, upstream: Upstream, tool: Json, weights: tuple[float, float]
) -> None:
    options = {"hybrid_search": dict(zip(("embedding_weight", "text_weight"), weights, strict=True))}

    with refused(400, None, "tools[0].ranking_options.hybrid_search"):
        ask(client, tool | {"ranking_options": options})


@covers("tool.file_search.ranking_options.ranker")
@pytest.mark.parametrize("ranker", ["auto", "default-2024-11-15"])
def test_the_rankers_that_there_are_mean_the_same(
    client: OpenAI, upstream: Upstream, tool: Json, ranker: str
) -> None:
    named = ranked(client, upstream, tool, "feathers", ranker=ranker)

    assert named == ranked(client, upstream, tool, "feathers")


@covers(*ids_of("tool.file_search.filters"))
def test_filters_that_are_too_large_are_refused(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    values = [str(number) for number in range(1000)]

    with refused(400, None, "tools[0].filters"):
        ask(client, tool | {"filters": compared("in", "kind", values)})
