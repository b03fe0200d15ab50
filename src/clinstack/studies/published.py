"""What the first paper reports of step 2: Tables 3 and 4 of Gema et al. 2023, AUROC in percent on MIMIC-III.

One seed, no intervals; notes cut to their first 128 tokens. Diagnoses and procedures were scored on a softmax over all labels
of a model that was trained with sigmoids. The released code never switches its second adapter on, so the rows with a task
adapter on a clinical one are what the paper states, not what a working stack gives.
"""

from dataclasses import dataclass

TASKS = ("pmv", "mor", "los", "diag", "proc")

VARIANTS = (
    "head-only",
    "task",
    "clinical-frozen",
    "clinical-frozen+task",
    "clinical-trainable",
    "clinical-trainable+task",
)
"""The six rows of Table 3 for a base, in its order."""


@dataclass(frozen=True)
class Reported:
    """A row: base, variant (as ours are called), AUROC in percent in the order of TASKS, and the average as printed."""

    base: str
    variant: str
    auroc: tuple[float, float, float, float, float]
    average: float

    @property
    def mean(self) -> float:
        """Of the printed figures; in some rows it is not the printed average."""
        return sum(self.auroc) / len(self.auroc)

    @property
    def as_printed(self) -> bool:
        """Whether the printed average is that mean, up to its two decimals."""
        return abs(self.mean - self.average) < 0.011


def _rows(base: str, *rows: tuple[str, tuple[float, float, float, float, float], float]) -> tuple[Reported, ...]:
    return tuple(Reported(base, *row) for row in rows)


TABLES = {
    "table3": (
        *_rows("BlueBERT", ("full", (53.12, 76.95, 66.36, 73.81, 77.70), 69.59)),
        *_rows("UmlsBERT", ("full", (55.49, 75.87, 66.06, 64.34, 74.19), 67.19)),
        *_rows("Bio+ClinicalBERT", ("full", (54.49, 72.92, 65.13, 65.97, 71.73), 66.05)),
        *_rows("CORe", ("full", (52.11, 71.52, 64.17, 72.40, 72.73), 66.59)),
        *_rows(
            "LLaMA-7B",
            ("head-only", (51.38, 66.80, 57.65, 60.06, 63.83), 58.61),
            ("task", (51.65, 74.89, 65.70, 78.37, 87.49), 71.62),
            ("clinical-frozen", (51.62, 65.66, 58.16, 63.47, 69.01), 61.58),
            ("clinical-frozen+task", (51.11, 66.00, 58.04, 60.46, 65.30), 60.18),
            ("clinical-trainable", (55.76, 74.81, 64.83, 76.07, 82.76), 70.85),
            ("clinical-trainable+task", (56.72, 77.36, 66.32, 78.52, 87.15), 73.21),
        ),
        *_rows(
            "PMC-LLaMA-7B",
            ("head-only", (53.06, 66.77, 57.94, 60.17, 64.63), 60.51),
            ("task", (53.84, 78.03, 66.14, 78.81, 86.68), 72.70),
            ("clinical-frozen", (51.33, 67.19, 58.13, 63.59, 68.26), 60.06),
            ("clinical-frozen+task", (50.90, 67.00, 58.31, 60.50, 64.42), 60.23),
            ("clinical-trainable", (52.88, 75.86, 65.89, 79.66, 86.85), 72.23),
            ("clinical-trainable+task", (52.21, 76.54, 68.42, 78.67, 87.08), 72.58),
        ),
    ),
    "table4": (
        *_rows("BlueBERT", ("task", (55.77, 81.90, 70.48, 70.66, 78.10), 71.56)),
        *_rows("UmlsBERT", ("task", (56.59, 80.33, 69.03, 69.68, 77.53), 70.63)),
        *_rows("Bio+ClinicalBERT", ("task", (56.13, 78.81, 68.28, 68.53, 75.19), 69.39)),
        *_rows("CORe", ("task", (55.31, 79.27, 68.18, 67.34, 72.36), 68.49)),
    ),
}
"""The tables' rows, by the name of the command that makes the table again."""
