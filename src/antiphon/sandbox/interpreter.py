"""The Python in a sandbox: an IPython kernel whose messages stay small.

This runs inside, with the packages of the sandbox's environment alone (`sandbox/programs.py` starts it).
Nothing here protects anybody: code that runs beside it can change it. It makes honest code that prints or
shows too much end well, where the other side of the sockets would cut the connection.
"""

import codecs
import json
import os
import select
import shutil
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

from ipykernel.iostream import OutStream
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.session import Session

PRINTED = 1_000_000
"""Characters that one execution may print."""
TEXT = 1_000_000
"""Characters of any other text of a message."""
IMAGE = 6_000_000
"""Characters of an image, in base64."""
TOO_LARGE = "[An image that is too large to be shown. Save it as a file, or make it smaller.]"
PIPE = 1 << 16
"""Bytes that a pipe holds."""
SHOWN = ("image/png", "image/jpeg", "image/svg+xml", "text/plain")
"""What of a displayed value is sent."""


def cut(value: Any) -> Any:
    """What is sent of a part of a message."""
    if isinstance(value, str):
        return cut_text(value)
    if isinstance(value, dict):
        return {cut(key): cut(each) for key, each in value.items()}
    if isinstance(value, list):
        return [cut(each) for each in value]
    return value


def cut_text(text: str) -> str:
    """Lone halves of a character, which no message can carry, are written as Python writes them."""
    if len(text) > TEXT:
        text = f"{text[: TEXT // 2]}\n[…]\n{text[-TEXT // 2 :]}"
    return text.encode(errors="backslashreplace").decode()


def shown(data: dict[str, Any]) -> dict[str, Any]:
    """What is sent of a value that is displayed."""
    kept = {kind: data[kind] for kind in SHOWN if kind in data}
    for kind in SHOWN[:3]:
        if len(kept.get(kind, "")) > IMAGE:
            kept = {"text/plain": TOO_LARGE}
    return {kind: each if kind.startswith("image/") else cut(each) for kind, each in kept.items()}


def small(content: dict[str, Any]) -> dict[str, Any]:
    """What is sent of a message."""
    return {
        key: shown(value) if key == "data" and isinstance(value, dict) else cut(value)
        for key, value in content.items()
    }


def keep_messages_small() -> None:
    """All that the kernel sends goes through here."""
    serialize: Callable[..., Any] = Session.serialize

    def bounded(session: Session, message: dict[str, Any], ident: Any = None) -> Any:
        content = message.get("content")
        message = {**message, "content": small(content)} if isinstance(content, dict) else message
        return serialize(session, message, ident)

    Session.serialize = bounded


class Printed:
    """Counts what an execution prints, and drops what is too much."""

    def __init__(self) -> None:
        self._left = PRINTED
        self._write: Callable[..., Any] = OutStream.write

    def install(self) -> None:
        def write(stream: OutStream, text: str) -> int:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text)}")
            if self._left > 0:
                self._write(stream, text[: self._left])
                self._left -= len(text)
                if self._left <= 0:
                    self._write(stream, f"\n[What is printed after {PRINTED:,} characters is dropped.]\n")
            return len(text)

        OutStream.write = write

    def begin(self, *_: Any) -> None:
        self._left = PRINTED


class Piped:
    """What programs and libraries write to the descriptor itself, and not to `sys.stdout`.

    ipykernel hands it on in a thread, and an execution that ends does not wait for that thread: what was
    written last would come too late, and so never. Here the end of an execution hands on what is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def install(self) -> None:
        def watch(stream: OutStream) -> None:
            os.set_blocking(stream._fid, False)
            while stream._should_watch:
                select.select([stream._fid], [], [])
                self._hand_on(stream)

        OutStream._watch_pipe_fd = watch

    def finish(self, stream: OutStream) -> Callable[..., None]:
        """What is to be called at the end of each execution."""
        return lambda *_: self._hand_on(stream)

    def _hand_on(self, stream: OutStream) -> None:
        """As much as a pipe holds; of a program that goes on, the rest is the thread's."""
        with self._lock, suppress(BlockingIOError):
            written = os.read(stream._fid, PIPE)
            if not written:  # the code has closed its descriptor
                stream._should_watch = False
            elif stream._should_watch:
                stream.write(self._decoder.decode(written))


def wide(value: Any, printer: Any, _cycle: bool) -> None:
    """A table of pandas, in lines that are not folded."""
    import pandas

    with pandas.option_context("display.width", 250, "display.max_columns", 40):
        printer.text(repr(value))


class Forgotten(dict[int, list[Any]]):
    """Where IPython would keep all outputs, pictures too, for as long as it runs."""

    def __missing__(self, _key: int) -> list[Any]:
        return []


def nobody_types(*_: Any, **__: Any) -> str:
    __tracebackhide__ = True
    raise EOFError("input() does not work here: there is nobody who types.")


def configure(shell: Any) -> None:
    """As people and models expect it who do not sit before it."""
    shell.ask_exit = lambda: None  # `exit()` would take all variables along
    shell.kernel.raw_input = shell.kernel.getpass = nobody_types
    warnings.filterwarnings("ignore", message="To exit: use")
    for module in ("pandas", "pandas.core.frame"):
        shell.display_formatter.formatters["text/plain"].for_type_by_name(module, "DataFrame", wide)
    for name in ("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"):  # IPython sets them for people's eyes
        os.environ.pop(name, None)
    os.environ["TERM"] = "dumb"
    shell.history_manager.outputs = Forgotten()
    shell._tee = lambda channel: nullcontext()


def use_one_stream() -> None:
    """Of this process and of those that it starts: it keeps the order."""
    errors, sys.stderr = sys.stderr, sys.stdout
    errors.close()  # now, since it gives the descriptor back then
    os.dup2(1, 2)


def fonts() -> None:
    """matplotlib looks for fonts once and remembers them: the environment has what it found."""
    folder = os.path.join(os.environ.get("TMPDIR", "/tmp"), ".matplotlib")
    with suppress(OSError):
        shutil.copytree(os.path.join(sys.prefix, "share", "fonts"), folder, dirs_exist_ok=True)
        os.environ["MPLCONFIGDIR"] = folder


def main() -> None:
    given = json.loads(os.environ.pop("ANTIPHON_KERNEL"))
    with suppress(OSError):
        os.setpgid(0, 0)  # so that an interrupt reaches what was started here too
    fonts()
    keep_messages_small()
    printed, piped = Printed(), Piped()
    printed.install()
    piped.install()
    app = IPKernelApp.instance()
    app.transport, app.ip = "ipc", given["prefix"]
    app.shell_port, app.iopub_port, app.stdin_port, app.control_port, app.hb_port = range(1, 6)
    app.write_connection_file = lambda **_: None
    app.config.Session.key = given["key"].encode()
    app.config.HistoryManager.enabled = False
    app.config.InteractiveShell.colors = "nocolor"
    app.config.InteractiveShell.cache_size = 20
    app.config.IPCompleter.use_jedi = False
    app.initialize([])
    configure(app.shell)
    use_one_stream()
    app.shell.events.register("pre_execute", printed.begin)
    app.shell.events.register("post_execute", piped.finish(sys.stdout))
    app.start()


if __name__ == "__main__":
    main()
