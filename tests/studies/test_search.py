"""The search: the same way whether or not it is killed, no point twice, the best never lost, the test part read once."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from postgres_server import postgres

from clinstack.config import AdaptOptions, SearchAdaptOptions, SearchTrainOptions
from clinstack.errors import BadInput, CannotWrite, Interrupted, WrongParents
from clinstack.runs.layout import SearchLayout
from clinstack.studies.search import search
from clinstack.studies.search_record import Record, open_record
from clinstack.training.language import adapt
from clinstack.training.running import Silent


@pytest.fixture
def options(small_base, small_corpus, tmp_path):
    """Options of a search for prompts whose trials take a fraction of a second."""

    def make(out: str = "search", **changed) -> SearchAdaptOptions:
        given = {
            "base": str(small_base),
            "corpus": small_corpus,
            "out": tmp_path / out,
            "method": "lora",
            "max_tokens": 64,
            "batch_size": 16,
            "epochs": 1,
            "validations_per_epoch": 1,
            "learning_rate": 5e-3,
            "device": "cpu",
            "precision": "float32",
            "trials": 6,
        }
        return SearchAdaptOptions(**{**given, **changed})

    return make


def space(folder: Path, text: str) -> Path:
    file = folder / f"space-{abs(hash(text))}.toml"
    file.write_text(text)
    return file


def way(found: dict) -> list[tuple]:
    """What was proposed in which order, and what became of it."""
    return [(row["options"], row["state"], row["score"], row["repeat_of"]) for row in found["trials"]]


def words_of(options: SearchAdaptOptions) -> list[str]:
    said = ["search", "adapt"]
    for name in (
        "base",
        "corpus",
        "out",
        "method",
        "max_tokens",
        "batch_size",
        "epochs",
        "trials",
        "space",
        "learning_rate",
    ):
        value = getattr(options, name)
        said += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return [
        *said,
        "--validations-per-epoch",
        "1",
        "--device",
        "cpu",
        "--precision",
        "float32",
        "--checkpoint-seconds",
        "0",
    ]


def test_a_search_finds_the_best_point_of_a_space_it_can_exhaust(options, tmp_path):
    found = search(options(trials=20, space=space(tmp_path, "rank = [1, 2]\nlearning-rate = [1e-5, 1e-2]\n")))
    trained = [row for row in found["trials"] if row["state"] == "complete"]
    assert len(trained) == found["tried"] == 4
    assert found["repeats"] > 0
    assert {(row["options"]["rank"], row["options"]["learning_rate"]) for row in trained} == {
        (1, 1e-5), (1, 1e-2), (2, 1e-5), (2, 1e-2)
    }  # fmt: skip
    best = min(trained, key=lambda row: row["score"])
    assert found["best"]["options"] == best["options"]
    assert found["best"]["options"]["learning_rate"] == 1e-2
    for row in found["trials"]:
        if row["repeat_of"] is not None:
            earlier = found["trials"][row["repeat_of"]]
            assert (row["options"], row["seconds"]) == (earlier["options"], None)
    assert found["best"]["result"]["validation"]["value"] == best["score"]


def test_only_the_best_reads_the_test_part_and_keeps_its_weights(options):
    chosen = options()
    found = search(chosen)
    layout = SearchLayout(chosen.out)
    runs = {row["trial"]: layout.trial(row["trial"]) for row in found["trials"] if row["state"] == "complete"}
    with_result = [number for number, run in runs.items() if (run / "result.json").exists()]
    assert with_result == [found["best"]["trial"]]
    assert [number for number, run in runs.items() if (run / "checkpoints").exists()] == with_result
    assert found["best"]["result"]["bits_per_byte"]["test"]["after"] > 0
    page = (chosen.out / "report.html").read_text()
    assert "Only the validation part chose" in page
    rows = json.loads((chosen.out / "table.json").read_text())
    assert [row["rank"] for row in rows] == [row["options"]["rank"] for row in found["trials"]]


def test_the_same_command_goes_on_with_more_trials_and_another_is_refused(options):
    first = search(options(trials=3))
    more = search(options(trials=5))
    assert way(more)[:3] == way(first)
    assert more["tried"] == 5
    with pytest.raises(CannotWrite) as caught:
        search(options(trials=5, epochs=2))
    assert str(caught.value) == (
        f"{options().out} holds another search: its epochs is 1, and 2 is asked for. Choose another --out."
    )
    assert way(search(options(trials=5))) == way(more)


def test_a_search_that_is_killed_goes_the_way_it_would_have_gone(options):
    whole, killed = options("whole", trials=14), options("killed", trials=14)
    expected = search(whole)
    chance, kills = random.Random(3), 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "clinstack.cli", *words_of(killed)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        began, seen = time.monotonic(), len(list(killed.out.glob("trials/*")))
        while (
            process.poll() is None
            and len(list(killed.out.glob("trials/*"))) < seen + 2
            and time.monotonic() - began < 60
        ):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.6))
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills >= 3
    found = search(killed)
    assert way(found) == way(expected)
    assert found["best"]["options"] == expected["best"]["options"]
    weights = [Path(one["best"]["run"]) / "adapters/clinical/adapter_model.safetensors" for one in (found, expected)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_whoever_was_killed_while_writing_the_record_holds_nobody_up(options, monkeypatch, tmp_path):
    """Optuna's own lock is a link that stays; where the path is relative it points nowhere, and is waited for without end."""
    monkeypatch.chdir(tmp_path)
    first, more = (options(trials=trials).model_copy(update={"out": Path("search")}) for trials in (2, 3))
    search(first)
    (tmp_path / "search" / "search.journal.lock").symlink_to("search/search.journal")
    command = [sys.executable, "-m", "clinstack.cli", *words_of(more)]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("number", [8, 10])  # drawn by chance, and by the Gaussian process
