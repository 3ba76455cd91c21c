"""The tools that a request may offer to the model. surface.md section 6.

`echo` gives a tool as the Response object shows it: effective values for what was left out, and no
secrets (behaviours.md section 5).
"""

from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from antiphon.protocol.file_filters import Filter
from antiphon.protocol.strict_schema import allows_strict
from antiphon.protocol.wire import JsonObject, Wire, encode, shown

REDACTED = "<redacted>"

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[a-zA-Z0-9_-]+$")]
AllowedCallers = list[Literal["direct", "programmatic"]]
SearchContextSize = Literal["low", "medium", "high"]
SearchContentTypes = list[Literal["text", "image"]]
MemoryLimit = Literal["1g", "4g", "16g", "64g"]
FileIds = Annotated[list[str], Meta(max_length=50)]


class BaseTool(Wire, tag_field="type"):
    def echo(self) -> Self:
        """The tool as the Response object shows it."""
        return self

    def _with(self, **defaults: Any) -> Self:
        """A copy in which what was left out or null has these values."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return msgspec.structs.replace(self, **missing)


# ---- tools that the client runs ---------------------------------------------------------------------


class ClientTool(BaseTool, gc=True, dict=True):
    """One that comes again with the next request is the same object (`known_tools`): nobody changes it."""

    @cached_property
    def echoed(self) -> msgspec.Raw:
        """What `echo` gives, as JSON."""
        return msgspec.Raw(encode(self.echo()))

    @property
    def kept(self) -> dict[object, Any]:
        """What others made of it, by what that depends on besides. Of a tool that nobody remembers,
        nothing is kept."""
        kept: dict[object, Any] = vars(self).get("kept", {})
        return kept

    def keep(self) -> None:
        """From now on what is made of it is kept."""
        vars(self)["kept"] = {}


class FunctionTool(ClientTool, tag="function"):
    name: Name
    description: str | None = shown(None)
    parameters: JsonObject | None = shown(None)
    """A JSON schema."""
    strict: bool | None = shown(None)
    """Left out, or null: where the schema allows it."""
    output_schema: JsonObject | None = None
    defer_loading: bool | None = None
    async_: bool | None = msgspec.field(name="async", default=None)
    allowed_callers: AllowedCallers | None = None

    @cached_property
    def is_strict(self) -> bool:
        """Whether its calls fit its schema."""
        return allows_strict(self.parameters) if self.strict is None else self.strict

    def echo(self) -> Self:
        return self._with(strict=self.is_strict)


class TextInput(Wire, tag="text", tag_field="type"):
    """Any text."""


class GrammarInput(Wire, tag="grammar", tag_field="type"):
    syntax: Literal["lark", "regex"]
    definition: str


class CustomTool(ClientTool, tag="custom"):
    """A tool that takes text instead of JSON."""

    name: Name
    description: str | None = shown(None)
    format: TextInput | GrammarInput | None = None
    defer_loading: bool | None = None
    async_: bool | None = msgspec.field(name="async", default=None)
    allowed_callers: AllowedCallers | None = None

    def echo(self) -> Self:
        return self._with(format=TextInput())


class NamespaceTool(ClientTool, tag="namespace"):
    """A named group of tools. A call of one of them carries the name as its `namespace`."""

    name: Name
    description: str
    """The reference asks for a character at least; Codex sends none in its own namespaces."""
    tools: Annotated[list[FunctionTool | CustomTool], Meta(min_length=1)]

    def keep(self) -> None:
        for tool in self.tools:
            tool.keep()

    def echo(self) -> Self:
        return msgspec.structs.replace(self, tools=[tool.echo() for tool in self.tools])


class ApplyPatchTool(BaseTool, tag="apply_patch"):
    allowed_callers: AllowedCallers | None = None


class LocalShellTool(BaseTool, tag="local_shell"):
    pass


class ComputerTool(BaseTool, tag="computer"):
    pass


class ComputerUsePreviewTool(BaseTool, tag="computer_use_preview"):
    display_width: int
    display_height: int
    environment: Literal["windows", "mac", "linux", "ubuntu", "browser"]


# ---- search -----------------------------------------------------------------------------------------


class HybridSearch(Wire):
    embedding_weight: float
    text_weight: float


class RankingOptions(Wire):
    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: HybridSearch | None = None


class FileSearchTool(BaseTool, tag="file_search"):
    vector_store_ids: Annotated[list[str], Meta(min_length=1)]
    filters: Filter | None = shown(None)
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None

    def echo(self) -> Self:
        asked = self.ranking_options or RankingOptions()
        options = msgspec.structs.replace(
            asked, ranker=asked.ranker or "auto", score_threshold=asked.score_threshold or 0.0
        )
        return msgspec.structs.replace(self._with(max_num_results=20), ranking_options=options)


class UserLocation(Wire):
    type: Literal["approximate"] | None = shown("approximate")
    country: str | None = shown(None)
    city: str | None = shown(None)
    region: str | None = shown(None)
    timezone: str | None = shown(None)

    def __post_init__(self) -> None:
        self.type = "approximate"


Domains = Annotated[list[str], Meta(max_length=100)]
"""With their subdomains."""


class WebSearchFilters(Wire):
    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None
    """Not in the SDK; the real API takes it (hosted tools, as recorded)."""


class ImageSettings(Wire):
    """What is wanted of the pictures of a search. Not in the SDK; the real API takes it."""

    max_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    caption: bool | None = None


class WebSearchTool(BaseTool, tag="web_search"):
    filters: WebSearchFilters | None = None
    search_context_size: SearchContextSize | None = None
    user_location: UserLocation | None = None
    external_web_access: bool | None = None
    """false: searches, but no page is opened. The real API does not echo it."""
    search_content_types: SearchContentTypes | None = None
    image_settings: ImageSettings | None = None
    return_token_budget: Literal["default", "unlimited"] | None = None
    """These three are not in the SDK; the real API takes and echoes them."""

    def echo(self) -> Self:
        shown = self._with(
            search_context_size="medium",
            user_location=UserLocation(country="US"),
            search_content_types=["text"],
            return_token_budget="default",
        )
        return msgspec.structs.replace(shown, external_web_access=None)


class WebSearch20250826Tool(WebSearchTool, tag="web_search_2025_08_26"):
    pass


class WebSearchPreviewTool(BaseTool, tag="web_search_preview"):
    search_context_size: SearchContextSize | None = None
    user_location: UserLocation | None = None
    search_content_types: SearchContentTypes | None = None

    def echo(self) -> Self:
        return self._with(search_context_size="medium", user_location=UserLocation(country="US"))


class WebSearchPreview20250311Tool(WebSearchPreviewTool, tag="web_search_preview_2025_03_11"):
    pass


class ToolSearchTool(BaseTool, tag="tool_search"):
    """Lets the model look for tools whose loading is deferred."""

    execution: Literal["server", "client"] | None = None
    description: str | None = shown(None)
    parameters: JsonObject | None = shown(None)


# ---- where code runs --------------------------------------------------------------------------------


class DomainSecret(Wire):
    """Put into requests to the domain, unseen by the code that makes them."""

    domain: str
    name: str
    value: str


class NetworkDisabled(Wire, tag="disabled", tag_field="type"):
    pass


class NetworkAllowlist(Wire, tag="allowlist", tag_field="type"):
    allowed_domains: list[str]
    domain_secrets: list[DomainSecret] | None = None


NetworkPolicy = NetworkDisabled | NetworkAllowlist


class SkillReference(Wire, tag="skill_reference", tag_field="type"):
    skill_id: str
    version: str | int | None = None


class SkillSource(Wire, tag="base64", tag_field="type"):
    media_type: Literal["application/zip"]
    data: str


class InlineSkill(Wire, tag="inline", tag_field="type"):
    name: str
    description: str
    source: SkillSource


class LocalSkill(Wire):
    name: str
    description: str
    path: str


class AutoContainer(Wire, tag="auto", tag_field="type"):
    """A container of the code interpreter, made when it is needed."""

    file_ids: FileIds | None = None
    memory_limit: MemoryLimit | None = None
    network_policy: NetworkPolicy | None = None


class ShellContainer(Wire, tag="container_auto", tag_field="type"):
    """A container of the shell, made when it is needed."""

    file_ids: FileIds | None = None
    memory_limit: MemoryLimit | None = None
    network_policy: NetworkPolicy | None = None
    skills: Annotated[list[SkillReference | InlineSkill], Meta(max_length=200)] | None = None


class LocalEnvironment(Wire, tag="local", tag_field="type"):
    """The client's own machine."""

    skills: Annotated[list[LocalSkill], Meta(max_length=200)] | None = None


