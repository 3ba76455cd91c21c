"""What can be set of model servers: those that answer, and those that embed, rank, paint and judge."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class BackendSettings(Struct, frozen=True, kw_only=True):
    """`[backends.NAME]`: something that answers."""

    type: Literal["chat_completions", "anthropic", "responses", "llama"] = "chat_completions"
    """What is spoken there: Chat Completions, Anthropic's Messages API, the Responses API; or a model that
    runs here."""
    model: str | None = None
    """For `llama`, the model that runs: `hf:OWNER/REPO`, `hf:OWNER/REPO:Q4_K_M`, the path of a GGUF file, or
    the name of one that was pulled; none: SmolLM2-135M-Instruct. `antiphon serve` fetches what is missing."""
    base_url: str | None = None
    """Of the server, with its `/v1`. For `anthropic`, none is Anthropic's own."""
    base_urls: list[str] = msgspec.field(default_factory=list)
    """Of several servers with the same models, instead of `base_url`. A turn goes where its beginning is in
    the cache already; what one server does not answer is another's."""
    unix_socket: str | None = None
    """Reach the server through this socket. For `llama`, `antiphon serve` sets it."""
    api_key_env: str | None = None
    """The environment variable that holds the upstream's key: secrets are not written in files."""
    models: list[str] | dict[str, str] = msgspec.field(default_factory=list)
    """Names (or patterns, `gpt-*`) that it answers; as a table: our name to the upstream's name."""
    default: bool | str = False
    """Answers names that nobody else does: under the name asked for (true), or always under this name."""
    dialect: str | None = None
    """Whose Chat Completions it speaks; none: the plain one. Other types have no dialects."""
    timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds without a byte after which the upstream counts as gone."""
    first_byte_timeout: Annotated[float, Meta(gt=0)] | None = None
    """Seconds for the first byte of an answer, which comes when the model has read the request. None: as
    long as `timeout`."""
    max_concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Turns that the upstream is asked for at once, by each server process; what is beyond that waits. None:
    any number."""
    fallbacks: list[str] = msgspec.field(default_factory=list)
    """Names of models or backends that answer in its place when it cannot, in their order."""
    hosted: list[str] = msgspec.field(default_factory=list)
    """For `responses`, the tools that its server runs itself when a request asks for them: `web_search`,
    `code_interpreter`, `image_generation`. Those that are not named are run here."""
    context_window: Annotated[int, Meta(ge=256)] | None = None
    """Tokens of the models' context: what is longer is refused before it is sent, or shortened on request.
    For `llama`, how many are kept in memory for each answer; none: as many as it was trained for, up to
    8,192."""
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    """Tokens of an answer when its request does not say how many: it ends as incomplete there. None: as many
    as the model likes; for SmolLM2-135M-Instruct 1,024, since it often does not know when to stop."""
    structured_output: bool = True
    """Whether its models can be held to a JSON schema. If not, they read it in words, and their
    answers are checked."""
    text_calls: bool = True
    """Whether calls that its models write in their text, in a syntax of their own, are read as calls when the
    function is on offer."""
    text_runs: bool = True
    """Whether the chunks of a streamed text, or of a call's arguments, are told apart by comparison with
    those before, as far as they are alike, and handed on together. It is faster, and clients get the same
    either way."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """`[models.NAME]`: a model that some backend has, by the name under which it is asked for."""

    aliases: list[str] = msgspec.field(default_factory=list)
    """Other names (or patterns, `gpt-*`) for it."""
    fallbacks: list[str] = msgspec.field(default_factory=list)
    """Names of models or backends that answer in its place when it cannot; they come before those of its
    backend."""
    instructions: str | None = None
    """What it is told before all else, in every response."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """Where the request does not say."""
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Where the request does not say."""
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    """Where the request does not say."""
    reasoning_effort: Effort | None = None
    """Where the request does not say."""
    efforts: list[Effort] = msgspec.field(default_factory=list)
    """The reasoning efforts that it takes: others are refused before it is asked. None named: whatever its
    server takes."""
    context_window: Annotated[int, Meta(ge=256)] | None = None
    """Tokens of its context; none: what its backend says."""
    images: bool | None = None
    """Whether it reads images; none, as for all that follow: what its server's dialect says."""
    smallest_image: Annotated[int, Meta(ge=1)] | None = None
    """Pixels of the shorter side of an image that it reads: smaller ones are refused before it is asked."""
    audio: bool | None = None
    """Whether it hears."""
    files: bool | None = None
    """Whether it reads files itself. Others are given their text."""
    tools: bool | None = None
    """Whether it knows functions by itself. For others they are emulated."""
    parallel_tools: bool | None = None
    """Whether it can make several calls at once."""
    json_schema: bool | None = None
    """Whether it can be held to a JSON schema."""
    json_object: bool | None = None
    """Whether it can be held to JSON."""
    reasoning: bool | None = None
    """Whether it understands a reasoning effort."""
    logprobs: bool | None = None
    """Whether its server gives logprobs."""
    caches_prompts: bool | None = None
    """Whether its server keeps what it has read of a prompt: only then `prompt_cache_options.prewarm` makes
    sense."""


