"""Programs in V8: what they see, what they write, and that a hostile one ends only itself."""

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from antiphon.guard.pool import Limits, Pool
from antiphon.scripting.player import Player
from antiphon.scripting.program import (
    LONGEST,
    LONGEST_FAULT,
    MOST_CALLS,
    MOST_PARTS,
    Called,
    Played,
    Recorded,
    Script,
    Written,
    check,
)

NOW = 1_700_000_000_000
LANGUAGE_ONLY = [
    *("console", "setTimeout", "fetch", "require", "process", "WebAssembly", "Atomics", "SharedArrayBuffer"),
    *("WeakRef", "FinalizationRegistry", "Temporal", "performance", "XMLHttpRequest", "__timer_manager"),
]


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    player = Player()
    yield player
    await player.close()


async def played(player: Player, code: str, *recorded: Recorded, seed: int = 7) -> Played:
    return await player.play(Script(code, {"look": None, "sum": "a"}, seed, NOW, list(recorded)))


def words(done: Played) -> str:
    assert not done.calls
    assert done.fault is None
    return "\n".join(part.content for part in done.parts)


async def test_what_it_writes_and_returns_is_its_result(player: Player) -> None:
    done = await played(player, "text('one'); text({two: 2}); return [3]")
    assert words(done) == 'one\n{"two":2}\n[3]'


async def test_a_call_waits_for_its_answer_and_goes_on_with_it(player: Player) -> None:
    code = "const found = await tools.look({at: 'x'}); return found.n + 1"
    waits = await played(player, code)
    assert waits.calls == [Called(0, "look", '{"at":"x"}')]
    assert words(await played(player, code, Recorded(0, "look", None, {"n": 1}))) == "2"
    assert words(await played(player, code, Recorded(None, "look", {"at": "x"}, {"n": 2}))) == "3"


async def test_calls_that_are_made_together_wait_together(player: Player) -> None:
    code = "return await Promise.all([tools.look(), tools.sum({a: 1})])"
    assert [call.name for call in (await played(player, code)).calls] == ["look", "sum"]
    half = await played(player, code, Recorded(1, "sum", None, 5))
    assert [call.index for call in half.calls] == [0]
    assert words(await played(player, code, Recorded(1, "", None, 5), Recorded(0, "", None, 4))) == "[4,5]"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**20, 10**21], ids=str)
async def test_an_integer_of_any_size_is_a_number_to_a_program(player: Player, number: int) -> None:
    code = f"return await tools.look({{a: {number}}}) === {number}"
    (call,) = (await played(player, code)).calls
    asked = msgspec.json.decode(call.arguments)
    assert words(await played(player, code, Recorded(None, "look", asked, number))) == "true"
    assert words(await played(player, code, Recorded(0, "look", {"a": number}, number))) == "true"


async def test_calls_that_look_the_same_take_one_recorded_answer_each(player: Player) -> None:
    code = "return [await tools.look({a: 1}), await tools.look({a: 1})]"
    once = Recorded(None, "look", {"a": 1}, "first")
    assert [call.index for call in (await played(player, code, once)).calls] == [1]
    twice = Recorded(None, "look", {"a": 1}, "second")
    assert words(await played(player, code, once, twice)) == '["first","second"]'


async def test_a_call_that_failed_is_an_error_that_it_can_catch(player: Player) -> None:
    refused = Recorded(0, "look", None, None, "denied")
    assert (await played(player, "await tools.look()", refused)).fault == "Error: denied"
    caught = "try { await tools.look() } catch (error) { return error.message }"
    assert words(await played(player, caught, refused)) == "denied"


async def test_a_text_stands_for_the_only_argument_of_a_tool(player: Player) -> None:
    assert (await played(player, "await tools.sum('x')")).calls == [Called(0, "sum", '{"a":"x"}')]
    assert (await played(player, "await tools.look('x')")).calls == [Called(0, "look", '"x"')]