class ContainerReference(Wire, tag="container_reference", tag_field="type"):
    container_id: str


class CodeInterpreterTool(BaseTool, tag="code_interpreter"):
    container: str | AutoContainer
    allowed_callers: AllowedCallers | None = None

    def echo(self) -> Self:
        if isinstance(self.container, AutoContainer):
            return msgspec.structs.replace(self, container=_without_secrets(self.container))
        return self


class ShellTool(BaseTool, tag="shell"):
    environment: ShellContainer | LocalEnvironment | ContainerReference | None = None
    allowed_callers: AllowedCallers | None = None

    def echo(self) -> Self:
        if isinstance(self.environment, ShellContainer):
            return msgspec.structs.replace(self, environment=_without_secrets(self.environment))
        return self


_Container = TypeVar("_Container", AutoContainer, ShellContainer)


def _without_secrets(container: _Container) -> _Container:
    policy = container.network_policy
    if not isinstance(policy, NetworkAllowlist) or not policy.domain_secrets:
        return container
    secrets = [msgspec.structs.replace(secret, value=REDACTED) for secret in policy.domain_secrets]
    policy = msgspec.structs.replace(policy, domain_secrets=secrets)
    return msgspec.structs.replace(container, network_policy=policy)


class ProgrammaticToolCallingTool(BaseTool, tag="programmatic_tool_calling"):
    """Lets the model write a program that calls the tools which allow `programmatic` callers."""


