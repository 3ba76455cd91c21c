"""The embedded models of a configuration: fetched when they are missing, and run beside the server.

Each model is a process of its own. Workers find its socket, its file and its name in the settings.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.embedded import default_window
from antiphon.backends.llama import LlamaProcess
from antiphon.backends.llama_engine import slots
from antiphon.config import BackendSettings, Config
from antiphon.weights import gguf, library
from antiphon.weights.choice import Parts
from antiphon.weights.errors import WeightsError
from antiphon.weights.files import in_words
from antiphon.weights.gguf import Gguf
from antiphon.weights.reference import DEFAULT_NAME, Default, Reference, parse


class Wanted(Struct, frozen=True):
    """A model that is to run, and how."""

    file: Gguf
    name: str
    """By which it is asked for."""
    window: int
    """Tokens of context of each answer."""
    is_default: bool

    @property
    def memory(self) -> str:
        """What its process takes, in words."""
        answers = slots()
        context = in_words(self.file.token_bytes * self.window * answers)
        return (
            f"{in_words(self.file.size)} of weights and {context} for {answers} answers at once, each within "
            f"{self.window:,} tokens"
        )


@contextmanager
def running(settings: Config, models: Mapping[str, Wanted]) -> Iterator[Config]:
    """Runs the models, and puts what their backends need into the settings. Backends of one model share its
    process."""
    with ExitStack() as stack:
        engines: dict[tuple[Path, int], LlamaProcess] = {}
        backends = _named(settings.backends, models)
        for name, model in models.items():
            key = (model.file.path, model.window)
            if key not in engines:
                log = Path(settings.data_dir) / "logs" / f"llama-{name}.log"
                engine = LlamaProcess(model.file.path, log=log, alias=model.name, context=model.window)
                engines[key] = stack.enter_context(engine)
            backends[name] = _bound(backends[name], model, engines[key])
        yield replace(settings, backends=backends)


def is_embedded(backend: BackendSettings) -> bool:
    """Whether its model is to be run by us; one with a socket runs already."""
    return backend.type == "llama" and not backend.unix_socket


def wanted(settings: Config) -> dict[str, Wanted]:
    """The models to run, by the names of their backends, each with a name of its own. What is missing is
    fetched. Raises `WeightsError`."""
    found: dict[str, Wanted] = {}
    for name, backend in settings.backends.items():
        if is_embedded(backend):
            reference = parse(backend.model or "")
            path = fetched(reference, Path(settings.data_dir))
            model = _wanted(backend, reference, gguf.read(path))
            others = {each.name for each in found.values() if each.file.path != path}
            found[name] = replace(model, name=Parts((path.name,)).stem) if model.name in others else model
    return found


def _wanted(backend: BackendSettings, reference: Reference, file: Gguf) -> Wanted:
    is_default = isinstance(reference, Default)
    window = backend.context_window or default_window(file)
    if file.context and window > file.context:
        raise WeightsError(
            f"{reference} was trained for {file.context:,} tokens: its context_window cannot be {window:,}."
        )
    return Wanted(file, DEFAULT_NAME if is_default else file.name, window, is_default)


def fetched(reference: Reference, data_dir: Path) -> Path:
    """The file of a model; with a progress bar if it has to be fetched. Raises `WeightsError`."""
    path = library.find(reference, data_dir)
    return path or pull(reference, data_dir)


def pull(reference: Reference, data_dir: Path) -> Path:
    """Fetches or takes in a model, with a progress bar. Raises `WeightsError`."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"Fetching {reference} …", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Fetching {reference}", total=None)
        return library.pull(
            reference, data_dir, lambda done, total: bar.update(task, completed=done, total=total)
        )


def _bound(backend: BackendSettings, model: Wanted, engine: LlamaProcess) -> BackendSettings:
    """A backend that knows its process."""
    return replace(
        backend,
        model=None if model.is_default else str(model.file.path),
        context_window=model.window,
        unix_socket=str(engine.socket),
    )


def _named(
    backends: Mapping[str, BackendSettings], models: Mapping[str, Wanted]
) -> dict[str, BackendSettings]:
    """Every model can be asked for by its name, also when there are several of them. The first backend that
    named no models is still there for all other names, if no backend says that it is."""
    said = any(backend.default for backend in backends.values())
    first = next((name for name, backend in backends.items() if not backend.models), None)
    found = dict(backends)
    for name, model in models.items():
        if not found[name].models:
            default = found[name].default or (name == first and not said)
            found[name] = replace(found[name], models=[model.name], default=default)
    return found
