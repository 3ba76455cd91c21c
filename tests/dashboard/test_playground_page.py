"""The playground in a real browser: what is sent, what is shown of the answer, and the API behind pages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.pictures import png
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.config import Server, hash_key

HOSTILE = '<script>document.title="run"</script><img src=x onerror="document.title=\'run\'">'
pytestmark = BROWSER


@pytest.fixture
def playground(tab: Tab, server: Running) -> Tab:
    tab.goto(f"{server.url}/dashboard/playground")
    tab.get_by_label("Model").fill("m-played")
    return tab


def ask(tab: Tab, text: str) -> None:
    tab.get_by_label("Input").fill(text)
    tab.get_by_role("button", name="Send").click()


def test_an_answer_is_shown_while_it_comes(playground: Tab, upstream: Upstream) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello there", size=6, gate=gate))
    ask(playground, "Hi")

    expect(playground.locator("#answer pre")).to_have_text("Hello ")
    gate.open()
    expect(playground.locator("#answer pre")).to_have_text("Hello there")
    expect(playground.locator("#stored")).to_be_visible()
    assert upstream.last.body["messages"][-1]["content"] == "Hi"


def test_the_stored_response_is_a_click_away_and_the_next_one_continues_it(
    playground: Tab, upstream: Upstream, client: OpenAI
) -> None:
    upstream.script(Answer("One."), Answer("Two."))
    ask(playground, "First")
    expect(playground.locator("#answer pre")).to_have_text("One.")
    expect(playground.locator("#stored")).to_be_visible()
    first = playground.locator("#stored").inner_text()
    ask(playground, "Second")
    expect(playground.locator("#answer pre")).to_have_text("Two.")
    expect(playground.locator("#stored")).not_to_have_text(first)
    second = playground.locator("#stored").inner_text()

    assert client.responses.retrieve(second).previous_response_id == first
    playground.locator("#stored").click()
    expect(playground.locator("h1 .id")).to_have_text(second)


def test_tools_files_and_other_parameters_are_sent(
    playground: Tab, upstream: Upstream, client: OpenAI
) -> None:
    upstream.script(Answer(calls=[Called("weather", '{"city": "Rome"}')]))
    function = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    playground.get_by_label("Others").fill(json.dumps([function]))
    playground.get_by_label("More parameters").fill('{"temperature": 0.5}')
    playground.get_by_label("Attach files").set_input_files(
        {"name": "note.txt", "mimeType": "text/plain", "buffer": b"It rains."}
    )
    expect(playground.locator("#attached")).to_contain_text("note.txt")
    ask(playground, "How is it?")
    expect(playground.locator("#stored")).to_be_visible()

    expect(playground.locator("#attached li")).to_have_count(0)
    assert '"city": "Rome"' in json.loads(playground.locator("#answer pre").inner_text())["arguments"]
    sent = upstream.last.body
    assert sent["temperature"] == 0.5
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert "It rains." in json.dumps(sent["messages"])


def test_pictures_are_attached_as_such_and_taken_away_again(playground: Tab, upstream: Upstream) -> None:
    upstream.script(Answer("A dot."))
    files = [
        {"name": "dot.png", "mimeType": "image/png", "buffer": png(1, 1)},
        {"name": "note.txt", "mimeType": "text/plain", "buffer": b"It rains."},
    ]
    playground.get_by_label("Attach files").set_input_files(files)  # type: ignore[arg-type]
    playground.get_by_role("button", name="Without note.txt").click()
    expect(playground.locator("#attached li")).to_have_count(1)
    ask(playground, "What is it?")
    expect(playground.locator("#answer pre")).to_have_text("A dot.")

    sent = json.dumps(upstream.last.body["messages"][-1])
    assert "data:image/png;base64," in sent
    assert "rains" not in sent


def test_the_request_is_code_that_runs(playground: Tab, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("From code.")
    playground.get_by_label("Input").fill('It\'s "quoted" \\ and\nlong')
    playground.get_by_label("More parameters").fill('{"store": false, "metadata": {"a": "b"}}')
    shell = playground.locator("#curl").inner_text()
    code = playground.locator("#python").text_content() or ""
    (tmp_path / "asked.py").write_text(code)
    env = {"OPENAI_API_KEY": "sk-any", "PATH": "/usr/bin:/bin"}
    by_python = subprocess.run(
        [sys.executable, "asked.py"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    by_curl = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True)

    assert by_python.stdout == "From code.\n", by_python.stderr
    assert json.loads(by_curl.stdout)["metadata"] == {"a": "b"}
    assert upstream.last.body["messages"][-1]["content"] == 'It\'s "quoted" \\ and\nlong'


def test_what_is_refused_is_told(playground: Tab, upstream: Upstream) -> None:
    upstream.script(refusal(400, "No such model."))
    ask(playground, "Hi")
    expect(playground.locator("#answer .bad")).to_contain_text("No such model.")
    playground.get_by_label("More parameters").fill('{"temperature": 9}')
    ask(playground, "Hi")
    expect(playground.locator("#answer .bad")).to_contain_text("temperature")
    playground.get_by_label("More parameters").fill("{")
    ask(playground, "Hi")
    expect(playground.locator("#answer .bad")).to_contain_text("more is no JSON")


def test_what_breaks_off_says_so_once_behind_what_came(playground: Tab, upstream: Upstream) -> None:
    upstream.script(Answer("Hello there", size=3, cut_after=3))
    ask(playground, "Hi")
    expect(playground.locator("#stored")).to_be_visible()

    expect(playground.locator("#answer pre")).to_contain_text("Hel")
    expect(playground.locator("#answer .bad")).to_have_count(1)
    expect(playground.locator("#answer")).to_contain_text("failed")


def test_an_answer_is_stopped(playground: Tab, upstream: Upstream) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello there", size=6, gate=gate))
    ask(playground, "Hi")
    expect(playground.locator("#answer pre")).to_have_text("Hello ")
    playground.get_by_role("button", name="Stop").click()

    expect(playground.locator("#answer .bad")).to_have_text("Stopped.")
    upstream.last.wait_gone()
    gate.open()


def test_nothing_that_comes_runs(tab: Tab, server: Running, upstream: Upstream) -> None:
    upstream.script(Answer(HOSTILE, reasoning=HOSTILE, calls=[Called("f", json.dumps({"a": HOSTILE}))]))
    hostile = {
        "model": f"m{HOSTILE}",
        "instructions": f"</textarea>{HOSTILE}",
        "input": f"</textarea>{HOSTILE}",
    }
    upstream.models = (f"listed{HOSTILE}",)
    tab.goto(f"{server.url}/dashboard/playground?{httpx2.QueryParams(hostile)}")
    function = {"type": "function", "name": "f", "description": HOSTILE, "parameters": {}}
    tab.get_by_label("Others").fill(json.dumps([function]))
    tab.get_by_role("button", name="Send").click()
    expect(tab.locator("#stored")).to_be_visible()

    assert tab.get_by_label("Input").input_value() == hostile["input"]
    assert tab.locator("#models option").get_attribute("value") == f"listed{HOSTILE}"
    assert HOSTILE in tab.locator("#answer").inner_text()
    assert tab.locator("main script, main img, main [onerror]").count() == 0
    assert "Playground" in tab.title()


def test_with_keys_the_playground_asks_for_whom_it_is(tab: Tab, upstream: Upstream, tmp_path: Path) -> None:
    keyed = Server(verify=True, keys={"one": hash_key("sk-of-one"), "two": hash_key("sk-of-two")})
    upstream.script(Answer("For one."))
    with Running(config_for(upstream, tmp_path, keyed)) as server:
        tab.goto(f"{server.url}/dashboard/playground")
        tab.get_by_label("API key").fill("sk-of-one")
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_label("Model").fill("m")
        ask(tab, "Hi")
        expect(tab.locator("#answer pre")).to_have_text("For one.")
        expect(tab.locator("#stored")).to_be_visible()
        place = f"{server.url}/v1/responses/{tab.locator('#stored').inner_text()}"

        assert httpx2.get(place, headers={"authorization": "Bearer sk-of-one"}).status_code == 200
        assert httpx2.get(place, headers={"authorization": "Bearer sk-of-two"}).status_code == 404


def test_the_api_behind_pages_changes_nothing_without_their_token(pages: httpx2.Client) -> None:
    body = {"model": "m", "input": "Hi"}
    refused = pages.post("/dashboard/v1/responses", json=body)
    token = re.findall(r'name="csrf-token" content="(\w+)"', pages.get("/dashboard").text)[0]
    made = pages.post("/dashboard/v1/vector_stores", json={}, headers={"x-csrf-token": token})

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "csrf"
    assert made.json()["object"] == "vector_store"
    assert "sandbox" in made.headers["content-security-policy"]
    assert pages.get(f"/dashboard/v1/vector_stores/{made.json()['id']}").status_code == 200
    assert pages.get("/dashboard/v1/nothing").json()["error"]["message"]
    assert pages.delete("/dashboard/v1/vector_stores/vs_1", headers={"x-csrf-token": "x"}).status_code == 403


def test_a_token_that_is_no_ascii_is_wrong(pages: httpx2.Client) -> None:
    answer = pages.post("/dashboard/v1/responses", json={}, headers={"x-csrf-token": "é".encode()})
    assert answer.status_code == 403
    assert pages.post("/dashboard/keys", data={"csrf": "é"}).status_code == 403


def test_a_form_that_is_too_large_is_refused(pages: httpx2.Client) -> None:
    assert pages.post("/dashboard/sign-in", data={"key": "A" * 100_000}).status_code == 413


def test_the_page_is_json_too(pages: httpx2.Client) -> None:
    found = pages.get("/dashboard/playground.json?model=m&input=Hi").json()

    assert found["filled"]["model"] == "m"
    assert isinstance(found["models"], list)
