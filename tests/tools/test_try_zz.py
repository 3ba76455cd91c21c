import json
from tests.scripted import Answer
from tests.tools.using import calls, read
from tests.tools.test_local_shell import *
def test_it(client, http, upstream):
    upstream.script(calls("local_shell", CALL), Answer("Done."), Answer("Bye."))
    conv = client.conversations.create().id
    first = client.responses.create(model="m", input="Hi", tools=[SHELL], conversation=conv)
    out = PRINTED | {"id": first.output[0].id}
    r = http.post("/v1/responses", json={"model":"m","input":[out],"conversation":conv})
    print(r.status_code, r.text[:300])
    r = http.post("/v1/responses", json={"model":"m","input":"bye","conversation":conv})
    print(r.status_code, r.text[:300])
    print(json.dumps(read(upstream)))
