"""The batcher: questions are answered together, in order, bounded and on time; one that fails spoils no other."""

import threading
import time

import numpy as np
import pytest

from clinstack.serving.batching import Batcher, TooLate, Turned
from clinstack.serving.engine import Question, Served

TASK = Served("binary", ("no", "yes"), None)


class Lengths:
    """Answers with the text's length, once it is let; a text of "bad" fails."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.batches = []

    def answer(self, questions):
        self.open.wait(10)
        self.batches.append([question.text for question in questions])
        if any(question.text == "bad" for question in questions):
            raise ValueError("bad")
        return [[np.array([len(question.text), 0.0])] * len(question.tasks) for question in questions]


@pytest.fixture
def engine():
    return Lengths()


@pytest.fixture
def make(engine):
    made = []

    def batcher(**options):
        made.append(Batcher(engine, **options))
        return made[-1]

    yield batcher
    engine.open.set()
    for one in made:
        one.close(5)


def questions(*texts):
    return [Question(text, (TASK,)) for text in texts]


def hold(engine, batcher):
    """Keeps the batcher busy with one question until `engine.open` is set."""
    engine.open.clear()
    (first,) = batcher.ask(questions("first"), 60)
    deadline = time.monotonic() + 5
    while batcher.waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    return first


def test_what_gathers_while_a_batch_is_computed_is_answered_together_and_in_order(engine, make):
    batcher = make(most_together=3)
    first = hold(engine, batcher)
    rest = [batcher.ask(questions("a" * n), 60)[0] for n in range(1, 6)]
    engine.open.set()
    assert [one.result(5)[0][0] for one in [first, *rest]] == [5, 1, 2, 3, 4, 5]
    assert engine.batches == [["first"], ["a", "aa", "aaa"], ["aaaa", "aaaaa"]]


def test_a_batch_holds_so_much_text_and_a_longer_note_alone(engine, make):
    batcher = make(most_characters=10)
    hold(engine, batcher)
    answers = batcher.ask(questions("a" * 4, "b" * 5, "c" * 2, "d" * 30, "e"), 60)
    engine.open.set()
    assert [len(one.result(5)) for one in answers] == [1] * 5
    assert engine.batches[1:] == [["aaaa", "bbbbb"], ["cc"], ["d" * 30], ["e"]]


def test_a_full_queue_turns_callers_away_whole_and_says_when_to_come_again(engine, make):
    batcher = make(most_waiting=3)
    hold(engine, batcher)
    batcher.ask(questions("a", "b"), 60)
    with pytest.raises(Turned) as caught:
        batcher.ask(questions("c", "d"), 60)
    assert caught.value.retry_after >= 1
    assert batcher.waiting == 2
    batcher.ask(questions("c"), 60)
    engine.open.set()


def test_a_question_whose_time_is_over_is_not_computed(engine, make):
    batcher = make()
    hold(engine, batcher)
    (late,) = batcher.ask(questions("late"), 0.2)
    (patient,) = batcher.ask(questions("patient"), 60)
    time.sleep(0.25)
    engine.open.set()
    with pytest.raises(TooLate):
        late.result(5)
    assert patient.result(5)
    assert engine.batches == [["first"], ["patient"]]


def test_a_question_that_nobody_waits_for_is_not_computed(engine, make):
    batcher = make()
    hold(engine, batcher)
    gone, stays = batcher.ask(questions("gone", "stays"), 60)
    assert gone.cancel()
    engine.open.set()
    assert stays.result(5)
    assert engine.batches == [["first"], ["stays"]]


def test_whoever_would_wait_too_long_is_turned_away_at_once(engine, make):
    batcher = make()
    hold(engine, batcher)
    batcher.ask(questions(*["a"] * 40), 60)
    with pytest.raises(Turned):
        batcher.ask(questions("b"), 0.1)  # 41 questions before it, at 0.05 seconds each by the first guess
    engine.open.set()


def test_a_note_that_fails_spoils_no_other(engine, make):
    batcher = make()
    hold(engine, batcher)
    before, bad, after = batcher.ask(questions("before", "bad", "after"), 60)
    engine.open.set()
    assert before.result(5)[0][0] == 6
    assert after.result(5)[0][0] == 5
    with pytest.raises(ValueError, match="bad"):
        bad.result(5)
    assert batcher.ask(questions("still"), 60)[0].result(5)


def test_a_closing_batcher_answers_what_waits_and_takes_nothing_new(engine, make):
    batcher = make()
    hold(engine, batcher)
    answers = batcher.ask(questions("a", "bb"), 60)
    assert not batcher.close(0.05)
    with pytest.raises(Turned):
        batcher.ask(questions("c"), 60)
    engine.open.set()
    assert [one.result(5)[0][0] for one in answers] == [1, 2]
    assert batcher.close(5)


def test_many_callers_at_once_each_get_their_own_answer(make):
    batcher = make(most_waiting=10_000)
    wrong = []

    def call(number: int) -> None:
        for length in range(number, number + 50):
            answer = batcher.ask(questions("x" * length), 60)[0].result(10)
            if answer[0][0] != length:
                wrong.append((length, answer))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
