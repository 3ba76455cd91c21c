"""Which backend answers to a model's name: by alias, by exact name, by pattern, then the default; and which
models answer in its place when it cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from functools import lru_cache, partial

import structlog
from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.anthropic.backend import Anthropic
from antiphon.backends.bounded import Bounded
from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import DIALECTS
from antiphon.backends.emulated import EmulatedTools
from antiphon.backends.gate import Gate
from antiphon.backends.named_models import NamedModel, Rated
from antiphon.backends.payload import capabilities
from antiphon.backends.provider import provider_of
from antiphon.backends.replicas import Replicas
from antiphon.backends.responses.backend import Responses
from antiphon.backends.upstream import ANSWER_BYTES
from antiphon.model import Backend, Capabilities, Model
from antiphon.protocol.errors import ApiError, InvalidRequest, one_of

# A listing does not wait for an upstream that hangs.
_LISTING_PATIENCE = 5.0
_PROBE_GRACE = 1.0
"""Seconds that a start waits for servers to say what they are."""
_PROBE_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between attempts to reach a server that is away."""
_MOST_KNOWN = 256
"""Names of models of which is remembered who answers to them."""
_LONGEST_KNOWN = 256
"""Characters of such a name."""

log = structlog.get_logger()


class BackendConfig(Struct, frozen=True, kw_only=True):
    """A backend, as the configuration has it; keys are already read from the environment."""

    name: str
    type: str = "chat_completions"
    base_url: str | None = None
    base_urls: Sequence[str] = ()
    """Of several servers with the same models."""
    model: str | None = None
    """Of an embedded model, the path of its file; None: the default one."""
    unix_socket: str | None = None
    api_key: str | None = None
    models: Sequence[str] | Mapping[str, str] = ()
    """Names or patterns; as a table: our name (or pattern) to the upstream's name."""
    default: bool | str = False
    """Answers names that nobody else does: under the name asked for (true), or always under this name."""
    dialect: str | None = None
    """None: the one that is known for the address."""
    timeout: float = 600.0
    first_byte_timeout: float | None = None
    """Seconds for the first byte of an answer; None: as long as `timeout`."""
    attempts: int = 2
    """How often a server that cannot just now is asked."""
    max_concurrency: int | None = None
    """Turns at once; None: any number."""
    fallbacks: Sequence[str] = ()
    """Models or backends that answer in its place."""
    hosted: Sequence[str] = ()
    """Tools that its server runs itself."""
    context_window: int | None = None
    """Tokens of the models' context; None: not known."""
    answer_bytes: int = ANSWER_BYTES
    """Of one answer, as it comes."""
    max_output_tokens: int | None = None
    """Tokens of an answer for which no request says how long it may be."""
    structured_output: bool = True
    """Its models can be held to a JSON schema."""
    text_calls: bool = True
    """Calls that its models write in their text are read."""
    text_runs: bool = True
    """Texts of streams are taken in runs (`splice`)."""


class Route(Struct, frozen=True):
    """Who answers, under which name, and what can be asked."""

    backend: Backend
    model: str
    capabilities: Capabilities
    name: str | None = None
    """Under which the backend is configured."""
    gate: Gate | None = None
    """What bounds how much it is asked at once."""
    settings: NamedModel | None = None
    """What the configuration says of the model."""
    provider: str = "openai"
    """Who is asked, as traces call it."""
    fallbacks: Sequence[str] = ()
    """Models or backends that answer in its place."""


class _Answering:
    """Who answers to a name, and the `others` in his place."""

    def __init__(self, route: Route, others: Sequence["_Answering"] = ()) -> None:
        self._route = route
        self.others = others

    def route(self) -> Route:
        """The same, with what can be asked by now: backends learn."""
        route = self._route
        can = route.backend.capabilities(route.model)
        if can is not route.capabilities:
            route = self._route = replace(route, capabilities=can)
        return route


class Offer(Struct, frozen=True):
    """A backend and the names under which it is reached."""

    backend: Backend
    models: Mapping[str, str]
    """Name or pattern to the upstream's name; an empty one is the name asked for."""
    default: bool | str = False
    name: str | None = None
    """Under which it is configured."""
    gate: Gate | None = None
    fallbacks: Sequence[str] = ()
    """Models or backends that answer in its place."""
    provider: str = "openai"
    """Who is asked, as traces call it."""


