"""An S3 for tests: moto's server, in a process of its own on loopback, with all buckets in memory.

`shared_s3()` is the server of this process of tests, started at its first use. A test that breaks its server
starts one of its own: `with S3() as server`.
"""

import atexit
import functools
import http.client
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.ports import Port

_PATIENCE = 60.0
_PROGRAM = Path(__file__).with_name("moto_server.py")


class S3:
    """A server, which forgets everything when it is stopped."""

    def __init__(self) -> None:
        self._port = Port()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(self._port.number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "moto did not start"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process has in its environment that uses it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port.number}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
        }

    def use(self) -> None:
        """This process uses it."""
        os.environ.update(self.variables)

    def bucket(self) -> str:
        """The URL of a new bucket, with a prefix in it."""
        url = f"s3://bucket-{uuid.uuid4().hex}/anti/phon"
        self.make(url)
        return url

    def make(self, url: str) -> None:
        """The bucket of a URL."""
        self._ask("PUT", f"/{_split(url)[0]}")

    def names(self, url: str) -> set[str]:
        """Of all objects below a URL."""
        bucket, prefix = _split(url)
        found = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return {each["Key"].removeprefix(f"{prefix}/") for each in found.get("Contents", [])}

    def incomplete(self, url: str) -> set[str]:
        """Of all objects below a URL whose parts are coming."""
        bucket, prefix = _split(url)
        found = self._client.list_multipart_uploads(Bucket=bucket, Prefix=prefix)
        return {each["Key"].removeprefix(f"{prefix}/") for each in found.get("Uploads", [])}

    def put(self, url: str, name: str) -> None:
        """An object."""
        bucket, prefix = _split(url)
        self._client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"x")

    def copy(self, url: str, other: str) -> None:
        """All objects below a URL, below another one too: what `aws s3 sync` does."""
        (bucket, prefix), (into, place) = _split(url), _split(other)
        for name in self.names(url):
            source = {"Bucket": bucket, "Key": f"{prefix}/{name}"}
            self._client.copy_object(CopySource=source, Bucket=into, Key=f"{place}/{name}")

    def begin(self, url: str, name: str) -> None:
        """An upload of parts, of which one has come."""
        bucket, prefix = _split(url)
        about = {"Bucket": bucket, "Key": f"{prefix}/{name}"}
        upload = self._client.create_multipart_upload(**about)["UploadId"]
        self._client.upload_part(**about, UploadId=upload, PartNumber=1, Body=b"x")

    def age(self, url: str, seconds: float) -> None:
        """All that is in its bucket is older by so much."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(_split(url)[0], seconds, file=self._process.stdin, flush=True)
        while "done" not in self._process.stdout.readline():
            assert self._process.poll() is None, "moto ended"

    @functools.cached_property
    def _client(self) -> Any:
        import boto3

        given = self.variables
        return boto3.client(
            "s3",
            endpoint_url=given["AWS_ENDPOINT_URL"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name=given["AWS_REGION"],
        )

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port.number, timeout=60)
        try:
            connection.request(method, path)
            assert connection.getresponse().status == 200
        finally:
            connection.close()


def _split(url: str) -> tuple[str, str]:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix


@functools.cache
def shared_s3() -> S3:
    """The server of this process of tests, which uses it from now on."""
    server = S3()
    atexit.register(server.stop)
    server.use()
    return server
