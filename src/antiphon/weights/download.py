"""A file of a hub, downloaded: it goes on where an earlier attempt ended, and is kept only when it is right.

What has come is kept beside the file's place under a name with its sha256: bytes of another version of the
file are never taken for its beginning, and what was put together is hashed before it gets its name.
"""

import errno
import os
import time
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Final

import httpx2

from antiphon.weights.errors import WeightsError
from antiphon.weights.files import alone, check_room, in_words, is_whole, sha256_of, stamp
from antiphon.weights.hub import File, Hub
from antiphon.weights.reference import OnHub

PAUSES: Final = (0.5, 2.0, 5.0, 15.0)
"""Seconds before another attempt; after so many without a byte, a download is given up."""
_LATER: Final = (408, 429, 500, 502, 503, 504)
_LONGEST_PAUSE: Final = 60.0


class _Cut(Exception):
    """It ended too early; `after` is when the server wants to be asked again."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Download:
    """Of one file to its place. `progress` is given the bytes of it that are there."""

    def __init__(
        self,
        hub: Hub,
        wanted: OnHub,
        url: str,
        file: File,
        path: Path,
        progress: Callable[[int], None],
    ) -> None:
        self._hub = hub
        self._wanted = wanted
        self._url = url
        self._file = file
        self._path = path
        self._progress = progress
        self._part = path.with_name(f".{path.name}.{file.sha256[:16]}.part")

    @property
    def missing(self) -> int:
        """Bytes that have still to come, as far as it looks."""
        return 0 if self._path.exists() else self._file.size - self._size()

    def run(self) -> None:
        """Two processes that run it at once download it once. Raises `WeightsError`, OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self._path.with_name(f".{self._path.name}.lock")):
            if not is_whole(self._path, self._file.size, self._file.sha256):
                self._fetch()
        self._progress(self._file.size)

    def _fetch(self) -> None:
        for _attempt in range(2):
            self._complete()
            if self._size() == self._file.size and sha256_of(self._part) == self._file.sha256:
                os.replace(self._part, self._path)
                stamp(self._path, self._file.sha256)
                self._clear()
                return
            self._part.unlink(missing_ok=True)
        raise WeightsError(
            f"{self._file.name} was downloaded twice, and is not what {self._wanted} should be: its sha256 "
            "is another one. Is there a proxy that changes what passes?"
        )

    def _complete(self) -> None:
        """Appends until all bytes are there."""
        if self._size() > self._file.size:
            self._part.unlink()
        check_room(self._path.parent, self._file.size - self._size())
        failures = 0
        while (before := self._size()) < self._file.size:
            try:
                self._append(before)
            except (_Cut, httpx2.HTTPError) as fault:
                failures = 0 if self._size() > before else failures + 1
                if failures > len(PAUSES):
                    raise WeightsError(self._given_up(fault)) from fault
                after = fault.after if isinstance(fault, _Cut) else 0.0
                time.sleep(min(max(PAUSES[max(failures - 1, 0)], after), _LONGEST_PAUSE))

    def _append(self, begin: int) -> None:
        """Raises `_Cut` or HTTPError when it may be tried again, `WeightsError` when that is of no use."""
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        with self._hub.client.stream("GET", self._url, headers=headers) as answer:
            if answer.status_code == 416:  # it has less than we believe
                self._part.unlink()
                raise _Cut("the server has no such bytes")
            if answer.status_code in _LATER:
                raise _Cut(self._hub.refused(answer, self._wanted), _seconds(answer.headers))
            if answer.status_code not in (200, 206):
                raise WeightsError(self._hub.refused(answer, self._wanted))
            self._write(answer, begin)

    def _write(self, answer: httpx2.Response, begin: int) -> None:
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
        if begin and not (answer.status_code == 206 and goes_on):
            begin = 0  # it begins anew
        try:
            with self._part.open("r+b" if begin else "wb") as target:
                target.seek(begin)
                for chunk in answer.iter_raw():
                    begin += len(chunk)
                    if begin > self._file.size:
                        raise _Cut("more came than the file has")
                    target.write(chunk)
                    self._progress(begin)
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            if error.errno == errno.ENOSPC:  # others need this disk too
                self._part.unlink(missing_ok=True)
            raise

    def _given_up(self, fault: Exception) -> str:
        there, size = in_words(self._size()), in_words(self._file.size)
        return (
            f"The download of {self._file.name} was cut off after {there} of {size} "
            f"({str(fault) or type(fault).__name__}). The same command goes on from there."
        )

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _clear(self) -> None:
        """Takes what is left of other versions."""
        for left_over in self._path.parent.glob(f".{escape(self._path.name)}.*.part"):
            left_over.unlink(missing_ok=True)


def _seconds(headers: httpx2.Headers) -> float:
    after = headers.get("Retry-After", "")
    return float(after) if after.isdigit() else 0.0
