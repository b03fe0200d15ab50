"""The engine: every task answers as its run does alone, whoever else is asked, with one copy of each base in memory."""

import random
import threading

import numpy as np
import pytest

from clinstack.config import TrainOptions
from clinstack.errors import WrongParents
from clinstack.models.baseline import baselines
from clinstack.models.note_classifier import load
from clinstack.serving.engine import Engine, Question
from clinstack.training.classification import train

FORMS = {
    "stacked": {"method_options": {"rank": 2}},
    "late-branch": {"method_options": {"rank": 4, "top_layers": 1}},
    "head-only": {"task_adapter": "none"},
    "continued": {"clinical_mode": "continued"},
    "merged": {"clinical_mode": "merged"},
    "inert": {"inert_task_adapter": True},
    "chunks": {"max_tokens": 16, "chunks": 3, "chunk_pooling": "attention", "truncation": "head+tail"},
    "attention": {"head_adapter": "tiny-attention", "pooling": "mean"},
    "grn": {"head_adapter": "grn", "head_place": "pooled"},
    "ia3": {"task_adapter": "ia3"},
    "prompt": {"task_adapter": "prompt", "clinical": None},
    "full": {"task_adapter": "full", "clinical": None},
    "plain": {"clinical": None},
    "tf-idf": {"base": "tf-idf"},
    "transformer": {"base": "transformer", "clinical": None},
}
KINDS = {"stacked": "multilabel", "late-branch": "multiclass", "head-only": "multilabel"}


@pytest.fixture(scope="module")
def runs(small_base, small_task, clinical_run, tmp_path_factory):
    """A finished run of every form."""
    root = tmp_path_factory.mktemp("runs")
    for name, form in FORMS.items():
        task = small_task(KINDS.get(name, "binary"))
        layers = {"clinical": clinical_run, "max_tokens": 40, "learning_rate": 1e-2, "epochs": 1}
        options = form if name in baselines() else {"base": str(small_base), **layers, **form}
        train(TrainOptions(task=task, out=root / name, resamples=100, device="cpu", **options))
    return root


@pytest.fixture(scope="module")
def engine(runs):
    return Engine()


@pytest.fixture(scope="module")
def served(engine, runs):
    """Every run, loaded by one engine."""
    return {name: engine.prepare(runs / name) for name in FORMS}


TEXTS = [
    "patient is stable",
    "woman with shock, intubated on pressors. " * 9,
    "",
    "the man was seen on day 3 for follow up of pain",
    "edema " * 70,
    "Crème brûlée 🩺",
]


@pytest.fixture(scope="module")
def alone(runs):
    """Every run's own logits of every text."""
    return {name: load(runs / name).score_texts(TEXTS) for name in FORMS}


def all_agree(engine, served, alone):
    for name, found in zip(FORMS, engine.score(TEXTS, list(served.values())), strict=True):
        assert found.shape == alone[name].shape
        np.testing.assert_allclose(found, alone[name], atol=1e-5, rtol=0, err_msg=name)


def test_every_task_answers_as_its_run_alone(engine, served, alone):
    all_agree(engine, served, alone)


@pytest.mark.parametrize("seed", range(12))
def test_an_answer_does_not_depend_on_what_else_is_asked(engine, served, alone, seed):
    chance = random.Random(seed)
    questions, expected = [], []
    for _ in range(chance.randint(1, 12)):
        place, names = chance.randrange(len(TEXTS)), chance.sample(list(FORMS), chance.randint(0, 6))
        questions.append(Question(TEXTS[place], tuple(served[name] for name in names)))
        expected.append([alone[name][place] for name in names])
    for answer, wanted in zip(engine.answer(questions), expected, strict=True):
        assert len(answer) == len(wanted)
        for found, one in zip(answer, wanted, strict=True):
            np.testing.assert_allclose(found.logits, one, atol=1e-5, rtol=0)


def test_one_copy_of_the_base_serves_every_stack_that_leaves_its_weights_alone(served):
    def weights(name):
        backbone = served[name].model.shared.backbone
        return {weight.data_ptr() for weight in backbone.own.values()}

    stacks = [served[name].model.shared for name in ("stacked", "late-branch", "head-only", "chunks", "plain")]
    assert len(set(map(id, stacks))) == 1
    assert weights("prompt") == weights("ia3") == weights("stacked")
    assert not weights("full") & weights("stacked")
    assert not weights("merged") & weights("stacked")


