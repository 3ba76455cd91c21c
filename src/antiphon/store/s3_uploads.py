"""Uploads of parts that nobody ended: found and aborted, which `obstore` does not offer.

S3's own operations ListMultipartUploads and AbortMultipartUpload, signed as "Authenticating Requests
(AWS Signature Version 4)" of its API reference says. They need keys in the environment; where a machine's
role gives them, a rule of the bucket has to do this (AbortIncompleteMultipartUpload).
"""

import hashlib
import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

from msgspec import Struct

_SECONDS = 15.0
_SERVICE: Final = "s3"
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()


class Credentials(Struct, frozen=True):
    """Of whoever signs."""

    key_id: str
    secret: str
    token: str | None


class Upload(Struct, frozen=True):
    """One that was begun and not ended."""

    key: str
    upload_id: str
    begun: float
    """Seconds since 1970."""


class Uploads:
    """Those of a bucket."""

    def __init__(self, bucket: str, environ: Mapping[str, str] = os.environ) -> None:
        self._credentials = _credentials(environ)
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._url = f"{_endpoint(environ, self._region)}/{bucket}"

    def abort(self, prefix: str, moment: float) -> None:
        """In a thread: abort those below a prefix that were begun before a moment. Raises OSError."""
        if self._credentials is None:
            return
        for upload in self._begun(prefix, self._credentials):
            if upload.begun < moment:
                self._ask(
                    "DELETE", f"/{quote(upload.key)}", {"uploadId": upload.upload_id}, self._credentials
                )

    def _begun(self, prefix: str, credentials: Credentials) -> Iterator[Upload]:
        asked = {"uploads": "", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(self._ask("GET", "", asked, credentials))
            for each in page.iterfind("{*}Upload"):
                begun = datetime.fromisoformat(_text(each, "Initiated"))
                yield Upload(_text(each, "Key"), _text(each, "UploadId"), begun.timestamp())
            if _text(page, "IsTruncated") != "true":
                return
            asked["key-marker"] = _text(page, "NextKeyMarker")
            asked["upload-id-marker"] = _text(page, "NextUploadIdMarker")

    def _ask(self, method: str, path: str, query: Mapping[str, str], credentials: Credentials) -> bytes:
        url = f"{self._url}{path}?{urlencode(sorted(query.items()), quote_via=quote)}"
        headers = signed(method, url, self._region, credentials, datetime.now(UTC))
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            body: bytes = answer.read()
        return body


def signed(method: str, url: str, region: str, credentials: Credentials, now: datetime) -> dict[str, str]:
    """The headers of a request without a body. The query of `url` is sorted and quoted."""
    parts = urlsplit(url)
    headers = {
        "host": parts.netloc,
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
    }
    if credentials.token is not None:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join([method, parts.path, parts.query, *lines, "", names, _NO_BODY])
    scope = f"{now:%Y%m%d}/{region}/{_SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    who = f"Credential={credentials.key_id}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {who}, SignedHeaders={names}, Signature={signature}"
    return headers


def _credentials(environ: Mapping[str, str]) -> Credentials | None:
    key_id, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        return None
    return Credentials(key_id, secret, environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_TOKEN"))


def _endpoint(environ: Mapping[str, str], region: str) -> str:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        if environ.get(name):
            return environ[name].rstrip("/")
    return f"https://s3.{region}.amazonaws.com"


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
