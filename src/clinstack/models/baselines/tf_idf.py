"""TF-IDF weights and a logistic regression per class: scikit-learn's, the usual strong line."""

from typing import ClassVar

from sklearn.linear_model import LogisticRegression

from clinstack.models.tf_idf_linear import TfIdfLinear


class TfIdf(TfIdfLinear):
    """Logistic regressions."""

    strengths: ClassVar[tuple[float, ...]] = (0.1, 1.0, 10.0, 100.0)

    @classmethod
    def classifier(cls, strength: float, seed: int) -> LogisticRegression:
        """See `TfIdfLinear`."""
        return LogisticRegression(C=strength, max_iter=300)