def test_runs_are_loaded_and_forgotten_while_others_ask(runs, alone):
    engine = Engine()
    plain = engine.prepare(runs / "plain")
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            (found,) = engine.score(TEXTS[:2], [plain])
            if not np.allclose(found, alone["plain"][:2], atol=1e-5, rtol=0):
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in ("inert", "stacked", "ia3", "late-branch") * 3:
        (found,) = engine.score(TEXTS, [engine.prepare(runs / name)])
        np.testing.assert_allclose(found, alone[name], atol=1e-5, rtol=0)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_base_that_no_task_needs_any_more_leaves_memory(runs):
    import gc
    import weakref

    served = Engine().prepare(runs / "plain")
    shared = weakref.ref(served.model.shared)
    del served
    gc.collect()
    assert shared() is None


def test_hundreds_of_labels_and_two_share_a_pass(small_base, small_task, runs, tmp_path):
    from clinstack.data.task import TaskWriter

    chance, classes = random.Random(5), [f"code-{number}" for number in range(1266)]
    with TaskWriter(tmp_path / "task", name="wide", kind="multilabel", classes=classes, source="tests") as out:
        for split, count in {"train": 24, "valid": 12, "test": 12}.items():
            ids = [f"{split}-{i}" for i in range(count)]
            labels = [chance.sample(classes, 9) for _ in ids]
            out.write(split, ids, ids, ["patient is " + " ".join(one[:2]) for one in labels], labels)
    options = {"base": str(small_base), "resamples": 100, "epochs": 1, "max_tokens": 24, "device": "cpu"}
    train(TrainOptions(task=tmp_path / "task", out=tmp_path / "run", **options))
    engine = Engine()
    wide, narrow = engine.score(TEXTS, [engine.prepare(tmp_path / "run"), engine.prepare(runs / "stacked")])
    assert (wide.shape, narrow.shape) == ((len(TEXTS), 1266), (len(TEXTS), 4))
    np.testing.assert_allclose(wide, load(tmp_path / "run").score_texts(TEXTS), atol=1e-5, rtol=0)


def test_what_was_read_of_a_note_is_told(engine, served):
    names = ["stacked", "chunks", "tf-idf"]
    long = "the man has shock and édéma 🩺 on day 3. " * 30
    short, cut = engine.answer([Question(text, tuple(served[name] for name in names)) for text in ("pain", long)])
    assert [one.read for one in short] == [((0, 4),)] * 3
    stacked, chunks, whole = cut
    assert whole.read == ((0, len(long)),)
    ((start, end),) = stacked.read
    assert start == 0 < end < len(long)
    (first, head_ends), (tail_begins, last) = chunks.read
    assert first == 0 < head_ends < tail_begins < last == len(long)
    # Only what was read has a part in the answer.
    (same,) = engine.answer([Question(long[:end] + " edema" * 60, (served["stacked"],))])
    np.testing.assert_allclose(same[0].logits, stacked.logits, atol=1e-5)
    swapped = long[:head_ends] + " comfort stable" * 40 + " " + long[tail_begins:].lstrip()
    (same,) = engine.answer([Question(swapped, (served["chunks"],))])
    np.testing.assert_allclose(same[0].logits, chunks.logits, atol=1e-5)


def test_no_text_and_no_task_are_answered_with_nothing(engine, served):
    assert engine.score([], [served["stacked"]])[0].shape == (0, 4)
    assert engine.answer([Question("a", ())]) == [[]]
    assert engine.answer([]) == []


def test_a_run_of_another_base_is_refused(runs, other_base):
    with pytest.raises(WrongParents) as caught:
        Engine().prepare(runs / "stacked", base=str(other_base))
    assert "Give the base it was made on with --base." in str(caught.value)


def test_more_text_than_one_pass_holds_is_read_in_several(engine, served, alone, monkeypatch):
    monkeypatch.setattr("clinstack.serving.engine.PASS_TOKENS", 50)
    all_agree(engine, served, alone)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_run_can_be_explained(engine, served, name):
    text = "patient is a man with shock, intubated on pressors, seen on day 3 for follow up of pain"
    task = served[name]
    before = engine.score([text], [task])[0]
    found = engine.explain(text, task, 1)
    assert 0 < len(found.words) <= len(text.split())
    assert all(text[one.start : one.end].strip() for one in found.words)
    assert np.isfinite([one.share for one in found.words]).all()
    assert found.faithfulness is None or found.faithfulness.words == 1
    np.testing.assert_array_equal(engine.score([text], [task])[0], before)


def test_an_explanation_on_a_shared_base_is_that_of_the_run_alone(engine, served, runs):
    from clinstack.models.attribution import token_attributions

    text = TEXTS[1]
    alone = load(runs / "stacked")
    (chunks,) = alone.encode([text])
    expected, _ = token_attributions(alone.stack.backbone, alone.head, chunks, alone.kind, 2)
    found = engine._token_shares(text, served["stacked"], served["stacked"].model, 2)
    np.testing.assert_allclose([share for _, share in found], expected[0][1:], atol=1e-5)
