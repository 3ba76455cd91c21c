"""The embedded model for real: a child process, its weights, and what the backend makes of it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.kept_model import kept_model

from antiphon.backends.llama import LlamaProcess, embedded, readiness
from antiphon.model import (
    Backend,
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    Format,
    Function,
    Grammar,
    JsonSchema,
    Message,
    NamedFunction,
    Sampling,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.protocol import errors
from antiphon.weights.reference import DEFAULT_NAME

pytestmark = pytest.mark.embedded

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "hot": {"type": "boolean"}},
    "required": ["city", "hot"],
    "additionalProperties": False,
}


COUNT = Grammar("lark", 'start: "one two three four five"')
"""Which words this small model finds by itself is nothing to test."""


def say(text: str, **rest: object) -> Turn:
    message = Message("user", (TextPart(text),))
    return Turn(model=DEFAULT_NAME, messages=(message,), **{"max_tokens": 60, **rest})  # type: ignore[arg-type]


async def answer(backend: Backend, turn: Turn) -> list[Delta]:
    return [delta async for batch in backend.stream(turn) for delta in single(batch)]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        os.sched_yield()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def model() -> Path:
    return kept_model()


@pytest.fixture(scope="module")
def engine(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaProcess]:
    with LlamaProcess(model, log=tmp_path_factory.mktemp("llama") / "llama.log") as process:
        yield process


@pytest.fixture
async def backend(engine: LlamaProcess) -> AsyncIterator[Backend]:
    backend = embedded(engine.socket, patience=60)
    yield backend
    await backend.close()


# ---- what it answers --------------------------------------------------------------------------------


async def test_it_answers_in_pieces_and_ends_with_its_usage_and_its_reason(backend: Backend) -> None:
    deltas = await answer(backend, say("Count.", format=COUNT))

    assert text_of(deltas) == "one two three four five"
    assert len([delta for delta in deltas if isinstance(delta, TextDelta)]) > 3
    assert deltas[-1] == Finished("stop")
    usage = [delta for delta in deltas if isinstance(delta, UsageDelta)][-1]
    assert usage.input_tokens > 10
    assert usage.output_tokens >= 5


async def test_an_answer_that_reaches_its_limit_says_so(backend: Backend) -> None:
    deltas = await answer(backend, say("Count.", format=COUNT, max_tokens=4))

    assert deltas[-1] == Finished("length")
    assert [delta for delta in deltas if isinstance(delta, UsageDelta)][-1].output_tokens == 4


async def test_a_schema_is_enforced(backend: Backend) -> None:
    turn = say("Is it hot in Cairo?", format=JsonSchema("weather", CITY), max_tokens=200)

    told = json.loads(text_of(await answer(backend, turn)))

    assert isinstance(told["city"], str)
    assert isinstance(told["hot"], bool)
    assert set(told) == {"city", "hot"}


@pytest.mark.parametrize(
    ("grammar", "fits"),
    [
        (Grammar("lark", 'start: "yes" | "no"'), {"yes", "no"}),
        (Grammar("regex", "(red|green)/blue"), {"red/blue", "green/blue"}),
    ],
)
async def test_a_grammar_is_enforced(backend: Backend, grammar: Format, fits: set[str]) -> None:
    assert text_of(await answer(backend, say("Tell me a story.", format=grammar))) in fits


async def test_a_forced_call_is_made_with_arguments_that_fit(backend: Backend) -> None:
    weather = Function("get_weather", "The weather of a city.", CITY, strict=True)
    turn = say("How is Cairo?", functions=(weather,), choice=NamedFunction("get_weather"), max_tokens=200)

    deltas = await answer(backend, turn)

    assert [delta.name for delta in deltas if isinstance(delta, CallStarted)] == ["get_weather"]
    arguments = "".join(delta.text for delta in deltas if isinstance(delta, CallArguments))
    assert set(json.loads(arguments)) == {"city", "hot"}
    assert deltas[-1] == Finished("calls")


@pytest.mark.parametrize("alternatives", [0, 3])
async def test_logprobs_come_with_as_many_alternatives_as_were_asked_for(
    backend: Backend, alternatives: int
) -> None:
    turn = say("Count.", format=COUNT, sampling=Sampling(top_logprobs=alternatives), max_tokens=3)

    deltas = await answer(backend, turn)

    told = [logprob for delta in deltas if isinstance(delta, TextDelta) for logprob in delta.logprobs]
    assert [len(logprob.top_logprobs) for logprob in told] == [alternatives] * 3


async def test_its_context_is_counted_as_it_is_billed(backend: Backend) -> None:
    turn = say("Count me.", max_tokens=1)

    deltas = await answer(backend, turn)

    billed = [delta for delta in deltas if isinstance(delta, UsageDelta)][-1].input_tokens
    assert await backend.count_tokens(turn) == billed


async def test_a_context_that_is_too_long_is_the_clients_fault(backend: Backend) -> None:
    with pytest.raises(errors.InvalidRequest) as told:
        await answer(backend, say("word " * 9000))

    assert told.value.code == "context_length_exceeded"


async def test_it_lists_its_model(backend: Backend) -> None:
    assert [model.id for model in await backend.models()] == [DEFAULT_NAME]


async def test_many_at_one_time_are_all_answered(backend: Backend) -> None:
    turns = [answer(backend, say(f"Count to {number}.", max_tokens=8)) for number in range(8)]

    answers = await asyncio.gather(*turns)

    assert all(isinstance(deltas[-1], Finished) for deltas in answers)


# ---- how it lives -----------------------------------------------------------------------------------


async def test_an_engine_that_is_killed_comes_back(model: Path, tmp_path: Path) -> None:
    with LlamaProcess(model, log=tmp_path / "llama.log") as process:
        ready = readiness(process.socket, 60)
        await ready()
        first = process.pid
        assert first
        os.kill(first, 9)
        until(lambda: process.pid not in (first, None))
        await ready()

        backend = embedded(process.socket)
        deltas = await answer(backend, say("Say hi.", max_tokens=2))
        await backend.close()

    assert isinstance(deltas[-1], Finished)


async def test_an_engine_that_dies_in_mid_answer_is_an_upstream_fault(model: Path, tmp_path: Path) -> None:
    with LlamaProcess(model, log=tmp_path / "llama.log") as process:
        backend = embedded(process.socket, patience=60)
        batches = backend.stream(say("Tell a long story.", max_tokens=2000))
        await anext(batches)
        assert process.pid
        os.kill(process.pid, 9)
        with pytest.raises(errors.UpstreamError):
            _rest = [batch async for batch in batches]

        await backend.close()


async def test_requests_that_come_too_early_wait_so_long_and_no_longer(model: Path, tmp_path: Path) -> None:
    with LlamaProcess(model, log=tmp_path / "llama.log") as process:
        with pytest.raises(errors.Unavailable, match="still starting") as told:
            await readiness(process.socket, patience=0)()
        assert told.value.retry_after

        await readiness(process.socket, patience=60)()


async def test_a_model_that_cannot_be_loaded_is_reported_with_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    log = tmp_path / "logs" / "llama.log"

    with (
        LlamaProcess(broken, log=log) as process,
        pytest.raises(errors.Unavailable, match=f"does not start.*{log}"),
    ):
        await readiness(process.socket, patience=60)()

    assert "llama.cpp does not start" in log.read_text(encoding="utf-8")


async def test_stopping_leaves_no_process_and_no_socket(model: Path, tmp_path: Path) -> None:
    process = LlamaProcess(model, log=tmp_path / "llama.log")
    process.start()
    await readiness(process.socket, 60)()
    child = process.pid
    assert child

    process.stop()

    assert not is_running(child)
    assert not process.socket.parent.exists()


async def test_stopping_while_it_loads_does_not_wait_for_it(model: Path, tmp_path: Path) -> None:
    process = LlamaProcess(model, log=tmp_path / "llama.log")
    process.start()
    process.stop()

    assert process.pid is None
    assert not process.socket.parent.exists()


def test_the_engine_dies_with_its_parent_however_that_dies(model: Path, tmp_path: Path) -> None:
    owner = f"""
import asyncio
from pathlib import Path
from antiphon.backends.llama import LlamaProcess, readiness

process = LlamaProcess(Path({str(model)!r}), log=Path({str(tmp_path / "llama.log")!r}))
process.start()
asyncio.run(readiness(process.socket, 60)())
print(process.pid, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()

    until(lambda: not is_running(child))
