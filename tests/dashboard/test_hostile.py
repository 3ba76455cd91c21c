"""No script runs on any page, whatever models, clients, files and web pages write."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.scripted import Answer, Called, Gate, Upstream, refusal

MARK = "window.__pwned++"
HOSTILE = (
    f"<script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"'><svg onload='{MARK}'>",
    f"</textarea></pre></title></style><script>{MARK}</script>",
    f"<iframe srcdoc='<script>parent.{MARK[7:]}</script>'></iframe>",
    f'<a href="javascript:{MARK}">a</a>',
    f'<form action="javascript:{MARK}"><button>b</button></form>',
    f'<style>*{{background:url("javascript:{MARK}")}}</style><base href="https://evil.example/">',
    f'<div hx-get="/dashboard" hx-trigger="load" hx-on:click="{MARK}" data-live="/x" style="x">d</div>',
    f"[m](javascript:{MARK}) [n](<javascript:{MARK}>) ![o](https://evil.example/p.png) <https://a.example/'>",
    f'```"><script>{MARK}</script>\n<script>{MARK}</script>\n```',
    f"{{{{ 7*7 }}}} {{% print 1 %}} ${{{MARK}}} \u2028\u0000 &lt;script&gt;",
)
ALL = "\n\n".join(HOSTILE)
TYPED = ALL.replace("\0", "")
"""As a keyboard gives it."""
URL = f"javascript:{MARK}//https://a.example"
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PAGE = f"<html><body onload='{MARK}'><script>{MARK}</script><p>Words.</p>".encode() * 100
WATCH = """
    window.__pwned = 0;
    window.__refused = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.__refused.push(`${event.effectiveDirective} ${event.sample} ${event.blockedURI}`));
