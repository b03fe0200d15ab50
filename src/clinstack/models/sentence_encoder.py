"""SetFit: an encoder learns from pairs of training notes which of them belong together, before a head learns the classes.

Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts" (arXiv 2209.11055). The library of its authors trains the
encoder, with its defaults (batches of 16 pairs, one epoch, rate 2e-5, cosine similarity) and the paper's R = 20 pairs of each
sort for a note, since all pairs grow with the square of the notes.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clinstack.errors import BadInput

PREFIX = "setfit:"
"""Begins the name of a base that is tuned by SetFit; behind it the encoder."""
PAIRS = 20
"""Pairs that belong together, and pairs that do not, for a note (R in the paper)."""


def encoder_of(base: str) -> str | None:
    """The encoder that SetFit is to tune, if a base's name says so."""
    return base.removeprefix(PREFIX) if base.startswith(PREFIX) else None


def tune_on_pairs(
    folder: Path,
    texts: Sequence[str],
    labels: NDArray[np.bool_],
    *,
    several: bool,
    max_tokens: int,
    seed: int,
    device: str,
) -> dict[str, Tensor]:
    """The weights of the encoder in a model folder after it has learned from pairs of labelled texts.

    labels: (N, C).   several: whether a text may have several classes; then two belong together if they share one.
    Raises BadInput if the library is not installed, or if no two texts are to be told apart.
    """
    if several and (labels.astype(int) @ labels.T.astype(int)).all():
        raise BadInput(
            "Every two training notes share a label, so SetFit has no pair to tell apart. Leave out the labels that nearly all "
            "notes have, or take the encoder without setfit:."
        )
    try:
        import setfit
    except ImportError as error:
        raise BadInput(
            "A base setfit:ENCODER needs SetFit, which is not installed. Install clinstack[setfit]."
        ) from error
    from datasets import disable_progress_bars
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from sklearn.linear_model import LogisticRegression
    from transformers import PrinterCallback, ProgressCallback

    disable_progress_bars()
    setfit.logging.set_verbosity_error()
    reader = Transformer(str(folder), max_seq_length=max_tokens)
    pooling = Pooling(reader.get_embedding_dimension(), "mean")
    body = SentenceTransformer(modules=[reader, pooling], device=device)
    model = setfit.SetFitModel(body, LogisticRegression(), multi_target_strategy="one-vs-rest" if several else None)
    classes: list[Any] = labels.astype(int).tolist() if several else labels.argmax(axis=1).tolist()
    with TemporaryDirectory(prefix="clinstack-") as out:
        arguments = setfit.TrainingArguments(
            output_dir=out,
            num_iterations=PAIRS,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        trainer = setfit.Trainer(model=model, args=arguments)
        trainer.st_trainer.args.dataloader_pin_memory = device.startswith("cuda")
        for talker in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(talker)
        trainer.train_embeddings(list(texts), classes)
    return {name: tensor.detach().cpu() for name, tensor in reader.auto_model.state_dict().items()}
