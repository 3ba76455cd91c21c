"""`antiphon doctor`, run as a person would."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.moderators import ServedModerator
from tests.scripted import Answer, Called, Upstream, refusal
from tests.tools.images_server import ImagesServer
from tests.tools.rerankers import ServedReranker
from tests.weights.heads import SMALL, gguf_file

from antiphon import config


def doctor(
    tmp_path: Path, *arguments: str, toml: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "antiphon.toml").write_text(toml)
    command = [sys.executable, "-m", "antiphon", "doctor", "--data-dir", str(tmp_path / "data"), *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return subprocess.run(
        command, cwd=tmp_path, env=kept | environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_a_backend_it_says_what_serve_would_do(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0
    assert "SmolLM2-135M-Instruct, which `antiphon serve` fetches and runs" in done.stdout


def test_embedded_models_are_there_or_to_be_fetched_or_missing(tmp_path: Path) -> None:
    (tmp_path / "Tiny-Q8_0.gguf").write_bytes(gguf_file(SMALL))
    models = {"here": "Tiny-Q8_0.gguf", "far": "hf:owner/repo:Q4_K_M", "none": "gone.gguf"}
    toml = "".join(
        f'[backends.{name}]\ntype = "llama"\nmodel = "{model}"\n' for name, model in models.items()
    )

    done = doctor(tmp_path, toml=toml)

    assert done.returncode == 1
    assert re.search(
        r"ok +backend here: Tiny-Q8_0\.gguf \(\d+ kB\), which `antiphon serve` runs", done.stdout
    )
    assert "backend far: hf:owner/repo:Q4_K_M, which `antiphon serve` fetches and runs" in done.stdout
    assert "`antiphon pull hf:owner/repo:Q4_K_M` fetches it now." in done.stdout
    assert "FAILED  backend none: There is no file" in done.stdout


def test_an_embedder_elsewhere_needs_what_searches_stand_on(tmp_path: Path) -> None:
    toml = '[embeddings]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['numpy'] = None\n")

    assert "search: files can be searched" in doctor(tmp_path, toml=toml).stdout
    without = doctor(tmp_path, toml=toml, PYTHONPATH=str(tmp_path)).stdout
    assert "search: files cannot be searched" in without
    assert "pip install 'antiphon[retrieval]'" in without


def test_programs_need_v8(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['py_mini_racer'] = None\n")

    assert "programs: models can write programs that call tools" in doctor(tmp_path).stdout
    without = doctor(tmp_path, PYTHONPATH=str(tmp_path)).stdout
    assert "programs: no V8 is there: programmatic_tool_calling is not offered" in without
    assert "pip install 'antiphon[programs]'" in without


def test_what_judges_is_asked(tmp_path: Path) -> None:
    assert "ok      moderation: nothing judges" in doctor(tmp_path).stdout
    with ServedModerator({}) as moderator:
        toml = f'[moderation]\nbase_url = "{moderator.url}/v1"\nmodel = "m"\n'
        assert f"ok      moderation: {moderator.url}/v1 judges" in doctor(tmp_path, toml=toml).stdout
        moderator.mood = "broken"
        done = doctor(tmp_path, toml=toml)
        unset = doctor(tmp_path, toml=toml + 'api_key_env = "NO_SUCH_KEY"\n')
    assert done.returncode == 1
    assert "FAILED  moderation: The moderation failed" in done.stdout
    assert "HTTP 401: Incorrect API key provided." in done.stdout
    assert "its key is read from NO_SUCH_KEY" in unset.stdout


def test_a_model_that_judges_is_asked_when_backends_are(tmp_path: Path) -> None:
    with Upstream() as upstream:
        upstream.on(lambda body: body["model"] == "llama-guard", Answer("safe"))
        toml = f'[moderation]\njudge = "llama-guard"\n[backends.a]\nbase_url = "{upstream.base_url}"\n'
        assert "ok      moderation: llama-guard judges" in doctor(tmp_path, toml=toml).stdout
        assert upstream.requests == []
        assert "ok      moderation: llama-guard judges" in doctor(tmp_path, "--deep", toml=toml).stdout
        assert [request.body["model"] for request in upstream.requests if len(request.body["messages"]) == 1]
        lost = toml.replace("[backends.a]\n", '[backends.a]\nmodels = ["b"]\n')
        done = doctor(tmp_path, "--deep", toml=lost)
    assert "FAILED  moderation:" in done.stdout
    assert "The requested model 'llama-guard' does not exist" in done.stdout


def test_a_reranker_is_asked(tmp_path: Path) -> None:
    with ServedReranker({"blue": 0.9}) as reranker:
        toml = f'[reranker]\nbase_url = "{reranker.url}/v1"\nmodel = "m"\n'
        assert f"ok      reranker: {reranker.url}/v1 ranks results" in doctor(tmp_path, toml=toml).stdout
        reranker.mood = "broken"
        done = doctor(tmp_path, toml=toml)
    assert done.returncode == 1
    assert "FAILED  reranker: The reranker at" in done.stdout
    assert "HTTP 404: No such model." in done.stdout


def test_an_image_server_is_asked_what_it_is(tmp_path: Path) -> None:
    with ImagesServer("sglang") as server:
        toml = f'[images]\nbase_url = "{server.base_url}"\nmodel = "flux"\n'
        shown = doctor(tmp_path, toml=toml).stdout
        keyless = doctor(tmp_path, toml=f'{toml}api_key_env = "NO_SUCH_KEY"\n')
    gone = doctor(tmp_path, toml=toml)

    assert f"images: made by flux at {server.base_url} (dialect sglang)" in shown
    assert "FAILED  images: the key is read from NO_SUCH_KEY, which is not set" in keyless.stdout
    assert f"FAILED  images: The image server at {server.base_url} cannot be reached" in gone.stdout
    assert (keyless.returncode, gone.returncode) == (1, 1)


def test_a_backend_is_shown_with_its_dialect_models_and_abilities(tmp_path: Path, upstream: Upstream) -> None:
    done = doctor(tmp_path, "--upstream", upstream.base_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backend upstream: a server at" in done.stdout
    assert "models: " in done.stdout
    assert "can: functions" in done.stdout
    assert (
        "not sent, and named in x-antiphon-warnings: user, safety_identifier, prompt_cache_key" in done.stdout
    )
    assert "images: no pictures are made: image_generation is not offered" in done.stdout
    assert 'base_url = "http://HOST/v1" and model = "MODEL" of [images] turn it on.' in " ".join(
        done.stdout.split()
    )


def test_the_tools_are_shown_that_a_backends_server_runs(tmp_path: Path, upstream: Upstream) -> None:
    toml = f'[backends.far]\ntype = "responses"\nbase_url = "{upstream.base_url}"\n'

    done = doctor(tmp_path, toml=f'{toml}hosted = ["web_search", "image_generation"]\n')

    assert "backend far: its server runs: image_generation, web_search" in done.stdout
    assert "its server runs" not in doctor(tmp_path, toml=toml).stdout


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("anthropic", "which does not say what its models take"),
        ("responses", "backend far: Responses API at http://127.0.0.1"),
    ],
)
def test_a_backend_of_another_api_is_shown_too(
    tmp_path: Path, upstream: Upstream, kind: str, words: str
) -> None:
    done = doctor(tmp_path, toml=f'[backends.far]\ntype = "{kind}"\nbase_url = "{upstream.base_url}"\n')

    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stdout
    assert "backend far: models: scripted" in done.stdout
    assert "can: functions" in done.stdout


def test_a_backend_that_is_away_fails(tmp_path: Path) -> None:
    done = doctor(tmp_path, toml='[backends.gone]\nbase_url = "http://127.0.0.1:9/v1"\n')
    assert done.returncode == 1
    assert "FAILED  backend gone: The upstream at http://127.0.0.1:9/v1 cannot be reached" in done.stdout
    assert "Does it run there? base_url is its URL, with /v1." in done.stdout


def test_a_key_that_is_not_set_fails(tmp_path: Path, upstream: Upstream) -> None:
    toml = f'[backends.far]\nbase_url = "{upstream.base_url}"\napi_key_env = "NO_SUCH_KEY"\n'
    done = doctor(tmp_path, toml=toml)
    assert done.returncode == 1
    assert "NO_SUCH_KEY, which is not set" in done.stdout


def test_a_server_without_keys_that_others_reach_fails(tmp_path: Path) -> None:
    done = doctor(tmp_path, toml='[server]\nhost = "0.0.0.0"\n')
    assert done.returncode == 1
    assert "`antiphon key PROJECT` makes a key." in done.stdout


def test_it_says_which_keys_let_in(tmp_path: Path) -> None:
    keys = f'[server.keys]\nblog = "{config.hash_key("a")}"\nshop = "{config.hash_key("b")}"\n'
    some = doctor(tmp_path, toml=f"{keys}[keys.shop]\nconcurrency = 1\n")
    required = doctor(tmp_path, toml="[server]\nrequire_keys = true\nhost = '0.0.0.0'\n")

    assert "ok      keys: 2 in [server.keys], 1 of them with [keys.NAME]" in some.stdout
    assert "ok      keys: none in [server.keys]: who has one that was made at run time" in required.stdout
    assert "`antiphon key create NAME --admin` makes one." in required.stdout


def test_deep_sends_tiny_requests(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(
        Answer("OK"), Answer(calls=[Called("report", '{"word": "OK"}')]), refusal(500, "No schemas here")
    )
    done = doctor(tmp_path, "--deep", "--json", "--upstream", upstream.base_url)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    tried = [(each["state"], each["words"].partition(":")[0]) for each in findings][-3:]
    assert tried == [("ok", "an answer"), ("ok", "a forced call"), ("failed", "an answer held to a schema")]
    assert done.returncode == 1


def test_the_sandbox_is_shown_with_what_is_missing(tmp_path: Path) -> None:
    off = doctor(tmp_path, ANTIPHON_SANDBOX_DRIVER="none")
    without = doctor(tmp_path, PATH=str(tmp_path))
    wrong = doctor(tmp_path, ANTIPHON_SANDBOX_ENVIRONMENT=str(tmp_path))

    assert "ok      sandbox: turned off by driver of [sandbox]" in off.stdout
    assert "warn    sandbox: no code from models runs. bubblewrap is not installed: `" in without.stdout
    assert without.returncode == 0
    if shutil.which("bwrap"):
        assert "FAILED  sandbox: environment of [sandbox] names" in wrong.stdout
        assert "sandbox: bubblewrap; its Python is made when code first runs" in doctor(tmp_path).stdout
    assert list(tmp_path.glob("data/sandbox/python-*")) == []
