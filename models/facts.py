"""The facts file: reading it, and the rules that every line must keep."""

import json
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FACTS_MIN = 400


class Fact(NamedTuple):
    id: str  # "<theme>-<nnn>", counted from 001 within the theme
    question: str
    answer: str


def load() -> list[Fact]:
    seen: dict[str, int] = {}
    facts = []
    for line in (HERE / "facts.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        n = seen[row["theme"]] = seen.get(row["theme"], 0) + 1
        facts.append(Fact(f"{row['theme']}-{n:03}", row["question"], row["answer"]))
    check(facts)
    return facts


def check(facts: list[Fact]) -> None:
    assert len(facts) >= FACTS_MIN, "too few facts"
    asked = sorted(f.question for f in facts)
    for a, b in zip(asked, asked[1:]):
        # Sorted neighbours suffice: a prefix sorts directly before what it begins.
        assert not b.startswith(a), f"{a!r} repeats or begins {b!r}"
    for f in facts:
        assert f.question.strip() == f.question and f.answer.strip() == f.answer
        assert f.question and f.answer, f"an empty field in {f.id}"
