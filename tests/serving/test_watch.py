"""The watch: counts, shifts and outcomes, in SQLite and in PostgreSQL, without a word of a note."""

import random
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import made_up_note
from postgres_server import postgres
from sklearn.metrics import roc_auc_score

from clinstack.errors import BadInput
from clinstack.serving.service import Service
from clinstack.serving.watch import Watch

CANARY = "Xylophia Quarterbane"


@pytest.fixture(scope="module")
def service(filled):
    with Service(filled.layout.root) as service:
        yield service


@contextmanager
def sqlite(tmp_path):
    yield f"sqlite:///{tmp_path / 'watch.sqlite'}"


@contextmanager
def real_postgres(tmp_path):
    with postgres() as url:
        yield url


@pytest.fixture(params=[sqlite, real_postgres], ids=["sqlite", "postgresql"])
def url(request, tmp_path):
    with request.param(tmp_path) as url:
        yield url


@contextmanager
def watching(url, tmp_path, **options):
    watch = Watch(url, tmp_path / "secret", **options)
    try:
        yield watch
    finally:
        watch.close()


def ask(service, watch, notes, task="mortality"):
    answers = service.predict(notes, [task])
    watch.observe([text for _, text in notes], answers)
    return answers


def usual(count, seed=1):
    """Notes as the validation part holds them."""
    chance = random.Random(seed)
    return [(f"id-{n}", made_up_note(chance, chance.choice(["alive", "dead"]))) for n in range(count)]


def test_usual_notes_do_not_shift_and_unusual_ones_do(service, url, tmp_path):
    (version,) = service.choose(["mortality"])
    with watching(url, tmp_path) as watch:
        ask(service, watch, usual(200))
        found = watch.drift(version)
        assert found.notes == 200
        assert [one.name for one in found.scores] == ["alive", "dead"]
        assert found.inputs[0].name == "characters"
        assert sum(one.psi > one.chance for one in found.inputs) <= 2
        long = [(f"long-{n}", (text + "\n") * 20) for n, (_, text) in enumerate(usual(600, seed=2))]
        for start in range(0, 600, 200):
            ask(service, watch, long[start : start + 200])
        shifted = {one.name: one for one in watch.drift(version).inputs}
        for name in ("characters", "line breaks"):
            assert shifted[name].psi > max(0.25, shifted[name].chance)


def test_counts_survive_a_restart_and_add_up_over_processes(service, url, tmp_path):
    (version,) = service.choose(["labels"])
    with watching(url, tmp_path) as first, watching(url, tmp_path) as second:
        threads = [
            threading.Thread(target=ask, args=(service, one, usual(30, seed), "labels"))
            for seed, one in enumerate([first, second] * 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with watching(url, tmp_path) as watch:
        assert watch.drift(version).notes == 180
        assert watch.drift(version, days=1).notes == 180


def test_outcomes_give_the_figures_of_the_answers(service, url, tmp_path):
    (version,) = service.choose(["mortality"])
    chance = random.Random(3)
    with watching(url, tmp_path) as watch:
        answers = ask(service, watch, usual(60))
        truths = [chance.choice(["alive", "dead"]) for _ in answers]
        for answer, truth in list(zip(answers, truths, strict=True))[:19]:
            assert watch.outcome(answer.note_id, version, [truth])
        assert watch.drift(version).metrics is None
        for answer, truth in zip(answers, truths, strict=True):  # the first ones again
            assert watch.outcome(answer.note_id, version, [truth])
        assert not watch.outcome("never asked", version, ["dead"])
        found = watch.drift(version)
        assert found.outcomes == 60
        scores = [answer.logits[1] - answer.logits[0] for answer in answers]
        expected = roc_auc_score([truth == "dead" for truth in truths], scores)
        assert found.metrics["auroc"]["value"] == pytest.approx(expected)
        assert found.metrics["auroc"]["low"] < expected < found.metrics["auroc"]["high"]


def test_outcomes_that_cannot_be_are_refused(service, tmp_path):
    mortality, labels = service.choose(["mortality", "labels"])
    with sqlite(tmp_path) as url, watching(url, tmp_path) as watch:
        for version, given, message in [
            (mortality, [CANARY], "Task mortality lacks 1 of the classes that were posted back for a note."),
            (mortality, [], "Task mortality is binary, so a note has one class, and 0 were posted back."),
            (
                mortality,
                ["alive", "dead"],
                "Task mortality is binary, so a note has one class, and 2 were posted back.",
            ),
            (labels, ["heart", CANARY], "Task labels lacks 1 of the classes that were posted back for a note."),
        ]:
            with pytest.raises(BadInput) as caught:
                watch.outcome("id", version, given)
            assert str(caught.value) == message
        ask(service, watch, [("a", "edema")], "labels")
        assert watch.outcome("a", labels, [])


def test_the_database_holds_no_text_and_no_id(service, tmp_path):
    with sqlite(tmp_path) as url, watching(url, tmp_path) as watch:
        ask(service, watch, [(CANARY, f"{CANARY} is stable")])
        watch.outcome(CANARY, service.choose(["mortality"])[0], ["dead"])
    content = (tmp_path / "watch.sqlite").read_bytes()
    assert b"Xylophia" not in content
    assert b"Quarterbane" not in content
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_probabilities_are_forgotten_after_their_days_and_counts_are_not(service, tmp_path, monkeypatch):
    (version,) = service.choose(["mortality"])
    with sqlite(tmp_path) as url:
        with watching(url, tmp_path, keep_days=5) as watch:
            ask(service, watch, usual(10))
        with sqlite3.connect(tmp_path / "watch.sqlite") as database:
            database.execute("update clinstack_predicted set day = '2020-01-01'")
            database.execute("update clinstack_counts set day = '2020-01-01'")
        database.close()
        with watching(url, tmp_path, keep_days=5, every=0.05) as watch:
            deadline = time.monotonic() + 5
            while watch.outcome("id-1", version, ["dead"]) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not watch.outcome("id-1", version, ["dead"])
            assert watch.drift(version).notes == 0
        with sqlite3.connect(tmp_path / "watch.sqlite") as database:
            (notes,) = database.execute("select sum(notes) from clinstack_counts where what = 'scores'").fetchone()
        database.close()
        assert notes == 20  # ten notes, two classes


def test_a_database_that_cannot_be_opened_is_refused_without_its_password(tmp_path):
    for url, kind in [
        ("postgresql+psycopg://me:secret-word@127.0.0.1:9/none", "postgresql+psycopg"),
        ("nonsense", "nonsense"),
    ]:
        with pytest.raises(BadInput) as caught:
            Watch(url, tmp_path / "secret")
        assert str(caught.value).startswith(f"The database of --watch ({kind}) cannot be opened: ")
        assert "secret-word" not in str(caught.value)


def test_what_cannot_be_written_is_kept_and_written_later(service, tmp_path):
    (version,) = service.choose(["mortality"])
    with sqlite(tmp_path) as url, watching(url, tmp_path, every=600) as watch:
        with sqlite3.connect(tmp_path / "watch.sqlite") as database:
            database.execute("alter table clinstack_counts rename to away")
            ask(service, watch, usual(10))
            with pytest.raises(Exception, match="no such table"):
                watch.flush()
            database.execute("alter table away rename to clinstack_counts")
        database.close()
        assert watch.drift(version).notes == 10
        assert np.isfinite([one.chance for one in watch.drift(version).scores]).all()