@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_proposal_that_is_cut_off_in_its_middle_is_made_again(options, number, written):
    whole, cut = options("whole", trials=11), options("cut", trials=11)
    expected = search(whole)
    shutil.copytree(whole.out, cut.out)
    journal = cut.out / "search.journal"
    lines = journal.read_text().splitlines(keepends=True)
    parameters = [at for at, line in enumerate(lines) if f'"trial_id":{number},"param_name"' in line]
    assert len(parameters) == 3
    journal.write_text("".join(lines[: parameters[0] + written]))
    for file in (cut.out / "result.json", *cut.out.glob("trials/*/result.json")):
        file.unlink(missing_ok=True)
    assert way(search(cut)) == way(expected)


def test_two_workers_share_a_search_and_try_no_point_twice(options):
    chosen = options(trials=8, workers=2)
    found = search(chosen)
    assert found["tried"] == 8
    trained = [tuple(row["options"].items()) for row in found["trials"] if row["state"] == "complete"]
    assert len(trained) == len(set(trained)) == 8
    assert {row["state"] for row in found["trials"]} <= {"complete", "repeat"}


def names_of_studies(url: str) -> list[str]:
    storage = optuna.storages.RDBStorage(url)
    try:
        return optuna.get_all_study_names(storage)
    finally:  # Optuna leaves its connections to the garbage collector, which warns in whatever test it meets
        storage.remove_session()
        storage.engine.dispose()


def test_a_record_in_postgresql_gives_the_same_search(options):
    here = search(options("file", trials=5))
    with postgres() as url:
        there = search(options("database", trials=3, storage=url))
        there = search(options("database", trials=5, storage=url))
        names = names_of_studies(url)
    assert way(there) == way(here)
    assert len(names) == 1
    assert names[0].startswith("clinstack-")
    written = "".join(file.read_text() for file in options("database").out.glob("*.*") if file.suffix != ".lock")
    assert "secret-word" not in written


