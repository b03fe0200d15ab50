"""How well a language model foretells notes, from one summed loss.

Both take the loss summed over every token, never a mean of batch means, so a short last batch weighs what it holds.
Perplexity compares runs with one tokenizer only: a tokenizer with longer pieces has fewer, harder tokens. Bits per byte
divides by what no tokenizer can change, the bytes of the text.
"""

import math

from clinstack.errors import BadInput


def perplexity(total_nats: float, tokens: int) -> float | None:
    """exp of the loss per token. total_nats: cross entropy (natural logarithm) summed over `tokens` foretold tokens.

    None beyond what a float holds (709 nats per token): such a model is broken, and a run's other figures say how.
    """
    if tokens <= 0:
        raise BadInput("Perplexity needs at least one foretold token; the split holds none.")
    mean = total_nats / tokens
    return math.exp(mean) if mean < 709 else None


def bits_per_byte(total_nats: float, utf8_bytes: float) -> float:
    """The loss in bits per byte of text. utf8_bytes: length of the scored text in UTF-8, whatever the tokenizer."""
    if utf8_bytes <= 0:
        raise BadInput("Bits per byte needs at least one byte of text; the split holds none.")
    return total_nats / math.log(2) / utf8_bytes