async def test_calls_that_nobody_awaits_are_made_all_the_same(player: Player) -> None:
    code = "tools.sum({a: 1}); text('done')"
    assert [call.name for call in (await played(player, code)).calls] == ["sum"]
    assert words(await played(player, code, Recorded(0, "sum", None, 1))) == "done"


async def test_images_are_parts_of_the_result(player: Player) -> None:
    url = "data:image/png;base64,AAAA"
    done = await played(player, f"image('{url}'); image({{image_url: '{url}', detail: 'low'}})")
    assert [(part.kind, part.content, part.detail) for part in done.parts] == [
        ("image", url, "auto"),
        ("image", url, "low"),
    ]
    elsewhere = await played(player, "image('https://example.com/a.png')")
    assert elsewhere.fault is not None
    assert "data: URL" in elsewhere.fault


async def test_time_stands_still_and_chance_follows_the_seed(player: Player) -> None:
    code = """const empty = new Intl.DateTimeFormat("en-US", {timeZone: "UTC"});
    return [Date.now(), +new Date(), Date.parse(Date()), empty.format(), empty.formatToParts().length,
            Intl.DateTimeFormat().resolvedOptions().timeZone, new Date(5).getTime(),
            new Date().constructor.now(), Math.random(), Math.random()]"""
    first, again = words(await played(player, code)), words(await played(player, code))
    assert first == again
    assert first.startswith(f'[{NOW},{NOW},{NOW},"11/14/2023",5,"UTC",5,{NOW},')
    assert words(await played(player, code, seed=8)) != first