def test_a_database_that_is_not_there_is_one_sentence_without_its_password(options):
    with pytest.raises(BadInput) as caught:
        search(options(storage="postgresql+psycopg://me:secret-word@127.0.0.1:9/none"))
    assert str(caught.value) == (
        "--storage postgresql+psycopg://me:***@127.0.0.1:9/none cannot be used (ConnectionTimeout). "
        "Is it running, and may this user create tables?"
    ) or re.fullmatch(
        r"--storage postgresql\+psycopg://me:\*\*\*@127\.0\.0\.1:9/none cannot be used \(OperationalError\)\. "
        r"Is it running, and may this user create tables\?",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("postgresql+psycopg://u:hush@127.0.0.1:notaport/x", "--storage is no database URL. Give one such as "),
        (
            "foo://u:hush@127.0.0.1/x",
            "--storage foo://u:***@127.0.0.1/x is of no kind of database known here. Give one such as ",
        ),
        (
            "mysql://u:hush@127.0.0.1/x",
            "--storage mysql://u:***@127.0.0.1/x needs its driver, which is not installed. Install it; ",
        ),
    ],
)
def test_a_storage_that_cannot_be_is_told_in_a_sentence(options, storage, said):
    with pytest.raises(BadInput) as caught:
        search(options(storage=storage))
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)


def test_a_winner_that_ended_before_the_rung_is_compared_at_its_end(tmp_path):
    """Of those stopped at the rung, as good as the winner at its end is trained on, and worse is not."""
    record = open_record(None, SearchLayout(tmp_path), "x", minimise=True, rung=100)
    told = {
        "parameters": {"trainable": 1},
        "best_epoch": 1.0,
        "cost": {"train": dict.fromkeys(("seconds", "tokens", "flops"), 1)},
    }
    drawn = {"rank": CategoricalDistribution(list(range(1, 9)))}

    def tried(rung_score: float | None, end: float | None) -> int:
        trial = record.ask(drawn, seed=1)
        if rung_score is not None:
            record.at_rung(trial, rung_score, 100)
        if end is None:
            record.prune(trial, 1.0)
        else:
            record.complete(trial, {**told, "validation": {"value": end}})
        return trial.number

    tried(6.0, 5.5)
    tried(None, 2.0)
    good, _bad = tried(1.9, None), tried(2.1, None)
    assert next(iter(record.wrongly_pruned())).number == good
    record.finish_pruned(next(iter(record.wrongly_pruned())), {**told, "validation": {"value": 3.0}})
    assert list(record.wrongly_pruned()) == []


def test_a_pruned_trial_that_cannot_be_finished_is_on_record_and_asked_for_once(tmp_path):
    record = open_record(None, SearchLayout(tmp_path), "x", minimise=True, rung=100)
    drawn = {"rank": CategoricalDistribution([1, 2])}
    for rung_score, ended in ((2.0, {"validation": {"value": 2.0}, **_ended(2.0)}), (1.0, None)):
        trial = record.ask(drawn, seed=1)
        record.at_rung(trial, rung_score, 100)
        if ended:
            record.complete(trial, ended)
        else:
            record.prune(trial, 7.0)
    for pruned in record.wrongly_pruned():
        record.fail_pruned(pruned, "Its loss is not finite.")
    _, row = record.summary(lambda params: params)["trials"]
    assert (row["state"], row["reason"], row["seconds"], row["score"]) == ("fail", "Its loss is not finite.", 7.0, None)


def test_a_trial_that_diverges_is_on_record_and_stops_nothing(options, tmp_path):
    found = search(options(trials=4, space=space(tmp_path, "rank = [1, 2]\nlearning-rate = [1e-3, 1e30]\n")))
    failed = [row for row in found["trials"] if row["state"] == "fail"]
    assert failed
    assert all(row["options"]["learning_rate"] == 1e30 and "became" in row["reason"] for row in failed)
    assert found["best"]["options"]["learning_rate"] == 1e-3
    assert "failed: The" in (options().out / "report.html").read_text()


def test_options_that_make_no_difference_do_not_make_a_new_point(options, tmp_path):
    text = 'encoder = ["mlp"]\nencoder-layers = [1, 2, 4]\ndropout = [0.0, 0.1]\nvirtual-tokens = [2]\nencoder-hidden = [8]\n'
    found = search(options(method="p-tuning", trials=6, space=space(tmp_path, text)))
    assert found["tried"] == 1


