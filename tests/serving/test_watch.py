"""The watch: counts, shifts and outcomes, in SQLite and in PostgreSQL, without a word of a note."""

import random
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from conftest import made_up_note
from postgres_server import postgres, stopped_postgres
from sklearn.metrics import roc_auc_score

from clinstack.errors import BadInput
from clinstack.serving.service import Service
from clinstack.serving.turns import Hung
from clinstack.serving.watch import Posted, Watch

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


def came_true(watch, note_id, version, labels, caller=None):
    """Posts one outcome back; whether the note had been asked."""
    return watch.outcomes([Posted(note_id, version, labels)], caller) == 1


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
            assert came_true(watch, answer.note_id, version, [truth])
        assert watch.drift(version).metrics is None
        for answer, truth in zip(answers, truths, strict=True):  # the first ones again
            assert came_true(watch, answer.note_id, version, [truth])
        assert not came_true(watch, "never asked", version, ["dead"])
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
            (mortality, [CANARY], "task mortality lacks 1 of the classes that were posted back."),
            (mortality, [], "task mortality is binary, so a note has one class, and 0 were posted back."),
            (
                mortality,
                ["alive", "dead"],
                "task mortality is binary, so a note has one class, and 2 were posted back.",
            ),
            (labels, ["heart", CANARY], "task labels lacks 1 of the classes that were posted back."),
        ]:
            with pytest.raises(BadInput) as caught:
                watch.outcomes([Posted("a", labels, []), Posted("id", version, given)])
            assert str(caught.value) == f"outcomes.1: {message} No outcome was kept."
        ask(service, watch, [("a", "edema")], "labels")
        assert came_true(watch, "a", labels, [])
        with pytest.raises(BadInput):
            watch.outcomes([Posted("a", labels, ["heart"]), Posted("a", labels, [CANARY])])
    with sqlite3.connect(tmp_path / "watch.sqlite") as database:
        assert database.execute("select labels from clinstack_outcomes").fetchall() == [("[]",)]
    database.close()


def test_the_database_holds_no_text_and_no_id(service, tmp_path):
    with sqlite(tmp_path) as url, watching(url, tmp_path) as watch:
        ask(service, watch, [(CANARY, f"{CANARY} is stable")])
        came_true(watch, CANARY, service.choose(["mortality"])[0], ["dead"])
    content = (tmp_path / "watch.sqlite").read_bytes()
    assert b"Xylophia" not in content
    assert b"Quarterbane" not in content
    for name in ("secret", "watch.sqlite"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_probabilities_and_outcomes_are_forgotten_after_their_days_and_counts_are_not(service, tmp_path, monkeypatch):
    (version,) = service.choose(["mortality"])
    with sqlite(tmp_path) as url:
        with watching(url, tmp_path, keep_days=5) as watch:
            ask(service, watch, usual(10))
            assert came_true(watch, "id-2", version, ["dead"])
        with sqlite3.connect(tmp_path / "watch.sqlite") as database:
            database.execute("update clinstack_outcomes set day = '2020-01-01'")
            database.execute("update clinstack_predicted set day = '2020-01-01'")
            database.execute("update clinstack_counted set day = '2020-01-01'")
        database.close()
        with watching(url, tmp_path, keep_days=5, every=0.05) as watch:
            deadline = time.monotonic() + 5
            while came_true(watch, "id-1", version, ["dead"]) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not came_true(watch, "id-1", version, ["dead"])
            assert watch.drift(version).notes == 0
        with sqlite3.connect(tmp_path / "watch.sqlite") as database:
            rows = database.execute("select notes from clinstack_counted where what = 'scores'").fetchall()
            assert database.execute("select day from clinstack_outcomes where day < '2021'").fetchall() == []
        database.close()
        assert sum(np.frombuffer(notes, "<i8").sum() for (notes,) in rows) == 20  # ten notes, two classes


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
            database.execute("alter table clinstack_counted rename notes to away")
            ask(service, watch, usual(10))
            with pytest.raises(Exception, match="no such column"):
                watch.flush()
            database.execute("alter table clinstack_counted rename away to notes")
        database.close()
        assert watch.drift(version).notes == 10
        assert np.isfinite([one.chance for one in watch.drift(version).scores]).all()


def test_a_deleted_file_is_made_again_and_a_failing_one_is_told(service, tmp_path):
    (version,) = service.choose(["mortality"])
    file = tmp_path / "watch.sqlite"
    with sqlite(tmp_path) as url, watching(url, tmp_path, every=0.1) as watch:
        ask(service, watch, usual(10))
        assert watch.drift(version).notes == 10
        file.unlink()
        ask(service, watch, usual(5))
        assert watch.drift(version).notes == 15  # what this process counted today is written again
        while not file.is_dir():  # meanwhile the watch may make the file again
            file.unlink(missing_ok=True)
            with suppress(FileExistsError):
                file.mkdir()
        deadline = time.monotonic() + 10
        while not watch.failed_writings and time.monotonic() < deadline:
            time.sleep(0.05)
        assert watch.failed_writings
        file.rmdir()
        while watch.failed_writings and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not watch.failed_writings
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_callers_have_ids_of_their_own(service, tmp_path):
    (version,) = service.choose(["mortality"])
    with sqlite(tmp_path) as url, watching(url, tmp_path) as watch:
        notes = [("1", "patient is stable")]
        watch.observe(["patient is stable"], service.predict(notes, ["mortality"]), "ward-3")
        assert not came_true(watch, "1", version, ["dead"])
        assert not came_true(watch, "1", version, ["dead"], "ward-4")
        assert came_true(watch, "1", version, ["dead"], "ward-3")


def test_a_database_that_hangs_is_waited_for_a_limited_time_and_closing_too(service, tmp_path, monkeypatch):
    monkeypatch.setattr("clinstack.serving.watch._PATIENCE_SECONDS", 0.5)
    (version,) = service.choose(["mortality"])
    with postgres() as url:
        watch = Watch(url, tmp_path / "secret", every=600)
        ask(service, watch, usual(10))
        assert watch.drift(version).notes == 10
        ask(service, watch, usual(5, seed=2))
        with stopped_postgres(url):
            for _ in range(3):
                with pytest.raises(Hung):
                    watch.drift(version)
            ask(service, watch, usual(5, seed=3))
            started = time.monotonic()
            assert not watch.close(1.0)
            assert time.monotonic() - started < 3
        other = Watch(url, tmp_path / "secret", every=600)
        deadline = time.monotonic() + 10
        while other.drift(version).notes < 15 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert other.drift(version).notes >= 15  # what was begun is written once the database goes on
        other.close()
        watch.close()
