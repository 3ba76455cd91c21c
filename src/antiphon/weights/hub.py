"""Hugging Face's hub, or a server that speaks like it: what files a repository has, and where they are.

HF_ENDPOINT names another server than huggingface.co, HF_TOKEN holds a token for it. What `huggingface_hub`
does is not enough here: it starts a download that was cut off in another run from its beginning, and compares
sizes, not the sha256.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import httpx2
import msgspec
from msgspec import Struct

from antiphon import __version__
from antiphon.weights.errors import WeightsError
from antiphon.weights.reference import OnHub

_ENDPOINT: Final = "https://huggingface.co"
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
_SAFE: Final = re.compile(r"\w[\w.+ -]*(/\w[\w.+ -]*)*")
"""Names that cannot lead out of a folder."""
_ELSEWHERE: Final = (
    "Without it, `antiphon pull FILE.gguf` takes a file that was fetched elsewhere, and HF_ENDPOINT names "
    "another server."
)


class File(Struct, frozen=True):
    """A file of a repository whose content is known by its sha256."""

    name: str
    size: int
    sha256: str


class Listing(Struct, frozen=True):
    """The files of a repository at one commit."""

    commit: str
    files: Mapping[str, File]
    """By name."""


class _Lfs(Struct):
    sha256: str
    size: int


class _Sibling(Struct):
    rfilename: str
    lfs: _Lfs | None = None


class _Info(Struct):
    sha: str
    siblings: list[_Sibling]


class Hub:
    """One server. Its token stays with it: a redirect to another host does not carry it along."""

    def __init__(self, client: httpx2.Client, endpoint: str) -> None:
        self.client = client
        self._endpoint = endpoint
        self._where = str(httpx2.URL(endpoint).copy_with(userinfo=b"")).rstrip("/")

    def listing(self, wanted: OnHub) -> Listing:
        """Raises `WeightsError`."""
        revision = quote(wanted.revision, safe="")
        url = f"{self._endpoint}/api/models/{wanted.repo}/revision/{revision}"
        try:
            answer = self.client.get(url, params={"blobs": "true"})
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise WeightsError(f"{self._where} cannot be reached ({why}). {_ELSEWHERE}") from error
        if answer.status_code != 200:
            raise WeightsError(self.refused(answer, wanted))
        try:
            info = msgspec.json.decode(answer.content, type=_Info)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WeightsError(f"What {self._where} answers is no list of a model's files.") from error
        files = (
            File(each.rfilename, each.lfs.size, each.lfs.sha256)
            for each in info.siblings
            if each.lfs is not None and _SAFE.fullmatch(each.rfilename)
        )
        return Listing(info.sha, {file.name: file for file in files})

    def url(self, wanted: OnHub, commit: str, name: str) -> str:
        return f"{self._endpoint}/{wanted.repo}/resolve/{quote(commit, safe='')}/{quote(name)}"

    def refused(self, answer: httpx2.Response, wanted: OnHub) -> str:
        """In words, what an answer that is no success means (huggingface_hub utils/_http.py)."""
        code, status = answer.headers.get("X-Error-Code", ""), answer.status_code
        page = f"{self._where}/{wanted.repo}"
        if code == "GatedRepo" or status == 403:
            return f"{wanted.repo} asks for consent: give it at {page}, and set HF_TOKEN to your token."
        if code == "RevisionNotFound":
            return f"{wanted.repo} has no revision '{wanted.revision}'."
        if code == "RepoNotFound" or status in (401, 404):
            return (
                f"There is no model {wanted.repo} at {self._where}, or it is not public: a private one needs "
                "HF_TOKEN."
            )
        if status == 429:
            return f"{self._where} takes no more requests for now. Try again later, or set HF_TOKEN."
        return f"{self._where} answers {status}. Try again later. {_ELSEWHERE}"


@contextmanager
def connected(environ: Mapping[str, str]) -> Iterator[Hub]:
    """The hub that the environment names. Raises `WeightsError`."""
    endpoint = (environ.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
    if not re.match("https?://[^/]", endpoint):
        raise WeightsError(f"HF_ENDPOINT must begin with http:// or https://, and is '{endpoint}'.")
    headers = {"User-Agent": f"antiphon/{__version__}", "Accept-Encoding": "identity"}
    if token := environ.get("HF_TOKEN", "").strip():
        headers["Authorization"] = f"Bearer {token}"
    with httpx2.Client(headers=headers, follow_redirects=True, timeout=_TIMEOUT) as client:
        yield Hub(client, endpoint)
