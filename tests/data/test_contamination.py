"""Which notes of a task stand in a corpus: the share of shingles, beside plain sets of words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinstack.data.contamination import WORDS, Contamination, look_for
from clinstack.data.task import TaskWriter

WORDS_OF_NOTE = [f"word{'abcdefghijklmnopqrstuvwxyz'[at % 26]}{'xyz'[at // 26]}" for at in range(60)]
NOTE = " ".join(WORDS_OF_NOTE)


@pytest.fixture(scope="module")
def found_of(tmp_path_factory):
    """A function of a task's test text -> what looks for it."""

    def make(text: str) -> Contamination:
        folder = tmp_path_factory.mktemp("task") / "task"
        with TaskWriter(folder, name="t", kind="binary", classes=("no", "yes"), source="test") as task:
            for split, note in (("train", "other words"), ("valid", "more of other words"), ("test", text)):
                task.write(split, [split], [f"patient of {split}"], [note], [["yes"]])
        return look_for([folder])

    return make


def of_first(words: int) -> str:
    """The note's first words, then strange ones."""
    return " ".join(WORDS_OF_NOTE[:words]) + " and then what nobody else wrote"


@pytest.mark.parametrize(
    ("words", "found"),
    [(60, True), (36, True), (35, False), (20, False), (0, False)],
    ids=["whole", "24 of 48 shingles", "23 of 48 shingles", "8 of 48 shingles", "nothing"],
)
def test_a_note_is_found_from_half_of_its_shingles_on(found_of, words, found):
    looked_for = found_of("CHIEF COMPLAINT: " + NOTE)
    assert looked_for.meet(["c"], [of_first(words)]) == [found]
    report = looked_for.report()
    assert report["splits"]["test"]["containment_0.5"] == int(found)
    shares = [one["containment"] for one in report["found"]]
    assert shares == ([round(max(0, words - WORDS + 1) / 48, 3)] if found else [])


def test_the_best_place_is_kept_over_many_readings(found_of):
    looked_for = found_of(NOTE)
    assert looked_for.meet(["a", "b"], [of_first(40), of_first(50)]) == [True, True]
    assert looked_for.meet(["c"], [of_first(45)]) == [True]
    assert looked_for.report()["found"][0]["corpus_note"] == "b"


def sets_of_words(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}


FEW_WORDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=20, max_size=60).map(" ".join)


@settings(max_examples=30)
@given(FEW_WORDS, st.lists(FEW_WORDS, min_size=1, max_size=4))
def test_shares_are_those_of_plain_sets(found_of, text, corpus):
    looked_for = found_of(text)
    looked_for.meet([str(at) for at in range(len(corpus))], corpus)
    wanted = sets_of_words(text)
    best = max(len(wanted & sets_of_words(one)) / len(wanted) for one in corpus)
    assert looked_for.best[[name for name, _ in looked_for.names].index("test")] == pytest.approx(best)