class Embeddings(Struct, frozen=True, kw_only=True):
    """`[embeddings]`: what turns texts into vectors, for searches by meaning. Nothing set: the embedded
    embedder."""

    base_url: str | None = None
    """Of a server that has `/v1/embeddings`, with its `/v1`."""
    model: str | None = None
    """The server's name of the model."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key."""
    threads: Annotated[int, Meta(ge=1, le=64)] | None = None
    """Of the embedded embedder, in each server process: as many texts are read at the same time. None: half
    as many as there are processors, at least 1 and at most 4."""


class Reranker(Struct, frozen=True, kw_only=True):
    """`[reranker]`: what looks at the best results of a search again, each together with the question.
    Nothing set: results stay as meaning and words have ranked them."""

    base_url: str | None = None
    """Of a server that has `/v1/rerank` (Jina, Cohere, vLLM, llama.cpp and others), with its `/v1`."""
    model: str | None = None
    """The server's name of the model."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key."""
    api: Literal["rerank", "tei"] = "rerank"
    """`tei`: Text Embeddings Inference, whose `/rerank` has a form of its own. It has no `/v1`."""
    candidates: Annotated[int, Meta(ge=1, le=1000)] = 50
    """Chunks that it looks at in each search, and at least twice as many as there are to be results."""
    characters: Annotated[int, Meta(ge=100)] = 2_000
    """Of each chunk. Some servers refuse what is longer than their model reads, such as llama.cpp what is
    longer than its `--ubatch-size`."""
    seconds: Annotated[float, Meta(gt=0)] = 5.0
    """Seconds that it may take. When it takes longer or fails, results stay as they were, and the log says
    so."""


class Images(Struct, frozen=True, kw_only=True):
    """`[images]`: what makes pictures, for the tool `image_generation` and for `/v1/images`. Nothing set: no
    pictures are made."""

    base_url: str | None = None
    """Of a server that has `/v1/images/generations` and `/v1/images/edits` (OpenAI, vLLM-omni, SGLang,
    sd.cpp, LocalAI and others), or of one whose chat model answers with pictures; with its `/v1`."""
    model: str | None = None
    """The server's name of the model."""
    models: list[str] = msgspec.field(default_factory=list)
    """Names and patterns (`gpt-image-*`) of models that requests may name beside it."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key."""
    dialect: Literal["openai", "vllm_omni", "sglang", "sd_cpp", "localai", "generic", "chat"] | None = None
    """Which server it is, and so what it takes. None: known by its address, by its model, or by its list of
    models. `chat`: a chat model that answers with pictures."""
    timeout: Annotated[float, Meta(gt=0)] = 300.0
    """Seconds without a byte after which the server counts as gone."""


class Moderation(Struct, frozen=True, kw_only=True):
    """`[moderation]`: what judges texts and images, for `moderation` of requests and for /v1/moderations.
    Nothing set: nothing is judged, and a request that asks for it is refused."""

    base_url: str | None = None
    """Of a server that has `/v1/moderations`, with its `/v1`."""
    model: str | None = None
    """The server's name of the model, such as `omni-moderation-latest`."""
    api_key_env: str | None = None
    """The environment variable that holds the server's key."""
    judge: str | None = None
    """Instead of such a server: a model that judges, by its name in requests. Any chat model does; guard
    models are asked in their own form."""
    form: Literal["auto", "schema", "llama-guard", "qwen3guard", "gpt-oss-safeguard", "shieldgemma"] = "auto"
    """How the judge is asked. `auto`: as its name says, and a model that is no known guard with a JSON
    schema, as with `schema`."""
    characters: Annotated[int, Meta(ge=100)] = 20_000
    """Of a text that are judged at once. Longer ones are judged in pieces, of which one request may have
    512."""
    seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds that a judgement may take. When it takes longer or fails, what was to be blocked is not let
    through, and a score is an error."""
