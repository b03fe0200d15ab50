"""Bayesian search: which options of a step give the best validation score, with every trial on record.

Optuna's Gaussian process proposes points; each trial is an ordinary run folder that stops before the test part is read, so an
interrupted trial goes on like any run, and only the winner is measured on test. Small spaces make the process repeat itself: a
repeated point is answered from the record and does not count. The sampler is made anew for each proposal, seeded by the number
of the trial, so what is proposed depends on the record alone: killed and started again, a search goes the way it would have
gone. Several workers share a record, a folder and a turn-taking lock.
"""

import random
import shutil
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import tomli_w

from clinstack.config import (
    AdaptOptions,
    SearchAdaptOptions,
    SearchOptions,
    SearchTrainOptions,
    TrainOptions,
    make_options,
)
from clinstack.data.corpus import open_corpus
from clinstack.data.task import open_task
from clinstack.errors import BadInput, CannotWrite
from clinstack.models.base_files import find_base, hash_base
from clinstack.models.method import gather_method_options, make_method, method_fields, methods
from clinstack.runs.atomic import only_writer, read_json, wait_for_turn, write_json, write_text
from clinstack.runs.folder import complete, first_difference, read_events
from clinstack.runs.layout import RunLayout, SearchLayout
from clinstack.runs.lineage import short
from clinstack.studies.search_record import Record, check_storage, open_record
from clinstack.studies.search_report import write_search_report
from clinstack.studies.space import Range, Space, choices, edges, points, read_space
from clinstack.studies.workers import Voice, count_lost, work_together
from clinstack.training.beforehand import check_runs
from clinstack.training.classification import train
from clinstack.training.contract import Diverged, Halted
from clinstack.training.language import adapt
from clinstack.training.running import Silent, Witness, method_defaults, run_config
from clinstack.training.variants import hash_of_clinical

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

AnySearch = SearchAdaptOptions | SearchTrainOptions

_REPEATS = 3
"""Proposals in a row that are on record already, after which a point that is not is drawn by chance."""
_NOT_THE_SEARCH = {*SearchOptions.model_fields, "learning_rates"}
_OTHER_NOTES = "scores on other notes cannot be compared"
_OTHER_SCORES = "scores of another kind cannot be compared"
_ONE_METHOD = "a search is of one method, whose options it tries"
_NO_DIFFERENCE = "it makes no difference to the score"
_BARRED = {
    "base": "a search is of one base",
    "method": _ONE_METHOD,
    "task_adapter": _ONE_METHOD,
    "seed": "the best of several seeds is luck, and no better choice",
    "corpus": _OTHER_NOTES,
    "task": _OTHER_NOTES,
    "validation_tokens": _OTHER_NOTES,
    "select_by": _OTHER_SCORES,
    **dict.fromkeys(
        (
            "out",
            "general",
            "device",
            "checkpoint_seconds",
            "gradient_checkpointing",
            "feature_store",
            "feature_gigabytes",
            "resamples",
        ),
        _NO_DIFFERENCE,
    ),
    "profile": "it is a set of defaults, and each option of it may be searched",
}
"""Options that no space may name, and why."""


def search(options: AnySearch, witness: Witness | None = None, *, only_select: bool = False) -> dict[str, Any]:
    """Tries points as the options say, finishes the best one, and returns what came out; goes on with an interrupted search.

    only_select: do not measure the best one on test either, because it is to be trained again on more.
    Raises BadInput, CannotWrite or Interrupted, each with the sentence to show. A trial that diverges is on record as failed
    and stops nothing.
    """
    witness = witness or Silent()
    check_search(options)
    whole = _Search(options, witness)
    whole.claim()
    if options.workers > 1:
        work_together(_work, (options,), options.workers, count_lost(witness))
    with whole.record() as record:
        whole.work(record)  # alone, or what workers have left behind
        return whole.finish(record, only_select)


