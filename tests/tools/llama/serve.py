"""llama.cpp's own server: serve.py GGUF PORT SLOTS [embeddings]. It ends with whoever started it."""

import os
import sys
import time

import xllamacpp

CONTEXT = 512

parent = os.getppid()
model, port, slots, *more = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"tiny"}
params.hostnames = ["127.0.0.1"]
params.port = int(port)
params.n_parallel = int(slots)
params.n_ctx = int(slots) * CONTEXT
params.kv_unified = False
params.endpoint_metrics = True
params.use_jinja = True
params.fit_params = False
if more:
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while os.getppid() == parent:
    time.sleep(0.5)
os._exit(0)