"""


def items() -> list[Any]:
    """One of each kind that clients can send, hostile wherever the wire takes a text."""
    cited = {"type": "url_citation", "url": URL, "title": ALL, "start_index": 0, "end_index": 1}
    file = {"type": "file_citation", "file_id": "'\"><script>", "filename": ALL, "index": 0}
    inside = {"container_id": "../..", "file_id": "<b>", "filename": ALL, "start_index": 0, "end_index": 1}
    annotations = [cited, file, {"type": "container_file_citation", **inside}]
    said = {"type": "output_text", "text": ALL, "annotations": annotations}
    data = f"data:text/html;base64,{base64.b64encode(PAGE).decode()}"
    return [
        {"role": "user", "content": [{"type": "input_text", "text": text} for text in HOSTILE]},
        {
            "role": "user",
            "content": [{"type": "input_file", "filename": f"{HOSTILE[1]}.html", "file_data": data}],
        },
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [said]},
        {"type": "message", "role": "assistant", "id": "msg_2", "status": "completed"}
        | {"content": [{"type": "refusal", "refusal": ALL}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": ALL}]}
        | {"content": [{"type": "reasoning_text", "text": ALL}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": json.dumps({"a": ALL})},
        {"type": "function_call_output", "call_id": "c1", "output": ALL},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": ALL},
        {"type": "function_call_output", "call_id": "c2"} | {"output": [{"type": "input_text", "text": ALL}]},
        {"type": "custom_tool_call", "call_id": "c3", "name": "<b>", "input": ALL},
        {"type": "custom_tool_call_output", "call_id": "c3", "output": ALL},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"}
        | {"action": {"type": "search", "query": ALL, "sources": [{"type": "url", "url": URL}]}},
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": [ALL]}
        | {"results": [{"file_id": "<i>", "filename": ALL, "text": ALL, "score": 0.5}]},
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "container_id": "x",
            "code": ALL,
        }
        | {
            "outputs": [{"type": "logs", "logs": ALL}, {"type": "image", "url": "https://evil.example/p.png"}]
        },
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": DOT}
        | {"revised_prompt": ALL},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "w"}
        | {"tools": [{"name": ALL, "description": ALL, "input_schema": {}}]},
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "w",
            "name": ALL,
            "arguments": ALL,
            "output": ALL,
        },
    ]


def body(**members: Any) -> dict[str, Any]:
    tool = {
        "type": "function",
        "name": "f",
        "description": ALL,
        "parameters": {"type": "object", "title": ALL},
    }
    return {
        "model": f"m{HOSTILE[1]}{HOSTILE[0]}",
        "input": items(),
        "instructions": ALL,
        "metadata": {ALL[:60]: ALL[:500]},
        "user": ALL[:60],
        "prompt_cache_key": ALL[:60],
        "tools": [tool],
        **members,
    }


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """Nothing is to be heard of it but that a page is not there, or that a request is refused."""
    with browser.new_context() as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
        page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert len({url.split("/")[2] for url in asked if url.startswith("http")}) == 1


def check(tab: Page) -> None:
    """Everything is opened and pointed at, and nothing ran, nor was there anything that had to be refused."""
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.evaluate(
        "document.querySelectorAll('main *').forEach((each) => each.dispatchEvent(new Event('click')))"
    )
    assert tab.evaluate("[window.__pwned, window.__refused]") == [0, []]
    assert (
        tab.locator("main :is(script, iframe, object, embed, base, style, [style], [onerror])").count() == 0
    )
    assert (
        tab.locator("main :is([onload], [onclick], [srcdoc], [hx-on\\:click], .item [hx-get])").count() == 0
    )
    addresses: Sequence[str] = tab.eval_on_selector_all(
        "main a, main form, main img",
        """all => all.map((one) => one.getAttribute(
            one.matches('a') ? 'href' : one.matches('img') ? 'src' : 'action'))""",
    )
    assert [
        each
        for each in addresses
        if not each.startswith(("/dashboard", "https://", "data:image/png", "#", "mailto:"))
    ] == []


@BROWSER
def test_no_script_runs_on_any_page_of_a_response(tab: Page, upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(
        Answer(ALL, reasoning=ALL, calls=[Called("f", json.dumps({"a": ALL})), Called(HOSTILE[0], ALL)])
    )
    with Running(config_for(upstream, tmp_path)) as server:
        answer = httpx2.post(f"{server.url}/v1/responses", json=body(), timeout=30)
        assert answer.status_code == 200, answer.text
        place = f"/dashboard/responses/{answer.json()['id']}"
        for path in ("", "/timeline", "/turns", "/code", "/code?stream=true", "/again"):
            tab.goto(f"{server.url}{place}{path}")
            check(tab)
        tab.goto(f"{server.url}{place}")
        assert tab.locator(".item").count() >= len(items())
        for link in {
            a for a in tab.eval_on_selector_all("a", "all => all.map((a) => a.href)") if "/media/" in a
        }:
            shown = tab.request.get(link)
            assert shown.status == 404 or shown.headers["content-security-policy"].startswith("sandbox")


@BROWSER
def test_no_script_runs_in_what_is_shown_alone(tab: Page, upstream: Upstream, tmp_path: Path) -> None:
    """Bodies, code and files, opened in a tab of their own."""
    upstream.script(Answer(ALL))
    with Running(config_for(upstream, tmp_path)) as server:
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            made = client.post("/v1/responses", json=body()).json()["id"]
            data = {"purpose": "user_data"}
            file = client.post("/v1/files", data=data, files={"file": (f"{HOSTILE[0]}.html", PAGE)}).json()[
                "id"
            ]
            place = f"/dashboard/responses/{made}"
            html = client.get(place).text
            (one,) = client.get(f"{place}/turns.json").json()["recordings"]
        (inline,) = {part for part in html.split('"') if part.startswith("/dashboard/media/data/")}
        sent = f"{place}/turns/{one['key']}"
        for path in (
            f"{sent}/request",
            f"{sent}/answer",
            f"{place}/code/curl",
            f"{place}.json",
            f"{place}/turns.json",
            f"/dashboard/media/files/{file}",
            inline.replace("&amp;", "&"),
        ):
            answer = tab.goto(f"{server.url}{path}")
            assert answer is not None
            assert answer.status == 200, path
            assert tab.evaluate("window.__pwned ?? 0") == 0, path
            assert tab.locator("script, svg").count() == 0


@BROWSER
def test_no_script_runs_in_the_list_and_its_filters(tab: Page, upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("Yes"), refusal(400, ALL, code=HOSTILE[0]))
    with Running(config_for(upstream, tmp_path)) as server:
        for _ in range(2):
            httpx2.post(f"{server.url}/v1/responses", json=body(input=ALL), timeout=30)
        for text in HOSTILE:
            filters = dict.fromkeys(("text", "model", "tool", "key", "conversation", "status"), text)
            tab.goto(f"{server.url}/dashboard?{urlencode(filters)}")
            check(tab)
        tab.goto(f"{server.url}/dashboard")
        expect(tab.locator("tbody tr")).to_have_count(2)
        check(tab)
        tab.locator("tr", has_text="failed").locator("a.id").click()
        check(tab)
        for path in (
            f"/{HOSTILE[0]}",
            f"/responses/{HOSTILE[0]}",
            f"/sign-in?{urlencode({'next': HOSTILE[1]})}",
        ):
            tab.goto(f"{server.url}/dashboard{path}")
            assert tab.evaluate("[window.__pwned, window.__refused]") == [0, []]


@BROWSER
def test_no_script_runs_in_what_is_seen_growing(tab: Page, upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=60)
    upstream.script(Answer(ALL, reasoning=ALL, calls=[Called("f", ALL)], size=40, gate=gate))
    with Running(config_for(upstream, tmp_path)) as server:
        asked = body(background=True, input=ALL)
        made = httpx2.post(f"{server.url}/v1/responses", json=asked, timeout=30).json()["id"]
        gate.wait_reached()
        tab.goto(f"{server.url}/dashboard/responses/{made}")
        expect(tab.locator(".growing").last).to_contain_text("script")
        check(tab)
        gate.open()
        expect(tab.locator("#growing")).to_have_count(0)
        expect(tab.locator("#status")).to_have_text("completed")
        check(tab)


@BROWSER
def test_no_script_runs_in_a_form_that_comes_back(tab: Page, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Yes")
    with Running(config_for(upstream, tmp_path)) as server:
        made = httpx2.post(
            f"{server.url}/v1/responses", json={"model": "m", "input": "Hi"}, timeout=30
        ).json()
        tab.goto(f"{server.url}/dashboard/responses/{made['id']}/again")
        tab.get_by_label("Model").fill(HOSTILE[1])
        tab.get_by_label("Input").fill(TYPED)
        tab.get_by_label("All else").fill(TYPED)
        tab.get_by_role("button", name="Ask again").click()
        expect(tab.get_by_role("alert")).to_contain_text("no JSON")
        assert tab.get_by_label("All else").input_value() == TYPED
        check(tab)