def test_pruning_stops_trials_and_leaves_the_best_as_it_was(options, tmp_path):
    text = "rank = [1, 2, 4]\nlearning-rate = [1e-5, 1e-4, 1e-3, 1e-2]\n"
    chosen = {"trials": 12, "epochs": 3, "space": space(tmp_path, text)}
    whole, pruned = search(options("whole", **chosen)), search(options("pruned", **chosen, prune_after=3000))
    assert pruned["pruned"] > 0
    assert pruned["cost"]["tokens"] < whole["cost"]["tokens"]
    assert pruned["best"]["options"] == whole["best"]["options"]
    stopped = [row for row in pruned["trials"] if row["state"] == "pruned"]
    assert all(0 < row["tokens"] < max(one["tokens"] for one in pruned["trials"] if one["tokens"]) for row in stopped)
    best = next(row for row in pruned["trials"] if row["trial"] == pruned["best"]["trial"])
    assert all(row["rung_score"] > best["rung_score"] for row in stopped)


class Stopping(Silent):
    """Asks the search to stop after each step that a validation follows; counts the steps that are done all the same."""

    def __init__(self):
        self.asked, self.steps_after = False, 0

    def steps(self, done: int, of: int, tokens_per_second: float, loss: float) -> None:
        self.steps_after += self.asked
        if done % (of // 3) == 0 and not self.asked:
            self.asked = True
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_asked_for_at_the_rung_is_heard_and_changes_nothing(options, tmp_path):
    text = "rank = [1, 2, 4]\nlearning-rate = [1e-5, 1e-4, 1e-3, 1e-2]\n"
    chosen = {"trials": 12, "epochs": 3, "prune_after": 3000, "validations_per_epoch": 1}
    chosen["space"] = space(tmp_path, text)
    whole = search(options("whole", **chosen))
    assert whole["pruned"] > 0
    for _ in range(60):
        stopping = Stopping()
        try:
            stopped = search(options("stopped", **chosen), stopping)
            break
        except Interrupted:
            assert stopping.steps_after == 0
    assert way(stopped) == way(whole)
    assert stopped["best"]["options"] == whole["best"]["options"]


def lives(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("of_a_terminal", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_workers_end_with_the_search_that_started_them(options, of_a_terminal):
    chosen = options(trials=40, epochs=3)
    process = subprocess.Popen(
        [sys.executable, "-m", "clinstack.cli", *words_of(chosen), "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(list(chosen.out.glob("trials/*/metrics.jsonl"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    if of_a_terminal:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == Interrupted.exit_code
    assert "goes on from here" in said
    assert "Traceback" not in said
    assert said.count("Interrupted") == 1
    until = time.monotonic() + 20
    while lives(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not lives(process.pid)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=6, max_size=16), st.booleans())
def test_no_trial_that_was_as_good_as_the_winner_at_the_rung_stays_pruned(curves, minimise):
    # Curves may cross at will; a trial is its score at the rung and its score at the end.
    direction = "minimize" if minimise else "maximize"
    study = optuna.create_study(direction=direction, pruner=optuna.pruners.MedianPruner(n_startup_trials=4))
    record = Record(study, minimise, rung=100)
    for number, (rung, end) in enumerate(curves):
        record.enqueue({"place": number})
        trial = record.ask({"place": IntDistribution(0, 20)}, seed=1)
        if record.at_rung(trial, rung, tokens=120):
            record.prune(trial, seconds=1.0)
        else:
            record.complete(trial, _ended(end))
    for trial in record.wrongly_pruned():
        record.finish_pruned(trial, _ended(curves[trial.params["place"]][1]))
    best = record.best()
    at_rung, at_end = curves[best.params["place"]]
    assert best.value == at_end
    better = (lambda one, other: one <= other) if minimise else (lambda one, other: one >= other)
    for rung, end in curves:
        assert not better(rung, at_rung) or better(at_end, end)


def _ended(value: float) -> dict:
    return {
        "validation": {"value": value},
        "cost": {"train": {"seconds": 1.0, "tokens": 1, "flops": 1.0}},
        "parameters": {"trainable": 1},
        "best_epoch": 1.0,
    }


def test_a_search_of_step_2_goes_by_the_validation_auroc(small_base, small_task, tmp_path):
    found = search(
        SearchTrainOptions(
            base=str(small_base),
            task=small_task("binary"),
            out=tmp_path / "search",
            trials=4,
            max_tokens=48,
            epochs=1,
            learning_rates=(1e-4, 1e-2),
            resamples=100,
            device="cpu",
            precision="float32",
        )
    )
    assert found["best"]["result"]["validation"]["name"] == "auroc"
    assert set(found["best"]["options"]) == {"rank", "alpha", "dropout", "learning_rate"}
    scores = [row["score"] for row in found["trials"] if row["state"] == "complete"]
    assert found["best"]["result"]["validation"]["value"] == max(scores)
    assert "test" in found["best"]["result"]["metrics"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rnak = [1]", "{file}: unknown option 'rnak'. Did you mean 'rank'? Known: "),
        ("rank = []", "{file}: rank must be a list of different values, or {{low = "),
        ("rank = [1, 1]", "{file}: rank must be a list of different values, or {{low = "),
        ("learning-rate = {low = 0.0, high = 1.0, log = true}", "{file}: learning-rate must be a list of "),
        ("rank = [0, 1]", "Method lora, option rank: Input should be greater than or equal to 1."),
        ("epochs = [0, 1]", "--epochs: Input should be greater than or equal to 1."),
        ("", "--space {file} names no option to search."),
        ("rank = ", "--space {file} is not valid TOML: "),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_anything_is_tried(options, tmp_path, text, expected):
    file = space(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        search(options(space=file))
    assert str(caught.value).startswith(expected.format(file=file))
    assert not options().out.exists()


WHY = {
    "seed": "the best of several seeds is luck, and no better choice",
    "method": "a search is of one method, whose options it tries",
    "corpus": "scores on other notes cannot be compared",
    "validation-tokens": "scores on other notes cannot be compared",
    "general": "it makes no difference to the score",
    "device": "it makes no difference to the score",
    "checkpoint-seconds": "it makes no difference to the score",
}


@pytest.mark.parametrize("name", WHY)
def test_a_space_names_no_option_whose_scores_say_nothing(options, tmp_path, name):
    file = space(tmp_path, f"rank = [1, 2]\n{name} = [1, 2]\n")
    with pytest.raises(BadInput) as caught:
        search(options(space=file))
    assert str(caught.value) == f"{file}: {name} cannot be searched: {WHY[name]}. Leave it out."
    assert not options().out.exists()


ROOM = "--max-tokens {} is more than base small can read behind {} virtual tokens ({}). Choose at most that."
NOWHERE = "Method lora finds no layers 'nothere' in base small. Use --targets all, or names of its layers."


@pytest.mark.parametrize(
    ("changed", "text", "expected"),
    [
        ({"method": "prompt", "max_tokens": 250}, None, ROOM.format(250, 20, 236)),
        ({}, 'targets = ["qv", "nothere"]', NOWHERE),
        ({}, 'targets = ["nothere", "qv"]', NOWHERE),
        ({}, "max-tokens = [64, 5000]", "--max-tokens 5000 is more than base small can read (256). Choose at most that."),
        ({"method": "prefix"}, "virtual-tokens = [1, 50]\nmax-tokens = [64, 220]", ROOM.format(220, 50, 206)),
        ({}, "top-layers = {low = 1, high = 3}", "--top-layers 3: base small has 2 layers. Choose at most that."),
        ({"device": "quantum"}, None, "--device quantum is not known. Use auto, cpu, cuda or cuda:0."),
        ({"general": Path("none.csv")}, None, "--general none.csv does not exist. Give a table of general text with a column 'text'."),
        (
            {"storage": "nonsense"},
            None,
            "--storage is no database URL. Give one such as postgresql+psycopg://user@host/name.",
        ),
    ],
    ids=lambda value: (value if isinstance(value, str) else "") or " ".join(value or ()) if not value or len(value) < 60 else "",
)  # fmt: skip
def test_what_no_trial_could_do_is_refused_before_the_folder_is_claimed(options, tmp_path, changed, text, expected):
    file = None if text is None else space(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        search(options(**changed, space=file))
    assert str(caught.value) == expected
    assert not options().out.exists()


def test_a_search_of_step_2_is_checked_with_the_clinical_adapter_below(
    small_base, other_base, small_task, clinical_run, tmp_path
):
    def asked(base: Path, text: str) -> SearchTrainOptions:
        given = {"base": str(base), "task": small_task("binary"), "out": tmp_path / "search", "clinical": clinical_run}
        return SearchTrainOptions(
            **given, max_tokens=48, space=space(tmp_path, text), device="cpu", trials=1, resamples=100
        )

    with pytest.raises(WrongParents, match="Adapter 'clinical' was made for the base"):
        search(asked(other_base, "rank = [1]"))
    with pytest.raises(BadInput) as caught:
        search(asked(small_base, 'rank = [1]\nclinical-mode = ["frozen", "merged", "continued"]'))
    assert str(caught.value) == (
        "--clinical-mode continued goes on with the clinical adapter as it is (lora). Leave out --task-adapter and options of "
        "its method."
    )
    with pytest.raises(BadInput) as caught:
        search(asked(small_base, 'head-adapter = ["adapter", "nothing"]'))
    assert str(caught.value).startswith("Unknown head adapter 'nothing'.")
    assert not (tmp_path / "search").exists()
    assert search(asked(small_base, 'clinical-mode = ["frozen", "merged"]'))["tried"] == 1


def test_a_default_that_is_asked_for_is_the_same_search(options):
    found = search(options(trials=2))
    assert way(search(options(trials=2, method_options={"targets": "qv"}))) == way(found)
    config = SearchLayout(options().out).config  # as searches of before left it
    config.write_text(config.read_text().replace('targets = "qv"\n', ""))
    assert way(search(options(trials=2))) == way(found)
    with pytest.raises(CannotWrite, match="its targets is 'qv', and 'all' is asked for"):
        search(options(trials=2, method_options={"targets": "all"}))


def test_a_method_without_options_needs_something_to_search(options):
    with pytest.raises(BadInput) as caught:
        search(options(method="ia3"))
    assert str(caught.value) == ("Method ia3 has no option to search. Give --learning-rates LOW HIGH, or --space FILE.")
    assert search(options(method="ia3", learning_rates=(1e-4, 1e-2), trials=2))["tried"] == 2


def test_another_corpus_is_another_search(options, small_corpus, tmp_path):
    import shutil

    corpus = tmp_path / "corpus"
    shutil.copytree(small_corpus, corpus)
    search(options(trials=1, corpus=corpus))
    shutil.copy(corpus / "valid.parquet", corpus / "test.parquet")
    with pytest.raises(CannotWrite) as caught:
        search(options(trials=2, corpus=corpus))
    assert "holds another search: its data_hash is" in str(caught.value)


def test_another_clinical_adapter_is_another_search(small_base, small_task, small_corpus, clinical_run, tmp_path):
    place = tmp_path / "clinical"
    shutil.copytree(clinical_run, place)

    def asked() -> SearchTrainOptions:
        given = {"base": str(small_base), "task": small_task("binary"), "out": tmp_path / "search", "clinical": place}
        return SearchTrainOptions(**given, max_tokens=48, space=space(tmp_path, "rank = [1]"), device="cpu", trials=1)

    search(asked())
    shutil.rmtree(place)
    adapt(AdaptOptions(base=str(small_base), corpus=small_corpus, out=place, max_tokens=64, seed=2, device="cpu"))
    with pytest.raises(CannotWrite, match="holds another search: its clinical_hash is"):
        search(asked())


def test_a_folder_that_holds_something_else_is_refused(options):
    out = options().out
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(CannotWrite) as caught:
        search(options())
    assert str(caught.value) == f"{out} exists, is not empty and is not a search. Choose another --out."
    assert not SearchLayout(out).record.exists()


def test_the_record_is_opened_again_where_it_lies(tmp_path):
    layout = SearchLayout(tmp_path)
    first = open_record(None, layout, "name", minimise=True, rung=0)
    first.complete(first.ask({"place": IntDistribution(0, 3)}, seed=1), _ended(1.0))
    assert [one.value for one in open_record(None, layout, "name", minimise=True, rung=0).tried()] == [1.0]
