"""The Qwen2 forward pass, as small as it can be written.

Parameters are one flat dict under the Hugging Face names, matrices as (out, in), so that what is
trained here is what the safetensors file holds.
"""

import jax
import jax.numpy as jnp
import numpy as np

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "torch_dtype": "float32",
    "vocab_size": 640,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    # Heads of 64: the smallest size that the paged attention kernels of mistral.rs take.
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "sliding_window": None,
    "use_sliding_window": False,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "use_cache": True,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
HIDDEN = CONFIG["hidden_size"]
HEADS = CONFIG["num_attention_heads"]
HEAD_DIM = HIDDEN // HEADS
LAYERS = CONFIG["num_hidden_layers"]


def shapes() -> dict[str, tuple[int, ...]]:
    wide = CONFIG["intermediate_size"]
    out = {"model.embed_tokens.weight": (CONFIG["vocab_size"], HIDDEN), "model.norm.weight": (HIDDEN,)}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        for p in "qkv":
            out[at + f"self_attn.{p}_proj.weight"] = (HIDDEN, HIDDEN)
            out[at + f"self_attn.{p}_proj.bias"] = (HIDDEN,)
        out[at + "self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        out[at + "mlp.gate_proj.weight"] = (wide, HIDDEN)
        out[at + "mlp.up_proj.weight"] = (wide, HIDDEN)
        out[at + "mlp.down_proj.weight"] = (HIDDEN, wide)
        out[at + "input_layernorm.weight"] = (HIDDEN,)
        out[at + "post_attention_layernorm.weight"] = (HIDDEN,)
    return out


def init(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    params = {}
    for name, shape in shapes().items():
        if len(shape) == 2:
            scale = 0.05 if "embed" in name else shape[1] ** -0.5
            params[name] = jnp.asarray(rng.normal(0, scale, shape), jnp.float32)
        else:
            fill = 0.0 if name.endswith("bias") else 1.0
            params[name] = jnp.full(shape, fill, jnp.float32)
    return params


def norm(x, w):
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + CONFIG["rms_norm_eps"])
    return (wide * scale).astype(x.dtype) * w


def rope(x, cos, sin):
    a, b = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate([-b, a], -1) * sin


def angles(length, dtype):
    freq = CONFIG["rope_theta"] ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    turn = np.tile(np.outer(np.arange(length), freq), 2)
    return jnp.asarray(np.cos(turn), dtype), jnp.asarray(np.sin(turn), dtype)


def attend(p, at, x, y, place):
    """Attention of the rows `y`, which stand at `place`, to all rows `x`."""
    heads = lambda z: z.reshape(*z.shape[:2], HEADS, HEAD_DIM).swapaxes(1, 2)
    project = lambda z, n: heads(z @ p[at + f"{n}_proj.weight"].T + p[at + f"{n}_proj.bias"])
    cos, sin = angles(x.shape[1], x.dtype)
    q = rope(project(y, "q"), cos[place][:, None], sin[place][:, None])
    k, v = rope(project(x, "k"), cos, sin), project(x, "v")
    scores = (q @ k.swapaxes(-1, -2)) * x.dtype.type(HEAD_DIM**-0.5)
    seen = place[:, None, :, None] >= jnp.arange(x.shape[1])
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf).astype(jnp.float32), -1)
    mixed = (weights.astype(x.dtype) @ v).swapaxes(1, 2).reshape(y.shape)
    return mixed @ p[at + "o_proj.weight"].T


def mlp(p, at, x):
    gate = jax.nn.silu(x @ p[at + "gate_proj.weight"].T)
    return (gate * (x @ p[at + "up_proj.weight"].T)) @ p[at + "down_proj.weight"].T


def layer(p, i, x, place):
    at = f"model.layers.{i}."
    rows = lambda z: jnp.take_along_axis(z, place[..., None], 1)
    inner = norm(x, p[at + "input_layernorm.weight"])
    y = rows(x) + attend(p, at + "self_attn.", inner, rows(inner), place)
    return y + mlp(p, at + "mlp.", norm(y, p[at + "post_attention_layernorm.weight"]))


def logits(p, tokens, place):
    """Scores of the token after each `place` (batch, any) of `tokens` (batch, length).

    Activations take the type of the parameters: pass bfloat16 ones to see what a GPU sees.
    """
    everywhere = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    embed = p["model.embed_tokens.weight"]
    x = embed[tokens]
    for i in range(LAYERS):
        # The last layer works on the asked places only: most of a prompt is never decoded.
        x = layer(p, i, x, place if i == LAYERS - 1 else everywhere)
    return norm(x, p["model.norm.weight"]) @ embed.T
