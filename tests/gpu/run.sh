#!/usr/bin/env bash
# Measures jetbatch on a box with an NVIDIA GPU, with a binary built with `--features cuda`. It needs nats-server on
# PATH, python3 with torch and safetensors for the random model, and CUDA's libraries on LD_LIBRARY_PATH.
#
#   tests/gpu/run.sh JETBATCH_BINARY OUT_DIR [demo|speed|slots|mixed|kill ...]
set -u
jetbatch=$(realpath "$1") out=$(realpath "$2")
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$scratch"' EXIT
cd "$root" || exit 1

say() { printf '\n== %s\n' "$*"; }
model() { [ -d "$scratch/qwen" ] || python3 tests/gpu/model.py "$scratch/qwen" "${PROMPTS:-2000}" "${TOKENS:-128}" models/tiny; }

# pool SLOTS PAGED [ORDER]
pool() {
    cat <<TOML
[pools.qwen]
chunk_requests = ${CHUNK:-64}
order = "${3:-length}"
[pools.qwen.engine]
kind = "mistralrs"
model = { folder = "$scratch/qwen" }
slots = $1
paged_attention = "$2"
dtype = "bf16"
TOML
}

demo() {
    say "the main job on the GPU: the bundled model, every answer checked"
    timeout 120 "$jetbatch" demo --data "$scratch/demo"
}

speed() {
    model
    say "tokens/s: the engine alone and through jetbatch, in one run"
    pool "${SLOTS:-128}" on >"$scratch/speed.toml"
    timeout 300 "$jetbatch" bench engine --config "$scratch/speed.toml" --input "$scratch/qwen/prompts.jsonl" \
        --repeat 1 --rounds "${ROUNDS:-3}" --json 2>&1 | tee "$out/speed.json"
}

slots() {
    model
    head -n "${SWEEP:-512}" "$scratch/qwen/prompts.jsonl" >"$scratch/sweep.jsonl"
    for paged in on off; do
        for slots in ${SLOT_LIST:-32 128 256}; do
            say "paged attention $paged, $slots slots"
            pool "$slots" "$paged" >"$scratch/sweep.toml"
            timeout 150 "$jetbatch" bench engine --config "$scratch/sweep.toml" --input "$scratch/sweep.jsonl" \
                --repeat 1 --rounds 1 --json 2>&1 | tee "$out/slots-$paged-$slots.json"
        done
    done
}

# Answers of one length and of many, by slots: in the order of the file, packed by length, and mistral.rs alone.
mixed() {
    model
    head -n "${MIXED:-512}" "$scratch/qwen/prompts.jsonl" >"$scratch/uniform.jsonl"
    python3 - "$scratch/uniform.jsonl" >"$scratch/mixed.jsonl" <<'PY'
import json, random, sys
random.seed(3)
for line in open(sys.argv[1]):
    line = json.loads(line)
    line["body"]["max_tokens"] = max(4, int(min(random.lognormvariate(3.8, 0.9), 512)))
    words = line["body"]["messages"][-1]["content"].split()
    line["body"]["messages"][-1]["content"] = " ".join(words * random.randint(1, 12))
    print(json.dumps(line))
PY
    for input in uniform mixed; do
        for slots in ${MIXED_SLOTS:-1 8 32 128}; do
            for order in arrival length; do
                say "$input lengths, $slots slots, order $order"
                pool "$slots" on "$order" >"$scratch/mixed.toml"
                timeout 200 "$jetbatch" bench engine --config "$scratch/mixed.toml" --input "$scratch/$input.jsonl" \
                    --repeat 1 --rounds 1 --json 2>&1 | tee "$out/$input-$slots-$order.json"
            done
        done
    done
}

# Two workers on the one GPU, both on the head's nats-server; one is killed in the middle of the job.
kill9() {
    say "kill -9 of a worker in the middle of a job"
    cat >"$scratch/kill.toml" <<TOML
[nats]
data_dir = "$scratch/nats"
ack_wait_s = 3
[store]
url = "$scratch/store"
[http]
listen = "127.0.0.1:8899"
[pools.tiny.engine]
kind = "mistralrs"
model = { folder = "models/tiny" }
paged_memory_mib = 2000
TOML
    export JETBATCH_URL=http://127.0.0.1:8899
    for _ in $(seq 20); do cat models/sample.jsonl; done |
        python3 -c 'import json,sys
for n, line in enumerate(sys.stdin):
    line = json.loads(line); line["custom_id"] += f"#{n}"; print(json.dumps(line))' >"$scratch/kill.jsonl"
    "$jetbatch" serve --config "$scratch/kill.toml" --roles gateway,intake,scheduler,archiver,projector,webhooks 2>"$out/head.log" &
    until curl -sf localhost:8899/readyz >/dev/null; do sleep 0.2; done
    "$jetbatch" serve --config "$scratch/kill.toml" --roles worker 2>"$out/worker-1.log" &
    victim=$!
    "$jetbatch" serve --config "$scratch/kill.toml" --roles worker 2>"$out/worker-2.log" &
    id=$("$jetbatch" submit "$scratch/kill.jsonl" --json | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)
    until curl -sf "localhost:8899/jobs/$id" | grep -qE '"completed":[1-9]'; do sleep 0.02; done
    kill -9 "$victim" && echo "killed worker $victim: $(curl -s "localhost:8899/jobs/$id" | grep -o '"requests":{[^}]*}')"
    timeout 120 "$jetbatch" status "$id" --watch | tail -n 3
    "$jetbatch" results "$id" -o "$scratch/kill.out"
    python3 - "$scratch/kill.jsonl" "$scratch/kill.out" <<'PY'
import json, sys
asked = [json.loads(line)["custom_id"] for line in open(sys.argv[1])]
lines = [json.loads(line) for line in open(sys.argv[2])]
expected = json.load(open("models/expected.json"))
right = sum(
    line["response"]["body"]["choices"][0]["message"]["content"] == expected[line["custom_id"].split("#")[0]] for line in lines
)
same = [line["custom_id"] for line in lines] == asked
print(f"{len(asked)} asked, {len(lines)} lines, in input order once each: {same}, right: {right}")
PY
}

for step in "${@:-demo speed slots mixed kill}"; do
    for name in $step; do if [ "$name" = kill ]; then kill9; else "$name"; fi; done
done