def check_search(options: AnySearch) -> None:
    """Raises BadInput or WrongParents if a point of the space could not be trained or put on record; writes nothing."""
    whole = _Search(options, Silent())
    check_runs([whole.trial_options(0, drawn) for drawn in edges(whole.space)])
    check_storage(options.storage, whole.layout)


class _Search:
    """A search as one worker sees it."""

    def __init__(self, options: AnySearch, witness: Witness):
        self.options, self.witness = options, witness
        self.command: Literal["adapt", "train"] = "adapt" if isinstance(options, SearchAdaptOptions) else "train"
        self.layout = SearchLayout(options.out)
        self.space = _space_of(options)

    def claim(self) -> None:
        """Takes the folder for this search, or makes sure that it is this search's. Raises CannotWrite if it is another's."""
        identity = _identity(self.options, self.space)
        with wait_for_turn(self.layout.turn):
            if self.layout.config.is_file():
                there = tomllib.loads(self.layout.config.read_text(encoding="utf-8"))
                there.pop("id")
                unsaid = {"clinical_hash": identity.get("clinical_hash")}  # searches of before did not note it
                there = complete(there, identity, method_defaults(self.options) | unsaid)
                if (key := first_difference(there, identity)) is not None:
                    raise CannotWrite(
                        f"{self.layout.root} holds another search: its {key} is {there.get(key)!r}, and "
                        f"{identity.get(key)!r} is asked for. Choose another --out."
                    )
                return
            if any(one.name != self.layout.turn.name for one in self.layout.root.iterdir()):
                raise CannotWrite(f"{self.layout.root} exists, is not empty and is not a search. Choose another --out.")
            write_text(self.layout.config, tomli_w.dumps({"id": uuid.uuid4().hex, **identity}))

    @contextmanager
    def record(self) -> Iterator[Record]:
        """The trials so far, wherever they are kept."""
        identity = tomllib.loads(self.layout.config.read_text(encoding="utf-8"))["id"]
        opened = open_record(
            self.options.storage, self.layout, identity, minimise=self.command == "adapt", rung=self.options.prune_after
        )
        try:
            yield opened
        finally:
            opened.close()

    def work(self, record: Record) -> None:
        """Tries points until there are as many as asked for, or no other is left."""
        while True:
            with self._next(record) as trial:
                if trial is None:
                    return
                self._try(record, trial)

    @contextmanager
    def _next(self, record: Record) -> "Iterator[Trial | None]":
        """The trial to go on with or to begin, held for this worker until its end; None when there is nothing to do."""
        held = None
        with wait_for_turn(self.layout.turn):
            trial = self._abandoned(record) or self._new(record)
            if trial is not None:
                held = only_writer(self.layout.claim(trial.number))
                held.__enter__()
        try:
            yield trial
        finally:
            if held is not None:
                held.__exit__(None, None, None)

    def _abandoned(self, record: Record) -> "Trial | None":
        """A trial that was begun by a worker that is no more."""
        for begun in record.running():
            try:
                with only_writer(self.layout.claim(begun.number)):
                    pass
            except CannotWrite:
                continue
            trial = record.take_over(begun, self._distributions, self.options.seed)
            if not self._answered(record, trial):
                return trial
        return None

    @property
    def _distributions(self) -> "dict[str, BaseDistribution]":
        return {name: one.distribution() for name, one in self.space.items()}

    def _new(self, record: Record) -> "Trial | None":
        """A point that is not on record, answering those that are; None if enough were tried or none is left."""
        while len(record.tried()) < self.options.trials:
            if record.repeats_at_the_end() >= _REPEATS and not self._draw_untried(record):
                return None
            trial = record.ask(self._distributions, self.options.seed)
            if not self._answered(record, trial):
                return trial
        return None

    def _answered(self, record: Record, trial: "Trial") -> bool:
        """Whether the trial's point was on record, and so has been answered from there."""
        key = self._key(trial.params)
        earlier = next(
            (one for one in record.tried() if one.number < trial.number and self._key(one.params) == key), None
        )
        if earlier is not None:
            record.repeat(trial, earlier)
        return earlier is not None

    def _draw_untried(self, record: Record) -> bool:
        """Has a point proposed next that is not on record, drawn by seed and number; False if there is none."""
        every = points(self.space)
        if every is None:
            return True
        tried = [self._key(one.params) for one in record.tried()]
        left = [point for point in every if self._key(point) not in tried]
        if left:
            record.enqueue(random.Random(f"{self.options.seed} {record.count()}").choice(left))
        return bool(left)

    def _key(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """What a point comes to: options that make no difference left out."""
        values = self.values(drawn)
        own = {name: value for name, value in values.items() if name in method_fields()}
        others = {name: value for name, value in values.items() if name not in own}
        return others | _decisive(self.options, own)

    def values(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """The options of a point."""
        return {name: self.space[name].value(place) for name, place in drawn.items()}

    def trial_options(self, number: int, drawn: dict[str, Any]) -> AdaptOptions | TrainOptions:
        """The options of a trial's run."""
        given = self.options.model_dump(exclude=_NOT_THE_SEARCH - {"out"})
        given |= {"out": self.layout.trial(number)}
        found = gather_method_options(self.values(drawn))
        given["method_options"] = {**given["method_options"], **found.pop("method_options")}
        kind: type[AdaptOptions] | type[TrainOptions] = AdaptOptions if self.command == "adapt" else TrainOptions
        return make_options(kind, {**given, **found})

    def _try(self, record: Record, trial: "Trial") -> None:
        """Trains a trial to its end, to where it is pruned, or to where it fails, and puts that on record."""
        values = self.values(trial.params)
        self.witness.says(f"Trial {trial.number + 1}: {', '.join(f'{k} {v}' for k, v in values.items())}")
        try:
            if record.condemned(trial):  # its worker ended between the rung and the record
                raise Halted
            found = self._train(self.trial_options(trial.number, trial.params), _Watching(self.witness, record, trial))
        except Halted:
            events = read_events(RunLayout(self.layout.trial(trial.number)).events)
            record.prune(trial, max(event.get("seconds", 0.0) for event in events))
            self.witness.says(f"  stopped after {record.rung:,} tokens: worse than the median there")
        except Diverged as error:
            record.fail(trial, str(error))
            self.witness.says(f"  failed: {error}")
        else:
            record.complete(trial, found)
            best = record.best()
            told = f"  {found['validation']['name']} {found['validation']['value']:.4f} on validation"
            self.witness.says(f"{told}; best so far {best.value:.4f}" if best else told)

    def _train(self, options: AdaptOptions | TrainOptions, witness: Witness) -> dict[str, Any]:
        if isinstance(options, AdaptOptions):
            return adapt(options, witness, only_train=True)
        return train(options, witness, only_train=True)

    def finish(self, record: Record, only_select: bool) -> dict[str, Any]:
        """Makes sure that no pruned trial could have won, measures the best one on test, and writes the report."""
        for trial in record.wrongly_pruned():
            self.witness.says(f"Trial {trial.number + 1} was as good as the best when it was stopped; finishing it")
            try:
                found = self._train(self.trial_options(trial.number, trial.params), self.witness)
            except Diverged as error:
                record.fail_pruned(trial, str(error))
                self.witness.says(f"  failed: {error}")
            else:
                record.finish_pruned(trial, found)
        best = record.best()
        if best is None:
            failed = next((one.user_attrs["reason"] for one in record.tried() if "reason" in one.user_attrs), "")
            raise Diverged(f"No trial of {self.layout.root} came to its end. {failed}")
        options = self.trial_options(record.origin(best), best.params)
        if only_select:
            result = self._train(options, Silent())
        else:
            self.witness.says(f"Measuring the best, trial {record.origin(best) + 1}")
            result = adapt(options, self.witness) if isinstance(options, AdaptOptions) else train(options, self.witness)
        self._clear(record, best)
        values = self.values(best.params)
        found = record.summary(self.values) | {
            "command": self.command,
            "method": _method_name(self.options),
            "best": {"trial": record.origin(best), "options": values, "run": str(options.out), "result": result},
            "space": {name: _shown(one) for name, one in self.space.items()},
        }
        write_json(self.layout.result, found)
        write_search_report(self.layout.root, found)
        return found

    def _clear(self, record: Record, best: "FrozenTrial") -> None:
        """Removes the checkpoints of trials that lost: their scores are on record, their weights are of no use."""
        for trial in record.tried():
            if trial.number != record.origin(best):
                shutil.rmtree(RunLayout(self.layout.trial(trial.number)).checkpoints, ignore_errors=True)


class _Watching:
    """A trial's witness: steps go to the person, the score at the rung to the record."""

    def __init__(self, witness: Witness, record: Record, trial: "Trial"):
        self._witness, self._record, self._trial = witness, record, trial

    def says(self, what: str) -> None:
        """Nothing but what is unusual: twenty trials would each say the same."""
        if what.startswith(("Memory", "Going on")):
            self._witness.says(f"  {what}")

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        """Passes it on."""
        self._witness.steps(done, of, tokens_per_second, loss)

    def validated(self, score: float, tokens: int) -> bool:
        """Stops at the rung if the record says so."""
        return not self._record.at_rung(self._trial, score, tokens)


def _space_of(options: AnySearch) -> Space:
    """The space of a search. Raises BadInput if nothing is to be searched, or a value is not allowed."""
    name = _method_name(options)
    own = list(methods()[name].model_fields) if name in methods() else []
    if options.space is not None:
        barred = {*_NOT_THE_SEARCH, *_BARRED, "method_options"}
        known = [*(key for key in type(options).model_fields if key not in barred), *own]
        space = read_space(options.space, known, _BARRED)
    else:
        if name not in methods():
            make_method(name, {})  # says which there are
        space = choices(methods()[name].space(_layers(options.base)))
    space = {key: one for key, one in space.items() if key not in options.method_options}
    if options.learning_rates is not None:
        low, high = options.learning_rates
        if not 0 < low < high:
            raise BadInput(f"--learning-rates {low} {high}: give two numbers above 0, the lower one first.")
        space["learning_rate"] = Range(low, high, log=True)
    if not space:
        raise BadInput(f"Method {name} has no option to search. Give --learning-rates LOW HIGH, or --space FILE.")
    return space


def _method_name(options: AnySearch) -> str:
    return options.method if isinstance(options, SearchAdaptOptions) else options.task_adapter


def _layers(base: str) -> int:
    config = read_json(find_base(base) / "config.json")
    return int(config.get("num_hidden_layers") or config.get("n_layer") or 0)


def _decisive(options: AnySearch, own: dict[str, Any]) -> dict[str, Any]:
    name = _method_name(options)
    return make_method(name, {**options.method_options, **own}).decisive() if name in methods() else {}


def _identity(options: AnySearch, space: Space) -> dict[str, Any]:
    """What makes a search the same: the options of its runs, the space, the budget of pruning, and what base and data hold."""
    run = run_config(options)
    data = options.corpus if isinstance(options, SearchAdaptOptions) else options.task
    folder = open_corpus(data) if isinstance(options, SearchAdaptOptions) else open_task(data)
    clinical = None
    if isinstance(options, SearchTrainOptions) and options.clinical is not None:
        clinical = hash_of_clinical(options.clinical)
    searched = {key for key in space if key in method_fields()}
    found = {key: value for key, value in run.items() if key not in _NOT_THE_SEARCH | searched and value is not None}
    return {
        **found,
        "prune_after": options.prune_after,
        "space": {name: _shown(one) for name, one in space.items()},
        "base_hash": short(hash_base(find_base(options.base))),
        "data_hash": short(folder.content_hash()),
        **({} if clinical is None else {"clinical_hash": short(clinical)}),
    }


def _shown(one: Any) -> Any:
    return vars(one) if isinstance(one, Range) else list(one.values)


def _work(options: AnySearch, number: int) -> None:
    """A worker's part of a search."""
    mine = _Search(options, Voice(number))
    with mine.record() as record:
        mine.work(record)
