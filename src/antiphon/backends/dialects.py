"""What varies between servers that speak Chat Completions, as data.

A dialect says which members a server reads and in which form. What a dialect does not name is not sent:
strict servers refuse unknown members. Hints (user, verbosity, cache key) are then left out; what changes
the answer (penalties, logprobs, grammars, a forced call) is refused instead, see `payload`.
"""

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from antiphon.protocol.wire import JsonObject

HINTS = (
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "safety_identifier",
    "verbosity",
    "user",
)
"""Those that OpenAI has."""


class GrammarForm(Struct, frozen=True):
    """Where a grammar goes in the request: the path of the member, and the text it is wrapped in."""

    path: tuple[str, ...]
    wrap: Literal["", "llguidance lark", "llguidance regex"] = ""


# Said by servers, in any status or in the middle of a stream, when the prompt does not fit.
CONTEXT_PHRASES = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "available context size",
    "model's context length",
    "context window",
    "context length exceeded",
    "context the overflows",
    "input token count",
    "prompt is too long",
    "input is too long",
    "reduce the length of the messages",
    "context limit",  # Anthropic
    "context size has been exceeded",  # llama.cpp, in the middle of an answer
    "longer than the maximum model length",  # vLLM
    "tokens) exceeds the maximum allowed length",  # SGLang
    "`inputs` tokens +",  # TGI
    "`inputs` must have less than",
    "greater than the context length",  # LM Studio
    "max context length",  # Ollama
    "exceeds the context length",
    "greater than max_seq_len",  # TabbyAPI
    "tokens exceed the configured limit",  # OpenAI
    "prompt token count",  # GitHub
    "tokens_limit_reached",
    "maximum prompt length",  # xAI
    "model token limit",  # Moonshot
    "prompt exceeds max length",  # Z.ai
    "range of input length",  # DashScope
    "tokens in the prompt cannot exceed",  # Cohere
)


class Dialect(Struct, frozen=True, kw_only=True):
    """One way of speaking Chat Completions. The defaults are those of a server that we do not know."""

    name: str

    # -- messages ----------------------------------------------------------------------------------
    developer: bool = False
    """Knows the role `developer`; otherwise it is sent as `system`."""
    merge_leading: bool = True
    """Several leading system messages become one: many chat templates read only the first."""
    late_system: Literal["system", "user"] = "user"
    """The role of a system message in the middle: many templates refuse it there."""
    alternate: bool = False
    """Adjacent messages of one role become one: some templates want strict alternation."""
    needs_user: bool = False
    """Refuses a conversation in which the user never speaks."""
    refill: bool = False
    """Takes a last assistant message as the beginning of the answer, which we never mean."""
    parses_arguments: bool = True
    """Parses the arguments of past calls, so that they must be JSON objects."""
    tool_names: bool = False
    """Wants the function's name in a tool message."""
    short_call_ids: bool = False
    """Takes only ids of calls that are nine letters and digits."""
    reasoning_sent: Literal["", "reasoning", "reasoning_content"] = "reasoning_content"
    """The member that carries the reasoning of past assistant messages."""
    reasoning_of: Literal["all", "tool loop"] = "tool loop"
    """`tool loop`: only that of calls behind the newest message of the user goes back, without which some
    models lose their thread. `all`: whatever the context has."""
    remote_images: bool = True
    """Fetches images by URL."""

    # -- parameters --------------------------------------------------------------------------------
    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_options: bool = True
    whole: bool = False
    """Stops its work when we hang up on an answer that is not streamed. Then one that nobody reads along is
    asked for in one piece, which is by far less work for us."""
    choice: Literal["full", "alone", "auto"] = "full"
    """`alone`: knows no choice by name: the function is offered alone, as required. `auto`: knows no
    choice at all: `none` offers no functions, a forced call must be emulated."""
    parallel: Literal["always", "when false", "never"] = "when false"
    """When `parallel_tool_calls` is sent: its default is true, but not everywhere."""
    strict: bool = True
    """Knows `strict` of a function."""
    holds_strict: bool = False
    """Keeps to it always. Most servers do when a call is forced, but not with a choice of `auto`."""
    effort: Literal[
        "", "reasoning_effort", "chat_template_kwargs", "both", "reasoning", "thinking", "enable_thinking"
    ] = ""
    """`thinking`: a switch, with `reasoning_effort` beside it. `enable_thinking`: a switch alone."""
    json_schema: bool = True
    """Can hold an answer to a JSON schema; otherwise it is sent in words, and the answer is checked."""
    root_references: bool = True
    """Knows the reference `#` in a schema."""
    json_object: Literal["native", "schema", "words"] = "native"
    """`schema`: sent as the JSON schema of any object. `words`: sent in words, and the answer is checked."""
    lark: GrammarForm | None = None
    regex: GrammarForm | None = None
    penalties: bool = True
    logprobs: bool = True
    logprobs_come: bool = True
    """Sends the logprobs that it is asked for. Learned of each model: some take the parameter and send
    none."""
    least_top_logprobs: int = 0
    """Sends no logprobs at all when asked for fewer alternatives."""
    logprobs_with_tools: Literal["stream", "plain"] = "stream"
    """`plain`: refuses to stream logprobs when there are tools, so that answer is not streamed."""
    hints: frozenset[str] = frozenset()
    """Which parameters it knows that change no answer (`payload` has them all), and verbosity."""

    # -- answers -----------------------------------------------------------------------------------
    think_tags: bool = True
    """Reasoning may stand in the text, in one of the forms of `think`, at its beginning."""
    text_calls: bool = True
    """Calls may stand in the text, in one of the syntaxes of `syntaxes`."""
    unsigned: JsonObject | None = None
    """What the first call of a turn is sent with when nothing goes back with it."""
    opaque: bool = False
    """Its answers may have members that it wants back as they came. Learned where it is not said."""
    context_phrases: tuple[str, ...] = CONTEXT_PHRASES

    # -- the rest ----------------------------------------------------------------------------------
    tools: bool = True
    """Knows functions. Otherwise they are emulated."""
    images: bool = True
    smallest_image: int = 1
    """Pixels of the shorter side of an image that it reads."""
    audio: bool = False
    files: bool = False
    caches_prompts: bool = False
    """Keeps what it has read of a prompt, for the next that begins in the same way. Of services that do so
    for some of their models it is not said."""
    tokenizer: Literal["", "messages", "template"] = ""
    """`messages`: POST /tokenize counts messages. `template`: /apply-template first, then /tokenize."""


