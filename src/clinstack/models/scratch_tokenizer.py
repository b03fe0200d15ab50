"""A tokenizer learned from the notes of one task's training part: subwords (a unigram model) or whole words.

Learning is repeatable: the same notes give the same file. Accents and numbers stay as they are, since vital signs say much;
whole words are without capitals and punctuation, as in the tutorials whose forms use words. Subwords are sentencepiece's, on
one thread: it gives the same pieces every time, where the trainer of tokenizers (0.23) gives others at each call.

Learning subwords begins with many candidates, of which the useful ones are kept. sentencepiece's own candidates are what is in
several different words, so that a word without relatives is never one, however often it is written; in the lines of one ward
that is most words. Ours are what is written more than once.
"""

import io
import re
import unicodedata
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from clinstack.errors import BadInput

_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "unk_token": "<unk>"}
_UNKNOWN = list(_SPECIAL).index("unk_token")
_LONGEST = 2**20
"""Bytes of a note that are learned from; sentencepiece leaves out longer ones."""
_BEGINS = "▁"
"""Stands for the blank before a word."""
_LONGEST_PIECE = 16
_MOST_WORDS, _MOST_CANDIDATES = 50_000, 1_000_000
"""The most frequent words, whose parts are looked at, and the candidates that are kept."""


def train_tokenizer(
    texts: list[str], kind: Literal["subwords", "words"], most: int, place: Path
) -> PreTrainedTokenizerFast:
    """A tokenizer with at most so many pieces, its padding, start and unknown among them.

    place: a folder for parts of words meanwhile, which nobody else may read: a process that is killed leaves them there.
    Raises BadInput if the texts hold nothing to learn from.
    """
    tokenizer = _subwords(texts, most, place) if kind == "subwords" else _words(texts, most)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)  # type: ignore[no-untyped-call]


def _subwords(texts: list[str], most: int, place: Path) -> Any:
    import sentencepiece

    plain = [re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip() for text in texts]
    _require_text(plain)
    model = io.BytesIO()
    with TemporaryDirectory(dir=place) as meanwhile:
        candidates = Path(meanwhile, "candidates.tsv")
        candidates.write_text(
            "".join(f"{piece}\t{count}\n" for piece, count in _candidates(plain)), encoding="utf-8", newline="\n"
        )
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(plain),
            model_writer=model,
            model_type="unigram",
            seed_sentencepieces_file=str(candidates),
            vocab_size=most,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            max_sentence_length=_LONGEST,
            max_sentencepiece_length=_LONGEST_PIECE,
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


def _candidates(texts: list[str]) -> list[tuple[str, int]]:
    """Parts of words that are written more than once and how often, those that save most first."""
    words = Counter(f"{_BEGINS}{word}" for text in texts for word in text.split(" ") if word)
    counts: Counter[str] = Counter()
    for word, count in words.most_common(_MOST_WORDS):
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + _LONGEST_PIECE) + 1):
                counts[word[start:end]] += count
    often = ((piece, count) for piece, count in counts.items() if count > 1)
    return sorted(often, key=lambda one: (-one[1] * len(one[0]), one[0]))[:_MOST_CANDIDATES]


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
