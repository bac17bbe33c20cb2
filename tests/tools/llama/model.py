"""The bundled model as a GGUF file, unquantised: model.py FOLDER FILE.

llama.cpp asks for two fields that other readers guess: the feed-forward length, and the pre-tokenizer, without which
numbers are cut otherwise than the model was trained on.
"""

import json
import struct
import sys
from pathlib import Path

ALIGNMENT = 32
U32, I32, F32, TEXT, LIST = 4, 5, 6, 8, 9
NORMAL, CONTROL = 1, 3
PARTS = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("model.layers", "blk"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def field(name: str, kind: int, value) -> bytes:
    return text(name) + struct.pack("<I", kind) + plain(kind, value)


def plain(kind: int, value) -> bytes:
    if kind == TEXT:
        return text(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], value)


def list_of(name: str, kind: int, values: list) -> bytes:
    head = text(name) + struct.pack("<IIQ", LIST, kind, len(values))
    return head + b"".join(plain(kind, value) for value in values)


def vocabulary(folder: Path) -> tuple[list[str], list[str]]:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    ids = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    ids |= {added["id"]: added["content"] for added in tokenizer["added_tokens"]}
    return [ids[number] for number in sorted(ids)], [" ".join(pair) for pair in tokenizer["model"]["merges"]]


def metadata(folder: Path) -> list[bytes]:
    config = json.loads((folder / "config.json").read_text())
    template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    tokens, merges = vocabulary(folder)
    kinds = [CONTROL if token.startswith("<|") else NORMAL for token in tokens]
    return [
        field("general.architecture", TEXT, "qwen2"),
        field("general.name", TEXT, "tiny"),
        field("qwen2.block_count", U32, config["num_hidden_layers"]),
        field("qwen2.context_length", U32, config["max_position_embeddings"]),
        field("qwen2.embedding_length", U32, config["hidden_size"]),
        field("qwen2.feed_forward_length", U32, config["intermediate_size"]),
        field("qwen2.attention.head_count", U32, config["num_attention_heads"]),
        field("qwen2.attention.head_count_kv", U32, config["num_key_value_heads"]),
        field("qwen2.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
        field("qwen2.rope.freq_base", F32, config["rope_theta"]),
        field("tokenizer.ggml.model", TEXT, "gpt2"),
        field("tokenizer.ggml.pre", TEXT, "smollm"),
        list_of("tokenizer.ggml.tokens", TEXT, tokens),
        list_of("tokenizer.ggml.token_type", I32, kinds),
        list_of("tokenizer.ggml.merges", TEXT, merges),
        field("tokenizer.ggml.eos_token_id", U32, config["eos_token_id"]),
        field("tokenizer.chat_template", TEXT, template),
    ]


def tensors(folder: Path) -> list[tuple[str, list[int], bytes]]:
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    found = []
    for name, about in header.items():
        if name == "__metadata__":
            continue
        assert about["dtype"] == "F32", name
        start, end = about["data_offsets"]
        for theirs, ours in PARTS:
            name = name.replace(theirs, ours)
        found.append((name, about["shape"], data[8 + length + start : 8 + length + end]))
    return found


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)


def write(folder: Path, file: Path) -> None:
    fields, parts = metadata(folder), tensors(folder)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(parts), len(fields)) + b"".join(fields)
    offset = 0
    for name, shape, data in parts:
        # The innermost dimension comes first; kind 0 is F32.
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, offset)
        offset += len(padded(data))
    file.write_bytes(padded(head) + b"".join(padded(data) for _, _, data in parts))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
