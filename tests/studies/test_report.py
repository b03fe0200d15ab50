"""The report: what it says is in the numbers, it needs nothing from outside, and it copes with whatever is missing."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pyarrow import parquet

from clinstack.errors import BadInput
from clinstack.metrics.intervals import delong_difference
from clinstack.metrics.many import holm
from clinstack.studies.report import write_report
from clinstack.studies.report.answers import answers, like_highest
from clinstack.studies.report.findings import compare_runs
from clinstack.studies.report.gather import gather
from clinstack.studies.report.setups import setup_labels

TWO_TASKS = (("mor", "binary"), ("diag", "multilabel"))


class Page(HTMLParser):
    """A page as the tests look at it: every tag with its attributes, text by section, tables as rows of text."""

    VOID = {"meta", "link", "img", "br", "hr", "input"}  # noqa: RUF012

    def __init__(self, file):
        super().__init__()
        self.tags, self.open, self.sections, self.tables, self.ids = [], [], {}, [], []
        self.section = "head"
        self.source = file.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if (name := dict(attributes).get("id")) is not None:
            self.ids.append(name)
        if tag == "section":
            self.section = dict(attributes)["id"]
        if tag == "table":
            self.tables.append({"section": self.section, "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.sections[self.section] = self.sections.get(self.section, "") + data
        if "td" in self.open or "th" in self.open:
            row = self.tables[-1]["rows"][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())

    def text(self, section):
        return " ".join(self.sections.get(section, "").split())

    def rows(self, section):
        return [row for table in self.tables if table["section"] == section for row in table["rows"]]


@pytest.fixture
def full(study):
    study.full(TWO_TASKS, seeds=(1, 2))
    study.unfinished("mor/task-9")
    return Page(write_report(study.root, title="Two steps <on> notes"))


def test_the_page_needs_nothing_from_outside(full):
    assert not re.search(r"(https?:)?//[a-z]", full.source, re.IGNORECASE)
    assert not re.search(r"@import|url\(", full.source)
    for tag, attributes in full.tags:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed")
        assert all(not name.startswith("on") for name in attributes)
        if "href" in attributes:
            assert attributes["href"].startswith("#")


def test_the_page_is_sound_for_every_reader(full):
    assert ("html", {"lang": "en"}) in full.tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in full.tags
    assert sum(tag == "h1" for tag, _ in full.tags) == 1
    assert len(full.ids) == len(set(full.ids))
    assert {a["href"][1:] for tag, a in full.tags if tag == "a"} <= set(full.ids)
    assert sum(tag == "caption" for tag, _ in full.tags) == len(full.tables) > 5
    assert all(a.get("scope") in ("col", "row", "rowgroup") for tag, a in full.tags if tag == "th")
    drawings = [a for tag, a in full.tags if tag == "svg" and a.get("aria-hidden") != "true"]
    assert len(drawings) > 5
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in drawings)


def test_a_title_is_shown_as_it_is_written(full):
    assert "<h1>Two steps &lt;on&gt; notes</h1>" in full.source


def test_the_same_runs_give_the_same_page(study):
    study.full()
    first = write_report(study.root).read_bytes()
    assert write_report(study.root).read_bytes() == first


def test_the_main_table_has_every_variant_and_task_with_its_mean_over_seeds(full, study):
    header, *rows = full.rows("results")
    assert header == ["Variant", "diag, macro AUROC", "mor, AUROC", "mean over tasks"]
    assert [row[0] for row in rows] == [
        "head-only",
        "task",
        "clinical-frozen",
        "clinical-frozen+task",
        "clinical-trainable",
        "clinical-trainable+task",
    ]
    values = [
        json.loads((study.root / f"mor/task-{seed}/result.json").read_text())["metrics"]["test"]["auroc"]["value"]
        for seed in (1, 2)
    ]
    # Two seeds tell so little of training that nothing is told apart from the highest.
    expected = rf"^{np.mean(values):.3f} ≈ 0\.\d{{3}}–[01]\.\d{{3}} 2 seeds: {min(values):.3f} to {max(values):.3f}$"
    assert re.search(expected, rows[1][2])


def test_the_summary_calls_better_only_what_the_paired_interval_tells_apart(study):
    study.train("strong", variant="clinical-trainable+task", strength=2.0)
    study.train("weak", variant="head-only", strength=0.5)
    page = Page(write_report(study.root))
    assert re.search(
        r"On mor, clinical-trainable\+task has the highest test AUROC, 0\.\d{3} \(0\.\d{3}–0\.\d{3}\), and is better than the "
        r"other setup\.",
        page.text("summary"),
    )
    assert "<strong>" in page.source


def test_the_summary_does_not_name_a_winner_among_equals(study):
    study.train("one", variant="clinical-frozen", strength=1.0)
    study.train("two", variant="task", strength=1.0)
    page = Page(write_report(study.root))
    assert "but is not distinguishable from the other setup." in page.text("summary")
    assert "<strong>" not in page.source
    assert all("≈" in row[1] for row in page.rows("results")[1:])


def test_whether_stacking_helps_is_answered_by_task(full):
    rows = full.rows("questions")
    at = rows.index(
        ["Does stacking help: a frozen clinical adapter under the task adapter? clinical-frozen+task against task"]
    )
    assert [row[0] for row in rows[at + 1 : at + 3]] == ["diag", "mor"]
    assert all(row[3] in ("better", "worse", "not distinguishable") for row in rows[at + 1 : at + 3])
    # The interval excludes 0 where the p-value alone is below 0.05; adjusted for all answers it is never smaller.
    for row in rows[at + 1 : at + 3]:
        assert row[2] == "< 0.001" or 0 <= float(row[2]) <= 1
        assert row[3] == "not distinguishable" or row[2] != "1.000"
    assert "Stacking the task adapter on a frozen clinical adapter was" in full.text("summary")


def test_delong_stands_beside_the_bootstrap_where_each_patient_has_one_note(study):
    for variant in ("head-only", "task"):
        study.train(f"once/{variant}", variant=variant, once=True)
        study.train(f"several/{variant}", task="los", variant=variant)
    found = {one.task: one for one in answers(compare_runs(gather(study.root).classification))}
    task, head = (
        parquet.read_table(study.root / "once" / name / "predictions.parquet") for name in ("task", "head-only")
    )
    scores = [np.diff(np.array(one.column("logits").to_pylist()), axis=1)[:, 0] for one in (task, head)]
    truths = [labels == ["dead"] for labels in task.column("labels").to_pylist()]
    assert found["mor"].p_delong == delong_difference(*scores, truths)[1] < 1
    assert np.isnan(found["los"].p_delong)
    page = Page(write_report(study.root))
    (table,) = (table for table in page.tables if table["section"] == "questions")
    assert table["rows"][0] == ["Task", "Difference", "p (Holm)", "p (DeLong)", "Verdict"]
    assert "are not corrected for their number" in page.source


def test_a_difference_turned_round_is_its_negative(study):
    study.full()
    (task,) = compare_runs(gather(study.root).classification)
    first, second = task.cells[0].setup, task.cells[3].setup
    forward, back = task.difference(first, second), task.difference(second, first)
    assert (back.value, back.low, back.high) == (-forward.value, -forward.high, -forward.low)
    assert back.value > 0
    assert len(answers([task])) == 7  # six that are asked, and clinical-frozen against the task adapter


def test_a_trainable_clinical_adapter_is_compared_with_a_fresh_one_of_its_size(study):
    study.train("head", variant="head-only", trainable=100)
    for rank, trainable in ((4, 1_000), (16, 4_000)):
        study.train(f"task-{rank}", variant="task", rank=rank, trainable=trainable)
    study.train("frozen+task", variant="clinical-frozen+task", rank=4, trainable=1_000)
    study.train("trainable", variant="clinical-trainable", trainable=4_000)
    (task,) = compare_runs(gather(study.root).classification)
    names = setup_labels([cell.setup for cell in task.cells])
    asked = {(names[one.first], names[one.second]) for one in answers([task])}
    assert asked == {
        ("task (rank 4)", "head-only"),
        ("task (rank 16)", "head-only"),
        ("clinical-frozen+task (rank 4)", "task (rank 4)"),
        ("clinical-trainable", "task (rank 16)"),
        ("task (rank 16)", "task (rank 4)"),
    }


def test_a_task_with_two_bases_has_a_verdict_for_each(study):
    for base, strength in (("small", 3.0), ("large", 1.2)):
        study.train(f"{base}/task", variant="task", base=base, strength=1.2)
        study.train(f"{base}/both", variant="clinical-frozen+task", base=base, strength=strength)
    said = " ".join(Page(write_report(study.root)).text("summary").split())
    assert (
        "Stacking the task adapter on a frozen clinical adapter was better than the task adapter alone on mor (small) and "
        "not distinguishable from the task adapter alone on mor (large)." in said
    )


def test_step_one_is_shown_before_and_after(full):
    rows = full.rows("step-one")
    assert rows[1] == ["adapt/lora lora on tiny-base"]
    assert rows[-1] == ["test", "41.50", "12.25", "2.104", "1.413", "120,000"]
    assert "Step 1 (lora, adapt/lora) lowered test bits per byte from 2.104 to 1.413." in full.text("summary")


def test_cost_and_stack_proof_are_shown(full):
    cost = next(row for row in full.rows("cost") if row[0] == "clinical-frozen+task")
    assert cost[1:] == ["2", "1 min 15 s", "4.4 s", "900 MiB", "24,576", "410,000", "8.10 TFLOP"]
    proofs = [row for row in full.rows("stacks") if row[0] == "clinical-frozen+task"][:2]
    assert proofs[0][1:] == ["clinical", "frozen", "0.31", "0", "0", "2 of 2 runs"]
    assert proofs[1][1:] == ["task", "trainable", "0.31", "1.27", "0.0482", "2 of 2 runs"]


def test_an_adapter_that_did_not_do_what_it_says_is_counted_out(study):
    folder = study.train("one")
    result = json.loads((folder / "result.json").read_text())
    result["stack_proof"]["task"]["logit_change"] = 0.0
    (folder / "result.json").write_text(json.dumps(result))
    assert Page(write_report(study.root)).rows("stacks")[-1][-1] == "0 of 1 run"


def test_each_stack_is_drawn_from_the_base_to_the_head(full):
    text = full.text("stacks")
    assert (
        "mor/clinical-frozen+task-1 base tiny-base ba5eba5eba5e clinical lora, frozen c11cc11cc11c "
        "task lora, trainable 7a5c7a5c7a5c head 2 classes"
    ) in re.sub(r"(?<=[a-z0-9])(?=clinical lora|task lora|head \d)", " ", text)


def test_unfinished_and_broken_runs_are_listed_and_not_counted(study):
    study.train("good")
    study.unfinished("killed")
    broken = study.unfinished("broken")
    (broken / "result.json").write_text("{")
    empty = study.unfinished("strange")
    (empty / "result.json").write_text('{"step": 2, "task": "mor"}')
    page = Page(write_report(study.root))
    listed = page.text("unfinished")
    assert "killed: no result.json: it failed, was interrupted or is still running; it reached step 200" in listed
    assert "broken: result.json is not valid JSON" in listed
    assert "strange: result.json lacks kind, classes, variant, base, metrics" in listed
    assert "1 classification run" in page.text("summary")
    assert "3 further runs did not finish and are not counted." in page.text("summary")


def test_table_json_has_a_flat_row_per_run(full, study):
    rows = json.loads((study.root / "table.json").read_text())
    assert len(rows) == 1 + 2 * 6 * 2 + 1
    assert all(not isinstance(value, dict | list) for row in rows for value in row.values())
    row = next(row for row in rows if row["run"] == "mor/clinical-frozen+task-2")
    result = json.loads((study.root / row["run"] / "result.json").read_text())
    expected = {
        "status": "finished",
        "step": 2,
        "task": "mor",
        "config_task": "tasks/mor",
        "variant": "clinical-frozen+task",
        "seed": 2,
        "base_name": "tiny-base",
        "learning_rate": 3e-4,
        "test_auroc": result["metrics"]["test"]["auroc"]["value"],
        "test_auroc_low": result["metrics"]["test"]["auroc"]["low"],
        "train_seconds": 75.2,
        "train_peak_bytes": 900 * 2**20,
        "parameters_trainable": 24_576,
        "stack_proof_clinical_frozen": True,
        "clinical_method": "lora",
    }
    assert {key: row.get(key) for key in expected} == expected
    adapted = next(row for row in rows if row["step"] == 1)
    assert adapted["perplexity_test_after"] == 12.25
    assert rows[-1] == {
        "run": "mor/task-9",
        "status": "unfinished",
        "reason": "no result.json: it failed, was interrupted or is still running; it reached step 200",
    }


def test_one_run_alone_is_a_report(study):
    folder = study.train("only")
    page = Page(write_report(folder, out=study.root / "elsewhere" / "page.html"))
    assert (study.root / "elsewhere" / "table.json").is_file()
    assert "On mor, task reaches a test AUROC of" in page.text("summary")
    assert "questions" not in page.ids
    assert "step-one" not in page.ids


def test_step_one_alone_is_a_report(study):
    study.adapt("adapt")
    page = Page(write_report(study.root))
    assert page.text("summary").startswith("This report covers 1 adaptation run (step 1) on tiny-base.")
    assert "results" not in page.ids


def test_a_multilabel_task_has_no_roc_curve_but_calibration(study):
    study.train("one", task="diag", kind="multilabel")
    page = Page(write_report(study.root))
    assert "roc" not in page.ids
    assert "Expected calibration error" in page.text("calibration")
    assert 'id="decisions"' not in page.source
    assert "of how many of the surest test notes a label of them is wrong" in page.text("abstention")


def test_a_binary_task_shows_what_acting_on_it_is_worth(study):
    study.train("run", variant="task")
    page = Page(write_report(study.root))
    assert "mor: what acting on “dead” is worth" in page.text("decisions")
    assert "acting on everybody" in page.text("decisions")


def test_without_predictions_the_runs_own_intervals_stand(study):
    study.train("one", variant="task", predictions=False)
    study.train("two", variant="head-only", predictions=False)
    page = Page(write_report(study.root))
    interval = json.loads((study.root / "one/result.json").read_text())["metrics"]["test"]["auroc"]
    assert page.rows("results")[2][1] == f"{interval['value']:.3f} ≈ {interval['low']:.3f}–{interval['high']:.3f}"
    assert "mor: 2 setups could not be paired with others" in page.text("limits")
    assert "but is not distinguishable from the other setup." in page.text("summary")


def test_runs_on_other_test_notes_are_not_paired(study):
    study.train("one", variant="task")
    study.train("two", variant="task", seed=2)
    study.train("three", variant="head-only", notes=100)
    page = Page(write_report(study.root))
    assert "questions" not in page.ids
    assert "mor: 1 setup could not be paired with others" in page.text("limits")


def test_a_figure_that_does_not_exist_is_a_dash(study):
    folder = study.train("one", predictions=False)
    result = json.loads((folder / "result.json").read_text())
    result["metrics"]["test"]["auroc"] = {"value": None, "low": None, "high": None}
    (folder / "result.json").write_text(json.dumps(result))
    page = Page(write_report(study.root))
    assert page.rows("results")[1][1] == "– –"
    assert "On mor, the test notes allow no AUROC: no class is both present and absent." in page.text("summary")


def test_settings_that_differ_between_like_runs_part_them(study):
    study.train("small", rank=4)
    study.train("large", rank=16, strength=1.4)
    study.train("large-2", rank=16, strength=1.4, seed=2)
    page = Page(write_report(study.root))
    assert [row[0] for row in page.rows("results")[1:]] == ["task (rank 4)", "task (rank 16)"]
    assert ["step 2", "rank", "16, 4"] in page.rows("made")


def test_neither_note_ids_nor_patients_are_shown(full):
    assert "note-0001" not in full.source
    assert "patient-1" not in full.source


def test_a_folder_without_a_finished_run_is_refused(study):
    study.unfinished("begun")
    message = (
        f"{study.root} holds no finished run (1 unfinished): no folder in it has a readable result.json. "
        "Give the folder in which `adapt`, `train` or `study` wrote its runs."
    )
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        write_report(study.root)
    assert not (study.root / "report.html").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is not a folder"):
        write_report(tmp_path / "nowhere")


def verdicts(study):
    found = gather(study.root)
    tasks = compare_runs(found.classification, found.language)
    names = setup_labels([cell.setup for task in tasks for cell in task.cells])
    return tasks, names, answers(tasks)


def test_runs_on_different_clinical_adapters_are_different_setups(study):
    for clinical, strength in (("aaaa", 0.8), ("bbbb", 1.4)):
        study.train(f"task-on-{clinical}", variant="clinical-frozen+task", clinical=clinical, strength=strength)
        study.train(f"alone-{clinical}", variant="clinical-frozen", clinical=clinical, strength=strength)
    study.train("task", variant="task")
    page = Page(write_report(study.root))
    assert [row[0] for row in page.rows("results")[1:]] == [
        "task",
        "clinical-frozen (clinical adapter aaaaaaaaaaaa)",
        "clinical-frozen (clinical adapter bbbbbbbbbbbb)",
        "clinical-frozen+task (clinical adapter aaaaaaaaaaaa)",
        "clinical-frozen+task (clinical adapter bbbbbbbbbbbb)",
    ]
    assert "seeds:" not in page.text("results")


def test_clinical_adapters_that_differ_in_the_seed_of_step_1_alone_are_averaged(study):
    for seed, clinical in ((1, "aaaa"), (2, "bbbb")):
        study.adapt(f"adapt/{seed}", seed=seed, clinical=clinical)
    study.adapt("adapt/larger", seed=3, clinical="cccc", rank=64)
    for seed, clinical in enumerate(("aaaa", "bbbb", "cccc"), 1):
        study.train(f"run/{seed}", variant="clinical-frozen", clinical=clinical, seed=seed)
    rows = Page(write_report(study.root)).rows("results")
    assert [row[0] for row in rows[1:]] == [
        "clinical-frozen (clinical adapter aaaaaaaaaaaa and 1 of other seeds)",
        "clinical-frozen (clinical adapter cccccccccccc)",
    ]
    assert "2 seeds:" in rows[1][1]
    assert "seeds:" not in rows[2][1]


def test_runs_of_one_task_on_other_notes_are_of_another_task(study):
    study.train("old", seed=1)
    study.train("new", seed=2, data="beef")
    page = Page(write_report(study.root))
    header, *rows = page.rows("results")
    assert header[:3] == ["Variant", "mor (notes beefbeefbeef), AUROC", "mor (notes da7ada7ada7a), AUROC"]
    assert "seeds:" not in " ".join(rows[0])
    assert "Runs of one task's name were trained on different notes" in page.text("limits")


def test_a_task_adapter_that_is_never_switched_on_is_told_beside_the_table(study):
    study.train("head-only", variant="head-only")
    folder = study.train("stack", variant="clinical-frozen+task", seed=2)
    said = "a task adapter on a clinical one is there and never switched on"
    write_report(study.root)
    assert said not in (study.root / "table.md").read_text()
    lineage = json.loads((folder / "lineage.json").read_text())
    lineage["adapters"][-1]["inert"] = True
    (folder / "lineage.json").write_text(json.dumps(lineage))
    page = Page(write_report(study.root))
    assert said in page.text("limits")
    assert said in (study.root / "table.md").read_text()


def test_runs_that_make_their_own_base_are_one_setup_whatever_they_made(study):
    for seed in (1, 2, 3):
        study.train(f"made/{seed}", variant="full", base="transformer", seed=seed)
    (task,), names, _ = verdicts(study)
    assert [len(cell.runs) for cell in task.cells] == [3]
    assert list(names.values()) == ["full"]


def test_every_setup_is_compared_with_the_plain_one_of_its_base_in_one_family(study):
    variants = ("head-only", "task", "full", "clinical-continued", "clinical-merged+task")
    for number, variant in enumerate(variants):
        study.train(variant, variant=variant, strength=0.9 + number / 10)
    study.train("encoder/head-only", variant="head-only", base="bert")
    study.train("encoder/full", variant="full", base="bert", strength=2.5)
    (task,), names, found = verdicts(study)
    asked = {(one.question, names[one.first], names[one.second]): one for one in found}
    alone, head = "Against the task adapter alone", "Against the head alone"
    assert set(asked) == {
        ("Does a task adapter help without step 1?", "task (tiny-base)", "head-only (tiny-base)"),
        (alone, "full (tiny-base)", "task (tiny-base)"),
        (alone, "clinical-continued (tiny-base)", "task (tiny-base)"),
        (alone, "clinical-merged+task (tiny-base)", "task (tiny-base)"),
        (head, "full (bert)", "head-only (bert)"),
    }
    raw = {(one.first, one.second): task.p_value(one.first, one.second) for one in asked.values()}
    assert {(one.first, one.second): one.p_value for one in asked.values()} == holm(raw)
    assert asked[head, "full (bert)", "head-only (bert)"].verdict == "better"


def test_the_highest_stands_against_the_others_of_its_column_alone(study):
    """Of 9 setups it has 8 others, and its p-values count 8 times: not 36 times, as those of all pairs would."""
    study.train("full", variant="full", strength=1.3)
    for rank in range(8):
        study.train(f"other-{rank}", variant="clinical-merged", rank=rank, strength=1.0 + rank / 30)
    (task,), _, _ = verdicts(study)
    best = task.highest
    raw = {other: task.p_value(best, other) for other in task.setups if other != best}
    assert set(like_highest(task)) == {other for other, p_value in raw.items() if 8 * p_value >= 0.05}
    assert any(8 * p_value < 0.05 < 36 * p_value for p_value in raw.values())


def test_what_is_better_alone_is_not_where_many_are_compared(study):
    study.train("task", variant="task", strength=1.0)
    study.train("full", variant="full", strength=1.2)
    _, _, alone = verdicts(study)
    assert [one.verdict for one in alone] == ["better"]
    assert "<strong>" in write_report(study.root).read_text()
    for rank in range(16):
        study.train(f"other-{rank}", variant="clinical-merged", rank=rank, strength=1.0 + rank / 100)
    _, _, many = verdicts(study)
    (one,) = (one for one in many if one.first.variant == "full")
    assert one.difference.excludes(0)
    assert one.p_value > 0.05
    assert one.verdict == "not distinguishable"
    page = Page(write_report(study.root))
    assert "<strong>" not in page.source
    assert "better than each" not in page.text("summary")


def test_the_table_for_a_document_says_what_its_marks_mean(full, study):
    markdown = (study.root / "table.md").read_text()
    legend = (
        "Bold: better than every other variant in that column, also when the number of comparisons is allowed for. ≈: the "
        "highest, and those that are not distinguishable from it; there nobody has won."
    )
    assert f"\nIn brackets: the 95 % interval. {legend}\n" in markdown
    assert legend in full.text("results")