# ---- MCP --------------------------------------------------------------------------------------------


class McpToolFilter(Wire):
    read_only: bool | None = None
    tool_names: list[str] | None = None


class McpApprovalFilter(Wire):
    always: McpToolFilter | None = None
    never: McpToolFilter | None = None


class McpTool(BaseTool, tag="mcp"):
    """A server is named by one of server_url, connector_id and tunnel_id, or by its label alone when the
    installation has one of that name."""

    server_label: str
    server_url: str | None = None
    connector_id: str | None = None
    """One of the API's connectors, or of the installation's own; configuration says where it is."""
    tunnel_id: Annotated[str, Meta(pattern="^tunnel_[a-z0-9]{32}$")] | None = None
    server_description: str | None = shown(None)
    authorization: str | None = None
    """An OAuth token."""
    headers: dict[str, str] | None = shown(None)
    allowed_tools: list[str] | McpToolFilter | None = shown(None)
    require_approval: McpApprovalFilter | Literal["always", "never"] | None = None
    defer_loading: bool | None = None
    allowed_callers: AllowedCallers | None = None

    def echo(self) -> Self:
        shown = self.without_secrets()._with(require_approval="always")
        return msgspec.structs.replace(shown, server_url=self.server_url and _origin(self.server_url))

    @property
    def lacks_secrets(self) -> bool:
        """Whether it was kept without the secrets that it came with."""
        url_lacks = (self.server_url or "").endswith(REDACTED)
        return url_lacks or REDACTED in (self.authorization, *(self.headers or {}).values())

    def without_secrets(self) -> Self:
        """The tool as it may be kept."""
        return msgspec.structs.replace(
            self,
            authorization=self.authorization and REDACTED,
            headers=self.headers and dict.fromkeys(self.headers, REDACTED),
            server_url=self.server_url and _without_credentials(self.server_url),
        )


def _without_credentials(url: str) -> str:
    """The URL as it may be kept: a key in its query, or a password, makes it one that is sent again."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    return f"{_origin(url).removesuffix(f'/{REDACTED}')}/{REDACTED}" if parts.query or parts.password else url


def _origin(url: str) -> str:
    """The URL without what may be a secret: credentials, path and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme or not host:
        return REDACTED
    bare = f"{parts.scheme}://{host}"
    return url if url.rstrip("/") == bare else f"{bare}/{REDACTED}"


# ---- images -----------------------------------------------------------------------------------------


class ImageMask(Wire):
    file_id: str | None = None
    image_url: str | None = None


class SvgReasoning(Wire):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class SvgOptions(Wire):
    model: str | None = None
    reasoning: SvgReasoning | None = None


class ImageGenerationTool(BaseTool, tag="image_generation"):
    action: Literal["generate", "edit", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: Annotated[int, Meta(ge=1)] | None = None
    frame_duration_ms: Annotated[int, Meta(ge=1)] | None = None
    input_fidelity: Literal["high", "low"] | None = None
    input_image_mask: ImageMask | None = None
    model: str | None = None
    moderation: Literal["auto", "low"] | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    """Not in the SDK; the real API echoes it."""
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    size: str | None = None
    """`auto`, or width x height."""
    svg: SvgOptions | None = None

    def echo(self) -> Self:
        return self._with(
            background="auto",
            moderation="auto",
            n=1,
            output_compression=100,
            output_format="png",
            quality="auto",
            size="auto",
        )


Tool = (
    FunctionTool
    | FileSearchTool
    | ComputerTool
    | ComputerUsePreviewTool
    | WebSearchTool
    | WebSearch20250826Tool
    | McpTool
    | CodeInterpreterTool
    | ProgrammaticToolCallingTool
    | ImageGenerationTool
    | LocalShellTool
    | ShellTool
    | CustomTool
    | NamespaceTool
    | ToolSearchTool
    | WebSearchPreviewTool
    | WebSearchPreview20250311Tool
    | ApplyPatchTool
)