# What it refuses it is not sent again (`lessons`): so an effort is not dropped unasked.
GENERIC = Dialect(name="generic", effort="reasoning_effort", whole=True)

OPENAI = Dialect(
    name="openai",
    holds_strict=True,
    developer=True,
    merge_leading=False,
    late_system="system",
    parses_arguments=False,
    reasoning_sent="",
    max_tokens="max_completion_tokens",
    effort="reasoning_effort",
    hints=frozenset(HINTS),
    think_tags=False,
    text_calls=False,
    audio=True,
    files=True,
)

# vllm/entrypoints/openai/chat_completion/protocol.py. `grammar` takes lark, which it recognizes by itself.
VLLM = Dialect(
    name="vllm",
    caches_prompts=True,
    alternate=True,
    needs_user=True,
    reasoning_sent="reasoning",
    reasoning_of="all",
    effort="both",
    whole=True,
    lark=GrammarForm(("structured_outputs", "grammar")),
    regex=GrammarForm(("structured_outputs", "regex")),
    audio=True,
    tokenizer="messages",
)

# sglang/srt/entrypoints/openai/protocol.py. Its `ebnf` is no lark.
SGLANG = Dialect(
    name="sglang",
    caches_prompts=True,
    alternate=True,
    needs_user=True,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    effort="reasoning_effort",
    whole=True,
    regex=GrammarForm(("regex",)),
    tokenizer="messages",
)

# llama.cpp tools/server/server-common.cpp: a choice that is an object is read as "auto", top_logprobs 0
# switches logprobs off, parallel_tool_calls is false by default, a last assistant message is a prefill.
LLAMA_CPP = Dialect(
    name="llama_cpp",
    caches_prompts=True,
    alternate=True,
    needs_user=True,
    refill=True,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    choice="alone",
    parallel="always",
    strict=False,
    root_references=False,
    effort="chat_template_kwargs",
    lark=GrammarForm(("grammar",), "llguidance lark"),
    regex=GrammarForm(("grammar",), "llguidance regex"),
    least_top_logprobs=1,
    logprobs_with_tools="plain",
    audio=True,
    tokenizer="template",
)

# ollama openai/openai.go: no tool_choice, no parallel_tool_calls, images by data: URL only, logprobs
# (since 0.12.11).
OLLAMA = Dialect(
    name="ollama",
    caches_prompts=True,
    late_system="system",
    reasoning_sent="reasoning",
    reasoning_of="all",
    remote_images=False,
    choice="auto",
    parallel="never",
    strict=False,
    effort="reasoning_effort",
    whole=True,
)

# Answers 400 to a tool_choice that is an object (lmstudio-bug-tracker 670) and to json_object (189).
LMSTUDIO = Dialect(
    name="lmstudio",
    caches_prompts=True,
    alternate=True,
    needs_user=True,
    remote_images=False,
    choice="alone",
    parallel="never",
    strict=False,
    json_object="schema",
    logprobs=False,
)

OPENROUTER = Dialect(
    name="openrouter",
    reasoning_sent="reasoning",
    reasoning_of="all",
    effort="reasoning",
    opaque=True,
    hints=frozenset({"user"}),
    think_tags=False,
    audio=True,
    files=True,
)