class Router:
    """Finds the backend for a name. It owns the backends."""

    def __init__(self, offers: Iterable[Offer], named: Iterable[NamedModel] = ()) -> None:
        """Raises ValueError for models and fallbacks that nobody answers to."""
        self._offers = tuple(offers)
        self._by_backend = {id(offer.backend): offer for offer in self._offers}
        names = [(name, upstream, o.backend) for o in self._offers for name, upstream in o.models.items()]
        self._patterns = [entry for entry in names if _is_pattern(entry[0])]
        self._exact: dict[str, tuple[str, Backend]] = {}
        for name, upstream, backend in names:
            if not _is_pattern(name):
                # The first backend that names a model has it.
                self._exact.setdefault(name, (upstream or name, backend))
        self._default = _default(self._offers)
        self._named = {model.name: model for model in named}
        aliases = [(alias, model.name) for model in self._named.values() for alias in model.aliases]
        self._aliases = {alias: name for alias, name in aliases if not _is_pattern(alias)}
        self._alias_patterns = [(alias, name) for alias, name in aliases if _is_pattern(alias)]
        self._known = lru_cache(maxsize=_MOST_KNOWN)(self._answering)
        for name in self._named:
            if self._find(name) is None:
                raise ValueError(
                    f"models.{name}: no backend answers to this name (models of [backends.NAME])"
                )
        for fallback in self._all_fallbacks():
            if self._in_place(fallback, "") is None:
                raise ValueError(f"fallbacks: '{fallback}' is neither a model nor a backend of this server")

    def resolve(self, name: str) -> Route:
        """Raises InvalidRequest for a name that nobody answers to."""
        return self._found(name).route()

    def candidates(self, route: Route, name: str) -> list[Route]:
        """The route of a name, and those in its place, in the order in which they are asked."""
        return [route, *(other.route() for other in self._found(name).others)] if route.fallbacks else [route]

    @property
    def backends(self) -> Sequence[Backend]:
        """In the order of the configuration."""
        return [offer.backend for offer in self._offers]

    @property
    def default_model(self) -> str | None:
        """The name that answers when none is given."""
        default = self._default.default if self._default else None
        return default if isinstance(default, str) else None

    @property
    def house_model(self) -> str | None:
        """The name for what the server itself asks: the default one, or the first that the default backend
        is configured with."""
        named = self._default.models if self._default else {}
        return self.default_model or next((name for name in named if not _is_pattern(name)), None)

    async def models(self) -> list[Model]:
        """What can be asked for: the configured names, and what the backends list of themselves."""
        listed = await asyncio.gather(*(_list(offer.backend) for offer in self._offers))
        backends = [(offer.backend, models) for offer, models in zip(self._offers, listed, strict=True)]
        known = {(id(backend), model.id): model for backend, models in backends for model in models}
        found = {}
        for name, (upstream, backend) in self._exact.items():
            model = known.get((id(backend), upstream)) or _unlisted(backend, upstream)
            found[name] = replace(model, id=name)
        for backend, models in backends:
            for model in models:
                if self._find(self._known_as(model.id)) == (model.id, backend):
                    found.setdefault(model.id, model)
        return list(found.values())

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        """While the block runs, the backends learn which servers answer; nearly always before it begins. A
        server that is away is asked again later."""
        asked = [asyncio.create_task(_probe(offer)) for offer in self._offers]
        watching = [asyncio.create_task(offer.backend.watch()) for offer in self._offers]
        try:
            if asked:
                await asyncio.wait(asked, timeout=_PROBE_GRACE)
            yield
        finally:
            for task in (*asked, *watching):
                task.cancel()
            await asyncio.gather(*asked, *watching, return_exceptions=True)

    def _found(self, name: str) -> _Answering:
        """Raises InvalidRequest."""
        found = self._known(name) if len(name) <= _LONGEST_KNOWN else self._answering(name)
        if found is None:
            message = f"The requested model '{name}' does not exist."
            raise InvalidRequest(message, param="model", code="model_not_found")
        return found

    def _answering(self, name: str) -> "_Answering | None":
        known = self._known_as(name)
        found = self._find(known)
        if found is None:
            return None
        routes = [self._route(*found, self._named.get(known))]
        for fallback in routes[0].fallbacks:
            other = self._in_place(fallback, known)
            if other and all((other.backend, other.model) != (r.backend, r.model) for r in routes):
                routes.append(other)
        return _Answering(routes[0], [_Answering(other) for other in routes[1:]])

    def _route(self, model: str, backend: Backend, settings: NamedModel | None) -> Route:
        offer = self._by_backend[id(backend)]
        can = backend.capabilities(model)
        fallbacks = (*(settings.fallbacks if settings is not None else ()), *offer.fallbacks)
        return Route(backend, model, can, offer.name, offer.gate, settings, offer.provider, fallbacks)

    def _known_as(self, name: str) -> str:
        """The name of the model of which this is an alias; else the name itself."""
        if name in self._aliases:
            return self._aliases[name]
        if name in self._exact or name in self._named:
            return name  # a pattern hides no model that is known by its name
        return next((own for pattern, own in self._alias_patterns if fnmatchcase(name, pattern)), name)

    def _in_place(self, fallback: str, name: str) -> Route | None:
        """A backend, with its model of the name that was asked for; or a model."""
        offer = next((offer for offer in self._offers if offer.name == fallback), None)
        if offer is not None:
            return self._route(_own_name(offer, name), offer.backend, None)
        found = self._find(self._known_as(fallback))
        return found and self._route(*found, None)

    def _all_fallbacks(self) -> Iterator[str]:
        for offer in self._offers:
            yield from offer.fallbacks
        for model in self._named.values():
            yield from model.fallbacks

    async def close(self) -> None:
        await asyncio.gather(*(offer.backend.close() for offer in self._offers))

    def _find(self, name: str) -> tuple[str, Backend] | None:
        if not name:
            return None
        if exact := self._exact.get(name):
            return exact
        for pattern, upstream, backend in self._patterns:
            if fnmatchcase(name, pattern):
                return upstream or name, backend
        if self._default is None:
            return None
        default = self._default.default
        return default if isinstance(default, str) else name, self._default.backend


