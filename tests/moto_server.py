"""moto's server as the tests of S3 run it: `python moto_server.py PORT`, until its standard input ends.

Uploads of parts have the time at which they began (moto says 2010 of all); each line `BUCKET SECONDS` makes
all that a bucket has so much older.
"""

import os
import sys
import threading
from datetime import timedelta
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.s3.models import FakeMultipart, s3_backends
from moto.s3.responses import S3Response
from moto.server import main

_begun = FakeMultipart.__init__
_listed = S3Response.list_multipart_uploads


def _begin(self: Any, *arguments: Any, **named: Any) -> None:
    _begun(self, *arguments, **named)
    self.last_modified = utcnow()


def _list(self: Any) -> Any:
    uploads, serialized = self.backend.get_bucket(self.bucket_name).multiparts, self.serialized

    def dated(answer: Any) -> Any:
        for each in answer.result["Uploads"]:
            each["Initiated"] = f"{uploads[each['UploadId']].last_modified.isoformat()}Z"
        return serialized(answer)

    self.serialized = dated
    return _listed(self)


def _obey() -> None:
    for line in sys.stdin:
        name, seconds = line.split()
        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(name)
        for each in (*bucket.keys.values(), *bucket.multiparts.values()):
            each.last_modified -= timedelta(seconds=float(seconds))
        print("done", flush=True)
    os._exit(0)


if __name__ == "__main__":
    FakeMultipart.__init__ = _begin  # type: ignore[method-assign]
    S3Response.list_multipart_uploads = _list  # type: ignore[method-assign]
    threading.Thread(target=_obey, daemon=True).start()
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
