"""A tokenizer learned from the notes of one task's training part: subwords (a unigram model) or whole words.

Learning is repeatable: the same notes give the same file. Accents and numbers stay as they are, since vital signs say much; whole
words are without capitals and punctuation, as the tutorials have them whose forms use words.
"""

from collections import Counter
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clinstack.errors import BadInput

_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "unk_token": "<unk>"}


def train_tokenizer(texts: list[str], kind: Literal["subwords", "words"], most: int) -> PreTrainedTokenizerFast:
    """A tokenizer with at most so many pieces, its padding, start and unknown among them.

    Raises BadInput if the texts hold nothing to learn from.
    """
    tokenizer = _subwords(texts, most) if kind == "subwords" else _words(texts, most)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)


def _subwords(texts: list[str], most: int) -> Any:
    tokenizer: Any = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = list(_SPECIAL.values())
    trainer: Any = trainers.UnigramTrainer(
        vocab_size=most, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    _require_text(texts)
    tokenizer.train_from_iterator(texts, trainer)
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
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    tokenizer.add_special_tokens(list(_SPECIAL.values()))
    return tokenizer


def _require_text(pieces: list[str]) -> None:
    if not any(piece.strip() for piece in pieces):
        raise BadInput("The training part holds no text to learn a tokenizer from.")