def _is_pattern(name: str) -> bool:
    return any(char in name for char in "*?[")


def _default(offers: Sequence[Offer]) -> Offer | None:
    """The backend that says so; else the first that names no models, which is there for all of them."""
    said = next((offer for offer in offers if offer.default), None)
    return said or next((offer for offer in offers if not offer.models), None)


def _own_name(offer: Offer, name: str) -> str:
    """What a backend calls the model that is asked for by a name."""
    for known, upstream in offer.models.items():
        if known == name or (_is_pattern(known) and fnmatchcase(name, known)):
            return upstream or name
    return offer.default if isinstance(offer.default, str) else name


def _unlisted(backend: Backend, name: str) -> Model:
    """A model that is configured, and of which its backend says nothing."""
    return Model(name, context_window=backend.capabilities(name).context_window)


async def _list(backend: Backend) -> Sequence[Model]:
    """A backend that cannot say has nothing to list."""
    try:
        async with asyncio.timeout(_LISTING_PATIENCE):
            return await backend.models()
    except (ApiError, TimeoutError):
        return ()


async def _probe(offer: Offer) -> None:
    for pause in _PROBE_PAUSES:
        try:
            async with asyncio.timeout(_LISTING_PATIENCE):
                if found := await offer.backend.probe():
                    log.info("backend known", backend=offer.name, found=found)
                return
        except (ApiError, TimeoutError):
            await asyncio.sleep(pause)


# ---- from the configuration -------------------------------------------------------------------------

Maker = Callable[[BackendConfig], Backend]


def _chat_completions(config: BackendConfig) -> Backend:
    base_url = _base_url(config)
    if config.dialect and config.dialect not in DIALECTS:
        known = one_of(tuple(DIALECTS))
        raise ValueError(f"backends.{config.name}.dialect: {config.dialect!r} is none of {known}")
    backend = ChatCompletions(
        base_url,
        dialect=DIALECTS[config.dialect] if config.dialect else None,
        api_key=config.api_key,
        unix_socket=config.unix_socket,
        can=lambda dialect: _configured(config, capabilities(dialect)),
        read_timeout=config.timeout,
        text_calls=config.text_calls,
        text_runs=config.text_runs,
        answer_bytes=config.answer_bytes,
        attempts=config.attempts,
        name=config.name,
    )
    return _helped(config, backend)


