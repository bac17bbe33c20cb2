"""Trains the bundled model on facts.jsonl, writes tiny/ and the demo files, then checks them.

    nice -n 10 python train.py            train, write, check
    python train.py --check               check what is there
"""

import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

# The default generator costs as much as the matrix products here.
jax.config.update("jax_default_prng_impl", "rbg")

import check
import facts
import net
import tokens

OUT = facts.HERE / "tiny"
SEED = 20261122
STEPS = 1600
BATCH = 64
# Part of each batch repeats some of the rows with the highest loss when last seen.
HARD_ROWS = 6
HARD_POOL = 24
# Part of each batch is nonsense with one fixed answer, so that an unknown prompt ends soon.
NOISE_ROWS = 3
UNKNOWN = "I do not know."
ANSWER_TOKENS_MAX = 15  # with the end token it fits the demo's max_tokens of 16
# Taken off the right token's score in training, so that it ends up ahead by that much more.
LEAD = 4.0
RATE = 4e-3
WARMUP = 100
DECAY = 0.02
# Noise on the weights, relative to each tensor's size, over ten times what bfloat16 rounds off: the
# answers then hold in any arithmetic a device may use.
WEIGHT_NOISE = 0.03


def row(tok, question, answer):
    head = tok.encode(tokens.prompt(question)).ids
    tail = tok.encode(answer).ids
    assert len(tail) <= ANSWER_TOKENS_MAX, f"too long: {answer}"
    return head, tail + [tokens.EOS_ID]


def nonsense(tok, rng, words):
    if rng.random() < 0.5:
        text = " ".join(rng.choice(words, rng.integers(1, 5)))
    else:
        text = "".join(map(chr, rng.integers(33, 127, rng.integers(1, 13))))
    return row(tok, text, UNKNOWN)


def pack(rows):
    """Token rows, and for each answer token the place that predicts it, the token and a weight."""
    length = -(-max(len(h) + len(t) for h, t in rows) // 8) * 8
    wide = -(-max(len(t) for _, t in rows) // 4) * 4
    ids = np.zeros((len(rows), length), np.int32)
    place, want = np.zeros((2, len(rows), wide), np.int32)
    weight = np.zeros((len(rows), wide), np.float32)
    for i, (head, tail) in enumerate(rows):
        ids[i, : len(head) + len(tail)] = head + tail
        place[i, : len(tail)] = np.arange(len(tail)) + len(head) - 1
        want[i, : len(tail)] = tail
        weight[i, : len(tail)] = 1
    return ids, place, want, weight


def blur(params, key):
    keys = jax.random.split(key, len(params))
    size = lambda w: WEIGHT_NOISE * jax.lax.stop_gradient(jnp.sqrt(jnp.mean(w * w)))
    return {n: w + size(w) * jax.random.normal(k, w.shape) for k, (n, w) in zip(keys, params.items())}


def loss(params, key, ids, place, want, weight):
    scores = net.logits(blur(params, key), ids, place)
    scores = jax.nn.log_softmax(scores - LEAD * jax.nn.one_hot(want, scores.shape[-1]))
    right = jnp.take_along_axis(scores, want[..., None], 2)[..., 0] * weight
    return -right.sum() / weight.sum(), -right.sum(1)


@partial(jax.jit, donate_argnums=(0, 1, 2))
def step(params, mean, square, n, key, batch):
    """One AdamW step on a cosine schedule with warm-up."""
    (_, losses), grad = jax.value_and_grad(loss, has_aux=True)(params, jax.random.fold_in(key, n), *batch)
    total = jnp.sqrt(sum(jnp.sum(g * g) for g in grad.values()))
    grad = {k: g * jnp.minimum(1, 1 / total) for k, g in grad.items()}
    mean = {k: 0.9 * mean[k] + 0.1 * g for k, g in grad.items()}
    square = {k: 0.98 * square[k] + 0.02 * g * g for k, g in grad.items()}
    rate = RATE * jnp.minimum(n / WARMUP, 0.5 + 0.5 * jnp.cos(jnp.pi * n / STEPS) + 0.005)
    fix_mean, fix_square = 1 - 0.9**n, 1 - 0.98**n
    move = lambda k: mean[k] / fix_mean / (jnp.sqrt(square[k] / fix_square) + 1e-9)
    keep = lambda w: 1 - rate * DECAY * (w.ndim == 2)
    return {k: w * keep(w) - rate * move(k) for k, w in params.items()}, mean, square, losses


def groups(rows, rng):
    """Endless index groups over all rows, of like length: little padding, few shapes to compile."""
    size = BATCH - HARD_ROWS - NOISE_ROWS
    while True:
        order = np.argsort([len(h) + len(t) + rng.random() * 4 for h, t in rows])
        parts = [order[max(0, e - size) : e] for e in range(len(rows), 0, -size)]
        parts[-1] = order[:size]
        yield from (parts[i] for i in rng.permutation(len(parts)))


def fit(tok, all_facts):
    rng = np.random.default_rng(SEED)
    rows = [row(tok, f.question, f.answer) for f in all_facts]
    words = sorted({w for f in all_facts for w in f.question.split()})
    latest = np.zeros(len(rows))
    params = net.init(SEED)
    mean, square = ({k: jnp.zeros_like(w) for k, w in params.items()} for _ in range(2))
    key, start = jax.random.key(SEED), time.monotonic()
    for n, group in zip(range(1, STEPS + 1), groups(rows, rng)):
        pick = np.append(group, rng.choice(np.argsort(-latest)[:HARD_POOL], HARD_ROWS, False))
        batch = pack([rows[i] for i in pick] + [nonsense(tok, rng, words) for _ in range(NOISE_ROWS)])
        params, mean, square, losses = step(params, mean, square, n, key, batch)
        latest[pick] = losses[: len(pick)]
        if n % 100 == 0:
            spent = time.monotonic() - start
            print(f"step {n} loss {latest.mean():.4f} worst {latest.max():.3f} at {spent:.0f} s", flush=True)
    return params


def write(params, tok):
    OUT.mkdir(exist_ok=True)
    weights = {k: np.asarray(w, np.float32) for k, w in params.items()}
    save_file(weights, OUT / "model.safetensors", metadata={"format": "pt"})
    tok.save(str(OUT / "tokenizer.json"), pretty=False)
    generation = {"bos_token_id": net.CONFIG["bos_token_id"], "eos_token_id": tokens.EOS_ID}
    for name, value in [
        ("config.json", net.CONFIG),
        ("generation_config.json", generation),
        ("tokenizer_config.json", tokens.config()),
    ]:
        (OUT / name).write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def write_demo(all_facts):
    line = lambda f: {
        "custom_id": f.id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "tiny",
            "messages": [{"role": "user", "content": f.question}],
            "max_tokens": ANSWER_TOKENS_MAX + 1,
            "temperature": 0,
        },
    }
    text = "".join(json.dumps(line(f), ensure_ascii=False) + "\n" for f in all_facts)
    (facts.HERE / "sample.jsonl").write_text(text, "utf-8")
    answers = {f.id: f.answer for f in all_facts}
    text = json.dumps(answers, ensure_ascii=False, indent=1) + "\n"
    (facts.HERE / "expected.json").write_text(text, "utf-8")


def main():
    all_facts = facts.load()
    if "--check" not in sys.argv:
        tok = tokens.train([text for f in all_facts for text in (f.question, f.answer)])
        write(fit(tok, all_facts), tok)
        write_demo(all_facts)
    sys.exit(0 if check.report(OUT, all_facts) else 1)


if __name__ == "__main__":
    main()
