"""A backbone's tokenizer, as notes need it: a start token on every note, no padding, byte offsets, and a hash of its own.

Tokenizers of the LLaMA family may or may not add their start token by themselves, depending on version and file; here it is
always added by us, exactly once. Models without one (GPT-2, Qwen) open a note with their end-of-text token. Encoders open a
note with their class token and close it with their separator, as they were trained.
"""

import hashlib
from typing import Any

from clinstack.errors import BadInput

_FEW_PIECES = 100
"""Of no tokenizer that was learned from much text; one of so few is looked at."""


class NoteTokenizer:
    """Text -> token ids with the start token in front.

    name:   what to call the base in messages.
    fast:   a transformers fast tokenizer.
    closed: whether notes end with the separator, as encoders read them.
    """

    def __init__(self, name: str, fast: Any, *, closed: bool = False):
        self._rust: Any = getattr(fast, "backend_tokenizer", None)
        if self._rust is None:
            raise BadInput(
                f"{name}: its tokenizer has no fast form (tokenizer.json). Convert it with transformers first."
            )
        # Where a folder lacks its tokenizer's files, transformers makes one of special tokens, and says nothing.
        if len(fast) < _FEW_PIECES and all(piece.startswith(("<", "[")) for piece in fast.get_vocab()):
            raise BadInput(
                f"{name}: its tokenizer knows {len(fast)} special tokens and no words. Its files are missing: fetch the base "
                "again, whole."
            )
        start = _first(fast.cls_token_id if closed else None, fast.bos_token_id, fast.eos_token_id)
        if start is None:
            raise BadInput(f"{name}: its tokenizer has neither a start nor an end token, so notes cannot be opened.")
        if closed and (fast.sep_token_id is None or fast.mask_token_id is None):
            raise BadInput(f"{name}: its tokenizer lacks the separator or mask token of an encoder.")
        self._rust.no_padding()
        self._rust.no_truncation()
        self.start: int = start
        self.end: tuple[int, ...] = (int(fast.sep_token_id),) if closed else ()
        self.mask: int | None = int(fast.mask_token_id) if closed else None
        # By the highest id: where some are missing there are fewer pieces than that.
        self.size: int = 1 + max(self._rust.get_vocab(with_added_tokens=True).values())
        self.learned: int = 1 + max(self._rust.get_vocab(with_added_tokens=False).values())
        self.unknown: int | None = fast.unk_token_id
        self.has_pad: bool = fast.pad_token_id is not None
        self.pad: int = int(fast.pad_token_id) if fast.pad_token_id is not None else self.start
        # How notes are opened and closed is part of it: one file may serve bases with other start tokens.
        whole = f"{self._rust.to_str()}{self.start}{self.end}"
        self.hash: str = "sha256:" + hashlib.sha256(whole.encode()).hexdigest()

    def encode_plain(self, text: str) -> list[int]:
        """Token ids of a text alone, without a start token."""
        return list(self._rust.encode(text, add_special_tokens=False).ids)

    def plain(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, whole and not opened."""
        return [list(one.ids) for one in self._rust.encode_batch_fast(texts, add_special_tokens=False)]

    def opened(self, ids: list[int]) -> list[int]:
        """The ids as a note has them: behind the start token, and closed where notes are."""
        return [self.start, *ids, *self.end]

    def room(self, max_tokens: int) -> int:
        """How many tokens of text a note of `max_tokens` holds."""
        return max_tokens - 1 - len(self.end)

    def encode(self, texts: list[str], max_tokens: int | None = None) -> list[list[int]]:
        """Token ids of each text, opened (and closed), cut to `max_tokens` in all."""
        limit = None if max_tokens is None else self.room(max_tokens)
        return [self.opened(ids[:limit]) for ids in self.plain(texts)]

    def encode_within(self, texts: list[str], max_tokens: int) -> tuple[list[list[int]], int]:
        """Like `encode` with a limit, and the UTF-8 bytes of the text that the kept tokens spell."""
        kept, text_bytes = [], 0
        for text, one in zip(texts, self._rust.encode_batch(texts, add_special_tokens=False), strict=True):
            ids = one.ids[: self.room(max_tokens)]
            kept.append(self.opened(ids))
            text_bytes += len(text[: one.offsets[len(ids) - 1][1]].encode("utf-8")) if ids else 0
        return kept, text_bytes

    def head_ends(self, text: str, ids: list[int], of: int) -> int:
        """The character that a text's first tokens `ids`, out of so many, end at.

        Offsets cost as much again as tokens, so they are taken of the part that is about as long; of the whole if need be.
        """
        for part in (text[: _about(text, ids, of)], text):
            found = self._rust.encode(part, add_special_tokens=False)
            if found.ids[: len(ids)] == ids:
                break
        return int(found.token_to_chars(len(ids) - 1)[1])

    def tail_begins(self, text: str, ids: list[int], of: int) -> int:
        """The character that a text's last tokens `ids`, out of so many, begin at; computed as `head_ends`."""
        for start in (max(0, len(text) - _about(text, ids, of)), 0):
            found = self._rust.encode(text[start:], add_special_tokens=False)
            if found.ids[-len(ids) :] == ids:
                break
        return start + int(found.token_to_chars(len(found.ids) - len(ids))[0])

    def places(self, texts: list[str]) -> list[list[int]]:
        """The character that each token of each text begins at, the start token left out."""
        return [[start for start, _ in one.offsets] for one in self._rust.encode_batch(texts, add_special_tokens=False)]


def _about(text: str, ids: list[int], of: int) -> int:
    """Characters that hold these tokens out of so many, with some to spare."""
    return int(1.25 * len(text) * len(ids) / of) + 64


def _first(*ids: int | None) -> int | None:
    return next((int(one) for one in ids if one is not None), None)


BYTES_PER_TOKEN = 4.0
"""Of English clinical text under a vocabulary of 32,000 pieces, about."""


class AssumedTokenizer:
    """Stands in for a tokenizer that is not at hand, where only the number of tokens matters."""

    size = 32_000

    def plain(self, texts: list[str]) -> list[list[int]]:
        """As many zeros as each text has tokens, about."""
        return [[0] * max(1, round(len(text.encode("utf-8")) / BYTES_PER_TOKEN)) for text in texts]

    def opened(self, ids: list[int]) -> list[int]:
        """With a start token."""
        return [0, *ids]

    def room(self, max_tokens: int) -> int:
        """How many tokens of text a note of `max_tokens` holds."""
        return max_tokens - 1

    def encode(self, texts: list[str], max_tokens: int | None = None) -> list[list[int]]:
        """The same for several texts, opened and cut."""
        return [self.opened(ids)[:max_tokens] for ids in self.plain(texts)]

    def encode_plain(self, text: str) -> list[int]:
        """One text alone."""
        return self.plain([text])[0]