def _streaming(kind: type[Anthropic] | type[Responses], usual: str, config: BackendConfig) -> Backend:
    """`usual`: where it is when nothing is said."""
    backend = kind(
        _base_url(config, usual),
        api_key=config.api_key,
        unix_socket=config.unix_socket,
        timeout=config.timeout,
        answer_bytes=config.answer_bytes,
        text_calls=config.text_calls,
        attempts=config.attempts,
        configured=partial(_configured, config),
        name=config.name,
    )
    return _helped(config, backend)


def _base_url(config: BackendConfig, usual: str = "") -> str:
    """Raises ValueError where nothing says where the server is."""
    base_url = config.base_url or ("http://localhost/v1" if config.unix_socket else usual)
    if not base_url:
        raise ValueError(f"backends.{config.name} needs a base_url")
    return base_url


def _helped(config: BackendConfig, backend: Backend) -> Backend:
    """The backend, with what is done here for models whose server does not do it."""
    if config.max_output_tokens is not None:
        backend = Bounded(backend, config.max_output_tokens)
    return EmulatedTools(backend)


def _configured(config: BackendConfig, can: Capabilities) -> Capabilities:
    """What the configuration says of what a model can, over what is known of it."""
    window = config.context_window or can.context_window
    can = replace(can, context_window=window, hosted=frozenset(config.hosted))
    return can if config.structured_output else replace(can, json_schema=False, json_object=False)


MAKERS: dict[str, Maker] = {
    "chat_completions": _chat_completions,
    "anthropic": partial(_streaming, Anthropic, "https://api.anthropic.com/v1"),
    "responses": partial(_streaming, Responses, ""),
}
"""What makes a backend of each type. Other modules add theirs."""


def build(
    configs: Iterable[BackendConfig],
    makers: Mapping[str, Maker] = MAKERS,
    named: Sequence[NamedModel] = (),
) -> Router:
    """The router for a configuration. Raises ValueError for one that makes no sense."""
    offers = [_offer(config, makers) for config in configs]
    return Router([_rated(offer, offers, named) for offer in offers], named)


def _rated(offer: Offer, offers: Sequence[Offer], named: Sequence[NamedModel]) -> Offer:
    """The offer, with what the configuration says of what its models can."""
    said = [model for model in named if model.capabilities]
    known = {_own_name(offer, model.name): model.capabilities for model in said if _has(offer, offers, model)}
    return replace(offer, backend=Rated(offer.backend, known)) if known else offer


def _has(offer: Offer, offers: Sequence[Offer], model: NamedModel) -> bool:
    """Whether a backend has a model: it names it, or is there for what nobody names."""
    naming = [each for each in offers if any(fnmatchcase(model.name, known) for known in each.models)]
    return offer in naming or (not naming and offer is _default(offers))


def _offer(config: BackendConfig, makers: Mapping[str, Maker]) -> Offer:
    if config.type not in makers:
        raise ValueError(f"backends.{config.name}.type: {config.type!r} is none of {one_of(tuple(makers))}")
    models = config.models if isinstance(config.models, Mapping) else dict.fromkeys(config.models, "")
    return Offer(
        _made(config, makers[config.type]),
        models,
        config.default,
        config.name,
        Gate(config.max_concurrency) if config.max_concurrency else None,
        config.fallbacks,
        provider_of(config.type, config.base_url),
    )


def _made(config: BackendConfig, make: Maker) -> Backend:
    """Several servers, or one whose first byte is waited for by itself, stand behind one backend. What one of
    several does not answer is another's at once."""
    if len(config.base_urls) > 1:
        servers = [replace(config, base_url=url, attempts=1) for url in config.base_urls]
    elif config.first_byte_timeout is not None:
        servers = [config]
    else:
        return make(config)
    made = [(each.base_url or each.unix_socket or config.name, make(each)) for each in servers]
    return Replicas(made, config.first_byte_timeout)
