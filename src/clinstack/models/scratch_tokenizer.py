"""A tokenizer learned from the notes of one task's training part: subwords (a unigram model) or whole words.

Learning is repeatable: the same notes give the same file. Accents and numbers stay as they are, since vital signs say much;
whole words are without capitals and punctuation, as in the tutorials whose forms use words. Subwords are sentencepiece's, on
one thread: it gives the same pieces every time, where the trainer of tokenizers (0.23) gives others at each call.
"""

import io
import re
import unicodedata
from collections import Counter
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from clinstack.errors import BadInput

_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "unk_token": "<unk>"}
_UNKNOWN = list(_SPECIAL).index("unk_token")
_LONGEST = 2**20
"""Bytes of a note that are learned from; sentencepiece leaves out longer ones."""


def train_tokenizer(texts: list[str], kind: Literal["subwords", "words"], most: int) -> PreTrainedTokenizerFast:
    """A tokenizer with at most so many pieces, its padding, start and unknown among them.

    Raises BadInput if the texts hold nothing to learn from.
    """
    tokenizer = _subwords(texts, most) if kind == "subwords" else _words(texts, most)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)  # type: ignore[no-untyped-call]


def _subwords(texts: list[str], most: int) -> Any:
    import sentencepiece

    plain = [re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip() for text in texts]
    _require_text(plain)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(plain),
        model_writer=model,
        model_type="unigram",
        vocab_size=most,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        max_sentence_length=_LONGEST,
        num_threads=1,
        minloglevel=2,
        pad_id=0,
        bos_id=1,
        unk_id=_UNKNOWN,
        eos_id=-1,
        pad_piece=_SPECIAL["pad_token"],
        bos_piece=_SPECIAL["bos_token"],
        unk_piece=_SPECIAL["unk_token"],
    )
    found: Any = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(found.id_to_piece(number), found.get_score(number)) for number in range(found.get_piece_size())]
    tokenizer: Any = Tokenizer(models.Unigram(pieces, _UNKNOWN, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer


def _words(texts: list[str], most: int) -> Any:
    normalizer: Any = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[\p{P}\p{S}]+"), "")]
    )
    cut: Any = pre_tokenizers.WhitespaceSplit()
    counts = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)))
    _require_text(list(counts))
    often = sorted(counts, key=lambda word: (-counts[word], word))[: most - len(_SPECIAL)]
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL.values(), *often])}
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token=_SPECIAL["unk_token"]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    return tokenizer


def _require_text(pieces: list[str]) -> None:
    if not any(piece.strip() for piece in pieces):
        raise BadInput("The training part holds no text to learn a tokenizer from.")
