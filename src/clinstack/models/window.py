"""How much of a note is read: its head, its tail or both, in one chunk or in several.

A discharge note is several times as long as what most models read at once. Head and tail together in one chunk follow Sun et
al. 2019, "How to Fine-Tune BERT for Text Classification?" (arXiv 1905.05583), section 5.3.1: a quarter from the head, the rest
from the tail. Several chunks are read apart, each opened (and closed) as a note is, and joined by `models.chunk_pooling`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clinstack.models.tokenizer import NoteTokenizer

Truncation = Literal["head", "tail", "head+tail"]
Encoded = Sequence[Sequence[list[int]]]
"""Notes; a note is its chunks, one or more; a chunk is its token ids."""

_HEAD_SHARE = 4


@dataclass(frozen=True)
class Window:
    """What is read of each note.

    max_tokens: of a chunk, its start token included.   truncation: what is kept of a longer note.   chunks: at most so many.
    """

    max_tokens: int
    truncation: Truncation = "head"
    chunks: int = 1

    def read(self, tokenizer: NoteTokenizer, texts: Sequence[str]) -> list[list[list[int]]]:
        """Each text's chunks of token ids."""
        return [self.cut(tokenizer, ids) for ids in tokenizer.plain(list(texts))]

    def cut(self, tokenizer: NoteTokenizer, ids: list[int]) -> list[list[int]]:
        """The chunks of a text's plain token ids; a text without a token is one chunk of its start token."""
        return [tokenizer.opened([ids[place] for place in part]) for part in self.parts(tokenizer, len(ids))]

    def parts(self, tokenizer: NoteTokenizer, tokens: int) -> list[list[int]]:
        """Which of a text's so many tokens each chunk holds."""
        room = tokenizer.room(self.max_tokens)
        kept = self._kept(tokens, room * self.chunks)
        return [kept[at : at + room] for at in range(0, max(1, len(kept)), room)]

    def spans(self, tokenizer: NoteTokenizer, text: str, ids: list[int]) -> list[tuple[int, int]]:
        """Which characters of a text, whose plain ids are given, are read: start and end of its head, tail or both, or all."""
        most = tokenizer.room(self.max_tokens) * self.chunks
        if len(ids) <= most:
            return [(0, len(text))]
        head, tail = self._of_longer(most)
        found = []
        if head:
            found.append((0, tokenizer.head_ends(text, ids[:head], len(ids))))
        if tail:
            found.append((tokenizer.tail_begins(text, ids[-tail:], len(ids)), len(text)))
        return found

    def _kept(self, tokens: int, most: int) -> list[int]:
        if tokens <= most:
            return list(range(tokens))
        head, tail = self._of_longer(most)
        return [*range(head), *range(tokens - tail, tokens)]

    def _of_longer(self, most: int) -> tuple[int, int]:
        """Of a note of more tokens than can be read: how many from its head, and how many from its tail."""
        head = {"head": most, "tail": 0, "head+tail": most // _HEAD_SHARE}[self.truncation]
        return head, most - head
