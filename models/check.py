"""Greedy decoding of every fact from the files on disk, in several arithmetics."""

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

import net
import tokens

NEW_TOKENS_MAX = 16
STRANGE = ["Hello!", "Write a poem about rain.", "What is the capital of Atlantis?", "zzz \U0001F980", ""]


def last_logits(params, ids, ends):
    return net.logits(params, ids, ends[:, None])[:, 0].astype(jnp.float32)


def decode(params, tok, questions):
    """Answers, whether each ended by itself, and each one's smallest lead over the second-best token."""
    rows = [tok.encode(tokens.prompt(q)).ids for q in questions]
    ends = np.array([len(r) - 1 for r in rows])
    ids = np.zeros((len(rows), max(ends) + 1 + NEW_TOKENS_MAX), np.int32)
    for i, r in enumerate(rows):
        ids[i, : len(r)] = r
    live, lead = np.ones(len(rows), bool), np.full(len(rows), np.inf)
    new = [[] for _ in rows]
    forward = jax.jit(last_logits)
    for _ in range(NEW_TOKENS_MAX):
        scores = np.asarray(forward(params, ids, ends))
        top = np.sort(scores, -1)
        lead[live] = np.minimum(lead, top[:, -1] - top[:, -2])[live]
        best = scores.argmax(-1)
        live &= best != tokens.EOS_ID
        ends = ends + live
        for i in np.flatnonzero(live):
            ids[i, ends[i]] = best[i]
            new[i].append(int(best[i]))
        if not live.any():
            break
    return [tok.decode(n) for n in new], ~live, lead


def shaken(params, seed, part):
    rng = np.random.default_rng(seed)
    shake = lambda w: w + part * np.sqrt((w * w).mean()) * rng.normal(size=w.shape)
    return {k: shake(w).astype(np.float32) for k, w in params.items()}


def variants(params):
    half = {k: jnp.asarray(w, jnp.bfloat16) for k, w in params.items()}
    yield "float32", params
    yield "bfloat16 weights", {k: w.astype(jnp.float32) for k, w in half.items()}
    yield "bfloat16 weights and activations", half
    yield "float16 weights and activations", {k: jnp.asarray(w, jnp.float16) for k, w in params.items()}
    for seed in range(3):
        yield f"float32, weights shaken by 2 % (seed {seed})", shaken(params, seed, 0.02)


def right(all_facts, texts, ended):
    good = np.array([t == f.answer for f, t in zip(all_facts, texts)]) & ended
    for i in np.flatnonzero(~good)[:10]:
        print(f"  wrong: {all_facts[i].question} -> {texts[i]!r}, not {all_facts[i].answer!r}")
    return int(good.sum())


def report(folder, all_facts):
    tok = tokens.load(folder)
    params = load_file(folder / "model.safetensors")
    assert {k: w.shape for k, w in params.items()} == net.shapes()
    print(f"{sum(w.size for w in params.values())} parameters")
    exact = True
    for name, p in variants(params):
        texts, ended, lead = decode(p, tok, [f.question for f in all_facts])
        count = right(all_facts, texts, ended)
        exact &= count == len(all_facts)
        low = f"smallest {lead.min():.2f}, median {np.median(lead):.2f}"
        print(f"{name}: {count} of {len(all_facts)} exact and ended; margin {low}", flush=True)
    for q, text, ended in zip(STRANGE, *decode(params, tok, STRANGE)[:2]):
        print(f"unknown prompt {q!r}: {text!r} ended={bool(ended)}")
    return exact
