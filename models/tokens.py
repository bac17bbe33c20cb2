"""The tokenizer and the chat template."""

from pathlib import Path

import jinja2
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import net

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
EOS = "<|im_end|>"
EOS_ID = SPECIAL.index(EOS)
CHAT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def config() -> dict:
    added = {
        str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                 "single_word": False, "special": True}
        for i, t in enumerate(SPECIAL)
    }
    return {
        "add_bos_token": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "chat_template": CHAT,
        "clean_up_tokenization_spaces": False,
        "eos_token": EOS,
        "model_max_length": net.CONFIG["max_position_embeddings"],
        "pad_token": SPECIAL[0],
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def train(texts: list[str]) -> Tokenizer:
    """Byte-level BPE: every text has an encoding, so no unknown token exists."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=net.CONFIG["vocab_size"],
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(texts, trainer)
    assert tok.get_vocab_size() == net.CONFIG["vocab_size"]
    assert [tok.token_to_id(t) for t in SPECIAL] == list(range(len(SPECIAL)))
    return tok


def prompt(question: str) -> str:
    message = {"role": "user", "content": question}
    return jinja2.Template(CHAT).render(messages=[message], add_generation_prompt=True)


def load(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
