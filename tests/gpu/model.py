"""Writes a model folder of the shape of Qwen2.5-0.5B with random weights, for measuring speed where weights cannot be
fetched, and a batch file of prompts for it.

    python3 model.py OUT_DIR PROMPTS MAX_TOKENS TOKENIZER_DIR

Its answers are noise and run to MAX_TOKENS. TOKENIZER_DIR is a folder with a byte-level tokenizer.json and
tokenizer_config.json (models/tiny); its vocabulary is filled up to Qwen's size, so that the head costs what it costs.
Needs torch and safetensors.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HIDDEN, LAYERS, HEADS, KV_HEADS, MLP, VOCAB = 896, 24, 14, 2, 4864, 151_936


def config():
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "intermediate_size": MLP,
        "vocab_size": VOCAB,
        "max_position_embeddings": 32_768,
        "max_window_layers": LAYERS,
        "sliding_window": None,
        "use_sliding_window": False,
        "rope_theta": 1_000_000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }


def weights():
    torch.manual_seed(7)

    def normal(*shape):
        return (torch.randn(*shape) * 0.02).to(torch.bfloat16)

    head = HIDDEN // HEADS
    tensors = {"model.embed_tokens.weight": normal(VOCAB, HIDDEN), "model.norm.weight": torch.ones(HIDDEN).bfloat16()}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name, out in (("q", HEADS * head), ("k", KV_HEADS * head), ("v", KV_HEADS * head)):
            tensors[f"{at}self_attn.{name}_proj.weight"] = normal(out, HIDDEN)
            tensors[f"{at}self_attn.{name}_proj.bias"] = normal(out)
        tensors[f"{at}self_attn.o_proj.weight"] = normal(HIDDEN, HEADS * head)
        tensors[f"{at}mlp.gate_proj.weight"] = normal(MLP, HIDDEN)
        tensors[f"{at}mlp.up_proj.weight"] = normal(MLP, HIDDEN)
        tensors[f"{at}mlp.down_proj.weight"] = normal(HIDDEN, MLP)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{norm}.weight"] = torch.ones(HIDDEN).bfloat16()
    return tensors


def tokenizer(source, out, eos):
    """The tokenizer of `source` with made-up tokens up to the vocabulary's size."""
    text = json.loads((source / "tokenizer.json").read_text())
    vocab = text["model"]["vocab"]
    taken = set(vocab.values()) | {token["id"] for token in text["added_tokens"]}
    letters = "abcdefghijklmnopqrstuvwxyz"
    for number in range(VOCAB):
        if number not in taken:
            word = "".join(letters[(number // 26**place) % 26] for place in range(4))
            vocab.setdefault(f"\u0120{word}{number}", number)
    (out / "tokenizer.json").write_text(json.dumps(text, ensure_ascii=False))
    (out / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text())
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))


def prompts(count, most, seed=11):
    random.seed(seed)
    words = "the of a to in is you that it he was for on are as with his they at be this have from or one had".split()
    for number in range(count):
        content = " ".join(random.choice(words) for _ in range(random.randint(20, 60)))
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": most, "temperature": 0}
        yield {"custom_id": f"r-{number:06}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def main():
    out, count, most, source = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    out.mkdir(parents=True, exist_ok=True)
    eos = json.loads((source / "config.json").read_text())["eos_token_id"]
    (out / "config.json").write_text(json.dumps(config() | {"eos_token_id": eos, "bos_token_id": eos}, indent=1))
    save_file(weights(), out / "model.safetensors", metadata={"format": "pt"})
    tokenizer(source, out, eos)
    with open(out / "prompts.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in prompts(count, most))
    print(f"{out}: {sum(f.stat().st_size for f in out.iterdir()) >> 20} MiB, {count} prompts of {most} tokens")


main()