# console.groq.com/docs/openai: logprobs and top_logprobs are answered with 400.
GROQ = Dialect(
    name="groq",
    reasoning_sent="",
    max_tokens="max_completion_tokens",
    effort="reasoning_effort",
    logprobs=False,
    hints=frozenset({"user", "service_tier"}),
    think_tags=False,
)

# Unknown members are answered with 400 `Unknown name "frequency_penalty": Cannot find field.` The first call
# of a turn must have its signature; this text stands for one that is lost, or of a call that another model
# made (ai.google.dev/gemini-api/docs/thought-signatures).
GEMINI = Dialect(
    name="gemini",
    reasoning_sent="",
    opaque=True,
    unsigned={"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}},
    needs_user=True,
    tool_names=True,
    remote_images=False,
    parallel="never",
    strict=False,
    effort="reasoning_effort",
    penalties=False,
    logprobs=False,
    think_tags=False,
    audio=True,
)

# With thinking on, the reasoning of an assistant message that has calls must come back, or it is a 400.
DEEPSEEK = Dialect(
    name="deepseek",
    caches_prompts=True,
    late_system="system",
    merge_leading=False,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    parallel="never",
    strict=False,
    effort="thinking",
    json_schema=False,
    images=False,
    think_tags=False,
)

# A forced choice is a 400 while it thinks, which it does by default.
MOONSHOT = Dialect(
    name="moonshot",
    caches_prompts=True,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    remote_images=False,
    choice="auto",
    parallel="never",
    strict=False,
    effort="thinking",
    logprobs=False,
    think_tags=False,
)

# Knows no choice but auto, and refuses what it does not know.
ZAI = Dialect(
    name="zai",
    needs_user=True,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    stream_options=False,
    choice="auto",
    parallel="never",
    strict=False,
    effort="thinking",
    json_schema=False,
    penalties=False,
    logprobs=False,
    think_tags=False,
)

# 422 `extra_forbidden` for members that it does not know; usage comes without being asked for.
MISTRAL = Dialect(
    name="mistral",
    reasoning_sent="",
    short_call_ids=True,
    refill=True,
    stream_options=False,
    logprobs=False,
    think_tags=False,
)

# Several calls at once must be asked for.
DASHSCOPE = Dialect(
    name="dashscope",
    smallest_image=11,
    reasoning_sent="reasoning_content",
    reasoning_of="all",
    choice="auto",
    parallel="always",
    strict=False,
    effort="enable_thinking",
    json_schema=False,
    think_tags=False,
)

# A proxy: what the server behind it can is not known. It lets that go on when we hang up on a whole answer.
LITELLM = Dialect(name="litellm", effort="reasoning_effort", reasoning_of="all", opaque=True)

# `transformers serve`: templates and nothing else.
TRANSFORMERS = Dialect(
    name="transformers",
    reasoning_sent="",
    alternate=True,
    needs_user=True,
    choice="auto",
    parallel="never",
    strict=False,
    json_schema=False,
    json_object="words",
    penalties=False,
    logprobs=False,
    images=False,
)

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        GENERIC,
        OPENAI,
        VLLM,
        SGLANG,
        LLAMA_CPP,
        OLLAMA,
        LMSTUDIO,
        OPENROUTER,
        GROQ,
        GEMINI,
        DEEPSEEK,
        MOONSHOT,
        ZAI,
        MISTRAL,
        DASHSCOPE,
        LITELLM,
        TRANSFORMERS,
    )
}

_HOSTS = {
    "api.openai.com": OPENAI,
    "openrouter.ai": OPENROUTER,
    "api.groq.com": GROQ,
    "generativelanguage.googleapis.com": GEMINI,
    "api.deepseek.com": DEEPSEEK,
    "api.moonshot.ai": MOONSHOT,
    "api.moonshot.cn": MOONSHOT,
    "api.z.ai": ZAI,
    "open.bigmodel.cn": ZAI,
    "api.mistral.ai": MISTRAL,
    "dashscope.aliyuncs.com": DASHSCOPE,
    "dashscope-intl.aliyuncs.com": DASHSCOPE,
}
_PORTS = {11434: OLLAMA, 1234: LMSTUDIO}


def known(base_url: str) -> Dialect | None:
    """The dialect of a well-known address."""
    url = urlsplit(base_url)
    return _HOSTS.get(url.hostname or "") or _PORTS.get(url.port or 0)


def addresses(dialect: Dialect) -> list[str]:
    """The hosts, and the ports of any host, at which a dialect is expected."""
    hosts = [host for host, known_there in _HOSTS.items() if known_there is dialect]
    return [*hosts, *(f":{port}" for port, known_there in _PORTS.items() if known_there is dialect)]
