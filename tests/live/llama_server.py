"""llama.cpp's server on a port of loopback, as anybody runs it.

python -m tests.live.llama_server FILE.gguf PORT NAME
"""

import sys
import threading

import xllamacpp


def main(model: str, port: str, name: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.endpoint_slots = True
    params.n_parallel = 2
    params.n_ctx = 2 * 8192
    params.kv_unified = False
    params.fit_params = False
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 2
    server = xllamacpp.Server(params)
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main(*sys.argv[1:])
