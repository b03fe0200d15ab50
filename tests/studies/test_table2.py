"""Table 2: each method searched, then trained on everything; a long training that breaks down gives way to the next best point."""

import json
import re
import shutil

import pytest

from clinstack.config import Table2Options
from clinstack.errors import BadInput
from clinstack.studies.table2 import table2


@pytest.fixture
def options(small_base, small_corpus, tmp_path):
    general = tmp_path / "general.csv"
    general.write_text("text\n" + "\n".join(f"Once upon a time there were {number} bears." for number in range(20)))

    def make(**changed) -> Table2Options:
        given = {
            "bases": [str(small_base)],
            "corpus": small_corpus,
            "general": general,
            "out": tmp_path / "table2",
            "methods": "lora,prompt",
            "trials": 3,
            "search_tokens": 1000,
            "learning_rates": (1e-3, 1e-2),
            "max_tokens": 64,
            "validation_tokens": 500,
            "device": "cpu",
            "precision": "float32",
        }
        return Table2Options(**{**given, **changed})

    return make


def test_every_method_is_searched_then_trained_and_nothing_is_done_twice(options):
    asked = options()
    found = table2(asked)
    rows = json.loads((asked.out / "table.json").read_text())
    assert [row["method"] for row in rows] == ["lora", "prompt"] == [row["method"] for row in found["rows"]]
    for row in rows:
        run = json.loads((asked.out / "small" / row["method"] / "run" / "result.json").read_text())
        assert row["perplexity_test_after"] == run["perplexity"]["test"]["after"]
        assert row["parameters_trainable"] == run["parameters"]["trainable"]
        assert row["general_bits_per_byte_change"] == run["forgetting"]["intervals"]["change"]["value"]
        assert row["search_tried"] == 3
        assert row["tokens"] > row["search_tokens"] / 3  # the last training read more than a trial
        assert 1e-3 <= row["option_learning_rate"] <= 1e-2
    page, markdown = ((asked.out / name).read_text() for name in ("report.html", "table.md"))
    assert f"{rows[0]['perplexity_test_after']:.3f}" in page
    assert f"{rows[0]['perplexity_test_after']:.3f}" in markdown
    written = {file: file.stat().st_mtime_ns for file in asked.out.glob("*/*/run/result.json")}
    table2(asked)
    assert {file: file.stat().st_mtime_ns for file in written} == written


def best_score(run) -> float:
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return min(event["score"] for event in events if event["event"] == "validation")


def test_where_training_on_everything_breaks_down_the_next_best_point_is_trained(options):
    asked = options(methods="lora", trials=2)
    table2(asked)
    cell = asked.out / "small" / "lora"
    shutil.rmtree(cell / "run")
    journal = cell / "search" / "search.journal"
    # As if the trials had been better than any training can be.
    journal.write_text(re.sub(r'"values":\[3', '"values":[0', journal.read_text()))
    (row,) = table2(asked)["rows"]
    runs = [cell / "run", cell / "run-2"]
    trials = json.loads((cell / "search" / "table.json").read_text())
    assert all(best_score(run) > max(trial["score"] for trial in trials) for run in runs)
    chosen = min(runs, key=best_score)
    assert [run for run in runs if (run / "result.json").exists()] == [chosen]  # the other never read the test part
    result = json.loads((chosen / "result.json").read_text())
    assert row["bits_per_byte_test_after"] == result["bits_per_byte"]["test"]["after"]
    rates = {trial["learning_rate"] for trial in trials}
    assert {row["options"]["learning_rate"], *(one["learning_rate"] for one in row["spoiled"])} == rates
    (broken,) = row["spoiled"]
    assert f"learning rate {broken['learning_rate']} | 2 |" in (options().out / "table.md").read_text()


def test_a_method_that_cannot_be_trained_is_shown_and_stops_no_other(options):
    (lora, prompt) = table2(options(learning_rates=(1e28, 1e30), methods="lora,prompt", trials=1))["rows"]
    assert lora["reason"] or prompt["reason"]
    assert "failed:" in (options().out / "table.md").read_text()


def test_a_cell_that_cannot_be_done_is_shown_with_its_reason_and_stops_no_other(options):
    reason = "--max-tokens 250 is more than base small can read behind 20 virtual tokens (236). Choose at most that."
    asked = {"max_tokens": 250, "trials": 1, "learning_rates": None}
    lora, prompt, ia3 = table2(options(methods="lora,prompt,ia3", **asked))["rows"]
    assert prompt == {"base": "small", "method": "prompt", "reason": reason}
    assert (lora["reason"], ia3["reason"]) == (None, None)
    assert f"failed: {reason}" in (options().out / "table.md").read_text()
    assert not (options().out / "small" / "prompt").exists()


def test_a_table_of_which_no_cell_can_be_done_is_refused_and_nothing_is_left(options):
    for changed, expected in (
        ({"device": "quantum"}, "--device quantum is not known. Use auto, cpu, cuda or cuda:0."),
        (
            {"methods": "prompt,prefix", "max_tokens": 250},
            "--max-tokens 250 is more than base small can read behind 20 virtual tokens (236). Choose at most that.",
        ),
    ):
        with pytest.raises(BadInput) as caught:
            table2(options(**changed))
        assert str(caught.value) == expected
        assert not options().out.exists()


def test_two_bases_of_one_name_are_refused(options, small_base):
    with pytest.raises(BadInput, match="Two bases have the same name: small, small"):
        table2(options(bases=[str(small_base)] * 2))
