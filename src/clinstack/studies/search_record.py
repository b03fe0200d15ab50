"""The record of a search: Optuna's study, in a journal file or a database, asked and told in our words.

States: a trial is running, complete, pruned or failed; a repeat is complete (or failed) and names the trial it repeats.
"""

import logging
import statistics
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, PartialFixedSampler, RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from clinstack.errors import BadInput
from clinstack.runs.atomic import wait_for_turn
from clinstack.runs.layout import SearchLayout

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("optuna").setLevel(logging.ERROR)

_STARTUP = 10
"""Points drawn by chance before the Gaussian process proposes, as is Optuna's default."""
_BEFORE_PRUNING = 4
"""Trials that must have come to their end before one is pruned against their median."""


def open_record(storage: str | None, layout: SearchLayout, identity: str, *, minimise: bool, rung: int) -> "Record":
    """The record of a search, begun if it is new. Raises BadInput if a database cannot be used."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING)
    direction = StudyDirection.MINIMIZE if minimise else StudyDirection.MAXIMIZE
    place = _place(storage, layout)
    study = optuna.create_study(
        storage=place, study_name=f"clinstack-{identity}", direction=direction, pruner=pruner, load_if_exists=True
    )
    return Record(study, minimise, rung, place)


def check_storage(storage: str | None, layout: SearchLayout) -> None:
    """Raises BadInput if a database cannot be used. That of a file is left for later: it may lie in a folder yet to be made."""
    if storage is not None and not storage.startswith("sqlite"):
        _let_go(_place(storage, layout))


def _place(storage: str | None, layout: SearchLayout) -> BaseStorage:
    if storage is None:
        return JournalStorage(JournalFileBackend(str(layout.record), cast(Any, _JournalLock(layout.record_turn))))
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        shown = make_url(storage).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # a port that is no number
        raise BadInput("--storage is no database URL. Give one such as postgresql+psycopg://user@host/name.") from None
    try:
        return RDBStorage(storage)
    except ImportError as error:
        driver = str(error.name or "its driver")
        raise BadInput(
            f"--storage {shown} needs {driver}, which is not installed. Install it; clinstack[postgres] brings psycopg."
        ) from None
    except NoSuchModuleError:
        raise BadInput(
            f"--storage {shown} is of no kind of database known here. Give one such as postgresql+psycopg://user@host/name."
        ) from None
    except SQLAlchemyError as error:
        reason = type(getattr(error, "orig", None) or error).__name__
        raise BadInput(
            f"--storage {shown} cannot be used ({reason}). Is it running, and may this user create tables?"
        ) from None


def _let_go(place: BaseStorage | None) -> None:
    """Ends the connections to a database."""
    if isinstance(place, RDBStorage):
        place.remove_session()
        place.engine.dispose()


class _JournalLock:
    """A turn at the journal that ends with the process. Optuna's own lock (5.0) is a link that a killed process leaves behind:
    who comes next waits half a minute or, if the path is relative, for ever.
    """

    def __init__(self, folder: Path):
        self._folder, self._held = folder, ExitStack()

    def acquire(self) -> bool:
        """Waits for the turn."""
        self._held.enter_context(wait_for_turn(self._folder))
        return True

    def release(self) -> None:
        """Ends it."""
        self._held.close()


@dataclass(frozen=True)
class Record:
    """A search's trials. rung: tokens after which a trial may be pruned; 0 never. place: where they are kept."""

    study: optuna.Study
    minimise: bool
    rung: int
    place: BaseStorage | None = None

    def close(self) -> None:
        """Ends the connection to a database."""
        _let_go(self.place)

    def count(self) -> int:
        """How many trials there are, repeats included."""
        return len(self._trials())

    def tried(self) -> list[FrozenTrial]:
        """The trials that were trained or are being, in the order in which they were begun."""
        waiting = (TrialState.WAITING,)
        apart = ("repeat_of", "finishes")
        return [
            one
            for one in self._trials()
            if one.state not in waiting and not any(key in one.user_attrs for key in apart)
        ]

    def repeats_at_the_end(self) -> int:
        """How many proposals in a row, the last ones, were on record already."""
        repeats = 0
        for one in reversed(self._trials()):
            if "repeat_of" not in one.user_attrs:
                break
            repeats += 1
        return repeats

    def running(self) -> list[FrozenTrial]:
        """The trials that somebody has begun and not ended."""
        return [one for one in self._trials() if one.state == TrialState.RUNNING]

    def take_over(self, trial: FrozenTrial, distributions: dict[str, BaseDistribution], seed: int) -> Trial:
        """A trial that somebody has begun; what was not yet written down of its proposal is proposed again, the same."""
        self.study.sampler = self._proposal(distributions, seed, trial.number)
        taken = Trial(self.study, trial._trial_id)
        for name, one in distributions.items():
            taken._suggest(name, one)  # as Study.ask does; what is on record is given back as it is
        return taken

    def ask(self, distributions: dict[str, BaseDistribution], seed: int) -> Trial:
        """A proposal that depends on the record, the seed and the number of the trial alone."""
        self.study.sampler = self._proposal(distributions, seed, self.count())
        return self.study.ask(distributions)

    def _proposal(self, distributions: dict[str, BaseDistribution], seed: int, number: int) -> BaseSampler:
        """A sampler of one point: what the process proposes after the trials before this number.

        It is asked apart from the record, where a trial that was begun and abandoned would sway its own proposal.
        """
        apart = optuna.create_study(direction=self.study.direction)
        apart.add_trials([one for one in self._trials() if one.number < number and one.state != TrialState.WAITING])
        with warnings.catch_warnings():
            # Optuna 5.0 calls both experimental: a run gives the same score each time, which the process should know; and a
            # sampler of fixed values is how a proposal is handed over.
            warnings.filterwarnings("ignore", message="Argument ``deterministic_objective`` is an experimental feature")
            warnings.filterwarnings("ignore", message="PartialFixedSampler is experimental")
            draw = 10_000 * seed + number
            apart.sampler = GPSampler(seed=draw, n_startup_trials=_STARTUP, deterministic_objective=True)
            return PartialFixedSampler(apart.ask(distributions).params, RandomSampler(seed=number))

    def enqueue(self, drawn: dict[str, Any]) -> None:
        """Makes a point the next proposal."""
        self.study.enqueue_trial(drawn)

    def repeat(self, trial: Trial, earlier: FrozenTrial) -> None:
        """Answers a proposal that is on record."""
        trial.set_user_attr("repeat_of", earlier.number)
        if earlier.state == TrialState.COMPLETE:
            self.study.tell(trial.number, earlier.value)
        else:
            self.study.tell(trial.number, state=TrialState.FAIL)

    def at_rung(self, trial: Trial, score: float, tokens: int) -> bool:
        """Notes the first score after the rung; whether the trial is to stop there."""
        known = self._rung_tokens(trial)
        if not self.rung or tokens < self.rung or (known is not None and known != tokens):
            return False
        if known is None:
            trial.report(score, self.rung)
            trial.set_user_attr("rung_tokens", tokens)
        return trial.should_prune()

    def condemned(self, trial: Trial) -> bool:
        """Whether a trial taken over has its score at the rung already, and was to stop there."""
        return self._rung_tokens(trial) is not None and trial.should_prune()

    def _rung_tokens(self, trial: Trial) -> int | None:
        return self.study._storage.get_trial(trial._trial_id).user_attrs.get("rung_tokens")

    def complete(self, trial: Trial, found: dict[str, Any]) -> None:
        """A trial came to its end."""
        _attach(trial, found)
        self.study.tell(trial.number, found["validation"]["value"])

    def prune(self, trial: Trial, seconds: float) -> None:
        """A trial was stopped at the rung, after so many seconds."""
        trial.set_user_attr("seconds", seconds)
        trial.set_user_attr("tokens", self._rung_tokens(trial))
        self.study.tell(trial.number, state=TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """A trial could not come to its end."""
        trial.set_user_attr("reason", reason)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def finish_pruned(self, pruned: FrozenTrial, found: dict[str, Any]) -> None:
        """A pruned trial was trained to its end after all: a trial of its own, since Optuna's states are final."""
        attributes = {"finishes": pruned.number, "rung_tokens": pruned.user_attrs["rung_tokens"], **_told(found)}
        self.study.add_trial(
            optuna.trial.create_trial(
                params=pruned.params,
                distributions=pruned.distributions,
                value=found["validation"]["value"],
                intermediate_values=pruned.intermediate_values,
                user_attrs=attributes,
            )
        )

    def fail_pruned(self, pruned: FrozenTrial, reason: str) -> None:
        """A pruned trial could not come to its end after all; what it had cost stays."""
        attributes = {**pruned.user_attrs, "finishes": pruned.number, "reason": reason}
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.FAIL,
                params=pruned.params,
                distributions=pruned.distributions,
                intermediate_values=pruned.intermediate_values,
                user_attrs=attributes,
            )
        )

    def wrongly_pruned(self) -> "Any":
        """Pruned trials that were as good at the rung as the winner was there, one at a time, until there is none.

        A winner that came to its end before the rung is taken at its end.
        """
        while True:
            best = self.best()
            finished = {one.user_attrs.get("finishes") for one in self._trials()}
            waiting = [
                one
                for one in self._trials()
                if one.state == TrialState.PRUNED and one.number not in finished and best is not None
                if not self._worse(
                    one.intermediate_values[self.rung], best.intermediate_values.get(self.rung, best.value or 0.0)
                )
            ]
            if not waiting:
                return
            yield waiting[0]

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best score; of equals the first."""
        complete = [
            one for one in self._trials() if one.state == TrialState.COMPLETE and "repeat_of" not in one.user_attrs
        ]
        if not complete:
            return None
        return (min if self.minimise else max)(complete, key=lambda one: one.value or 0.0)

    def origin(self, trial: FrozenTrial) -> int:
        """The number whose run folder holds a trial."""
        return int(trial.user_attrs.get("finishes", trial.number))

    def summary(self, values: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Every trial as a row, what mattered, and what all of it cost."""
        finished = {one.user_attrs["finishes"]: one for one in self._trials() if "finishes" in one.user_attrs}
        rows: list[dict[str, Any]] = []
        for one in self._trials():
            if "finishes" in one.user_attrs or one.state == TrialState.WAITING:
                continue
            ended = finished.get(one.number, one)
            rows.append(
                {
                    "trial": one.number,
                    "state": "repeat" if "repeat_of" in one.user_attrs else ended.state.name.lower(),
                    "options": values(one.params),
                    "score": ended.value if ended.state == TrialState.COMPLETE else None,
                    "rung_score": one.intermediate_values.get(self.rung) if self.rung else None,
                    **{
                        key: ended.user_attrs.get(key)
                        for key in ("seconds", "tokens", "flops", "trainable", "best_epoch")
                    },
                    "repeat_of": one.user_attrs.get("repeat_of"),
                    "reason": ended.user_attrs.get("reason"),
                    "finished_after_all": one.number in finished,
                }
            )
        trained = [row for row in rows if row["seconds"] is not None]
        known = [row["flops"] / row["tokens"] for row in trained if row["flops"] is not None]
        for row in trained:  # of a trial that was stopped, from what a token costs the others
            row["flops"] = row["flops"] if row["flops"] is not None else statistics.median(known) * row["tokens"]
        return {
            "metric": {"minimise": self.minimise},
            "trials": rows,
            "tried": len(self.tried()),
            "repeats": sum(row["state"] == "repeat" for row in rows),
            "pruned": sum(row["state"] == "pruned" for row in rows),
            "failed": sum(row["state"] == "fail" for row in rows),
            "importance": self._importance(),
            "cost": {key: sum(row[key] for row in trained) for key in ("seconds", "tokens", "flops")},
        }

    def _importance(self) -> dict[str, float]:
        """The share of the score's variance that each option explains (functional ANOVA, Hutter et al. 2014); {} of too few."""
        complete = [
            one for one in self._trials() if one.state == TrialState.COMPLETE and "repeat_of" not in one.user_attrs
        ]
        if len(complete) < 4 or len({one.value for one in complete}) < 2:
            return {}
        apart = optuna.create_study(direction=self.study.direction)
        apart.add_trials([one for one in complete if "finishes" not in one.user_attrs] or complete)
        found = optuna.importance.get_param_importances(
            apart, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
        return {name: float(share) for name, share in found.items()}

    def _worse(self, one: float, other: float) -> bool:
        return one > other if self.minimise else one < other

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def _told(found: dict[str, Any]) -> dict[str, Any]:
    cost = found["cost"]["train"]
    return {
        **{key: cost[key] for key in ("seconds", "tokens", "flops")},
        "trainable": found["parameters"]["trainable"],
        "best_epoch": found["best_epoch"],
    }


def _attach(trial: Trial, found: dict[str, Any]) -> None:
    for key, value in _told(found).items():
        trial.set_user_attr(key, value)