@pytest.mark.parametrize(
    "name",
    LANGUAGE_ONLY,
)
async def test_there_is_nothing_but_the_language(player: Player, name: str) -> None:
    assert words(await played(player, f"return typeof {name}")) == "undefined"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("x +", "SyntaxError"),
        ("missing()", "ReferenceError: missing is not defined"),
        ("return tools.nothing()", "TypeError: tools.nothing is not a function"),
        ("throw 5", "Error: 5"),
        ("throw {toString() { throw 1 }, toJSON() { throw 2 }}", "Error: the program threw"),
        ("await new Promise(() => {})", "Error: the program waits for something that never happens"),
        ("await import('fs')", "Error: Not supported"),
        ("}); globalThis.escaped = 1; (async () => {", "SyntaxError"),
        ("function f() { f() } f()", "RangeError: Maximum call stack size exceeded"),
        ("await tools.look(1n)", "TypeError: Do not know how to serialize a BigInt"),
        ("await tools.look(() => 1)", "TypeError: tools.look() takes an object"),
        (f"for (let i = 0; i < {MOST_CALLS}; i++) tools.look(); await tools.look()", None),
        (f"text('x'.repeat({LONGEST + 1}))", "RangeError: the program's output is too large"),
        (f"await tools.look('x'.repeat({LONGEST}))", "RangeError: the arguments of the program's calls"),
        ("for (let i = 0; i < 1500000; i++) text('')", "RangeError: a program may write 10000 parts"),
        (f"image('data:image/png,', {{detail: 'x'.repeat({LONGEST})}})", "RangeError: the program's output"),
        ("new ArrayBuffer(2 ** 40)", "RangeError: Invalid array buffer length"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(player: Player, code: str, fault: str | None) -> None:
    done = await played(player, code)
    if fault is None:
        assert len(done.calls) == MOST_CALLS
    else:
        assert done.fault is not None
        assert done.fault.startswith(fault)


TAMPERING = [
    "Array.prototype.push = () => 0; Promise.prototype.then = null; JSON.stringify = () => 'x'",
    "Object.prototype.then = function (done) { done('x') }",
    "Object.prototype.toJSON = () => ({calls: 'no'})",
    "Array.prototype.toJSON = () => 5; Array.prototype[Symbol.iterator] = null",
    "Object.defineProperty(Object.prototype, '0', {get() { return 'x' }, set() {}})",
    "Reflect.apply = () => 0; Function.prototype.call = null; Function.prototype.apply = null",
    "globalThis.Promise = null; globalThis.String = null; globalThis.Error = null",
    "tools.look = null",
    "Error.prototype.toString = () => { throw 1 }; Error.prepareStackTrace = () => { throw 2 }",
    "text.constructor('return this')().Date = null; tools.look.constructor.prototype.x = 1",
]
_STATE = "Object.prototype.toJSON = function () { return 'calls' in this ? {...this, %s} : this }"
_ARRAYS = "Array.prototype.toJSON = function () { return this.length === %s }"
FORGING = [
    _STATE % "calls: Array(300000).fill(['look', '{}'])",
    _STATE % "calls: [['look', '{}']], answered: 7",
    _STATE % "calls: [['look', '{}'], ['look', '{}']], answered: -5",
    _STATE % "calls: [['look', 'not json']]",
    _STATE % "calls: [], ended: true, parts: Array(2000).fill(['text', 'x'.repeat(1e5), ''])",
    _ARRAYS % "2 ? ['look', 'not json'] : this",
    _ARRAYS % "1 ? Array(300000).fill(['look', '{}']) : this",
    "String.prototype.toJSON = () => 'not json'",
    "Array.prototype[Symbol.iterator] = null",
]
EXHAUSTING = [
    "while (true);",
    "(function f() { return Promise.resolve().then(f) })(); await 1",
    "const all = []; while (true) all.push(new Array(1000).fill(1.5))",
    "const all = []; while (true) all.push(new Uint8Array(1e7).fill(1))",
    "'x'.repeat(5e8).split('')",
    "/(a+)+$/.test('a'.repeat(60) + 'b')",
    "let s = 'x'; while (true) s += s",
    "const m = new Map(); for (let i = 0; ; i++) m.set(i, {i})",
    "let a = []; for (let i = 0; i < 1e9; i++) a = [a]; JSON.stringify(a)",
    "const f = async () => { await f(); await f() }; await f()",
    "return 'ab'.padEnd(5e8, 'é')",
    "new Array(4e9).fill(0)",
    "BigInt('9'.repeat(1e6)) ** 1000n",
    "text([...'x'.repeat(3e7)].map((x) => x + x).join())",
]


@pytest.mark.parametrize("code", TAMPERING)
async def test_a_program_that_tampers_with_its_globals_harms_itself_alone(player: Player, code: str) -> None:
    done = await played(player, f"{code}; await tools.look({{a: 1}}); text('still here')")
    assert isinstance(done, Played)
    assert words(await played(player, "return await 1 + JSON.stringify([1])")) == "1[1]"


@pytest.mark.parametrize("code", FORGING)
async def test_a_program_does_not_write_its_own_state(player: Player, code: str) -> None:
    code = f"{code}; const found = await tools.look({{a: 1}}); text(found)"
    assert (await played(player, code)).calls == [Called(0, "look", '{"a":1}')]
    assert words(await played(player, code, Recorded(0, "look", None, "found"))) == "found"


LONG = "x" * (LONGEST // 2)
FORGED = {
    "a number twice": Played([Called(1, "look", "{}")] * 2, []),
    "a number below zero": Played([Called(-5, "look", "{}")], []),
    "a number beyond the last": Played([Called(MOST_CALLS, "look", "{}")], []),
    "more calls than there may be": Played([Called(at, "look", "{}") for at in range(300_000)], []),
    "no tool": Played([Called(0, "nothing", "{}")], []),
    "no JSON": Played([Called(0, "look", "not json")], []),
    "half of JSON": Played([Called(0, "look", '{"a":')], []),
    "JSON that is too deep": Played([Called(0, "look", "[" * 100_000 + "]" * 100_000)], []),
    "long arguments": Played([Called(at, "look", f'"{LONG}"') for at in range(2)], []),
    "long texts": Played([], [Written("text", f"{LONG}.")] * 2),
    "many parts": Played([], [Written("text", "")] * (MOST_PARTS + 1)),
    "a long fault": Played([], [], "x" * (LONGEST_FAULT + 1)),
    "a long detail": Played([], [Written("image", "", f"{LONG}{LONG}.")]),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_what_no_program_comes_to_is_refused(forged: Played) -> None:
    with pytest.raises(ValueError, match=r"."):
        check(forged, Script("", {"look": None}, 7, NOW))


async def test_what_a_program_throws_is_told_in_so_many_words(player: Player) -> None:
    for thrown in ("'x'.repeat(100 * 2 ** 20)", "new Error('x'.repeat(100 * 2 ** 20))"):
        done = await played(player, f"throw {thrown}")
        assert done.fault is not None
        assert done.fault.startswith("Error: xxx")
        assert len(done.fault) == LONGEST_FAULT


HALVES = {"'👍'.slice(0, 1)": "\ufffd", "'👍'.slice(1)": "\ufffd", "'\\ud83d\\ud83d'": "\ufffd\ufffd"}


@pytest.mark.parametrize(("half", "unknown"), HALVES.items(), ids=["high", "low", "both high"])
async def test_half_a_character_is_told_as_one_that_is_unknown(
    player: Player, half: str, unknown: str
) -> None:
    assert words(await played(player, f"text('👍' + {half})")) == f"👍{unknown}"
    assert (await played(player, f"throw new Error({half})")).fault == f"Error: {unknown}"
    code = f"return await tools.look({{[{half}]: {half} + '👍\\\\ud83d'}})"
    (call,) = (await played(player, code)).calls
    arguments = msgspec.json.decode(call.arguments)
    assert arguments == {unknown: f"{unknown}👍\\ud83d"}
    assert words(await played(player, code, Recorded(None, "look", arguments, "found"))) == "found"


async def test_a_program_is_not_blamed_for_what_the_machine_is_at_fault_for(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/at/all")
        busy = await played(player, "return 1")
    assert busy.fault == "Error: the server is too busy to run the program; it may run later"
    assert words(await played(player, "return 1")) == "1"


async def test_a_fault_that_is_cut_within_a_character_is_told(player: Player) -> None:
    done = await played(player, f"throw new Error('x'.repeat({LONGEST_FAULT} - 8) + '👍👍👍')")
    assert done.fault is not None
    assert done.fault.endswith("x\ufffd")


async def test_arguments_that_could_not_be_passed_on_end_the_program_with_true_words(player: Player) -> None:
    done = await played(player, "let a = {}; for (let i = 0; i < 1000; i++) a = {a}; await tools.look(a)")
    assert done == replace(done, calls=[], fault="Error: the arguments of tools.look() are nested too deeply")


@pytest.mark.parametrize("code", EXHAUSTING)
async def test_a_program_that_takes_too_much_ends_itself_alone(code: str) -> None:
    player = Player(Limits(children=1, seconds=1, memory=512 * 2**20, counted="data"))
    begun = time.monotonic()
    try:
        done = await played(player, code)
        assert done.fault is not None
        assert done.fault.split(":")[0] in ("Error", "RangeError")
        assert time.monotonic() - begun < 60
        assert words(await played(player, "return 'next'")) == "next"
    finally:
        await player.close()


async def test_a_program_opens_no_file_and_no_connection_even_with_python_in_its_hands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What would be left to one that broke out of V8."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pool = Pool(Limits(children=1, seconds=5, memory=512 * 2**20, counted="data"))
    script = Script("return 1", {}, 7, NOW)
    try:
        assert await pool.call("tests.scripting.opening:opened", str(Path(__file__))) == [True, True]
        await pool.call("antiphon.scripting.v8:play", msgspec.json.encode(script))
        assert await pool.call("tests.scripting.opening:opened", str(Path(__file__))) == [False, False]
    finally:
        await pool.close()
