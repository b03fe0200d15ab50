"""The mean over tasks: recomputed from predictions, and as sure as patients who stand in several tasks allow."""

import shutil

import numpy as np
import pytest

from clinstack.metrics.intervals import shared_weights
from clinstack.studies.report import write_report
from clinstack.studies.report.average import average_over_tasks
from clinstack.studies.report.findings import compare_runs
from clinstack.studies.report.gather import gather


def findings(study):
    return compare_runs(gather(study.root).classification)


def test_a_patient_weighs_the_same_whoever_else_is_there_and_one_on_average():
    few, many = ["b", "a", "b"], [f"p{number}" for number in range(300)] + ["a", "b"]
    alone, among = (np.concatenate(list(shared_weights(ids, 400))) for ids in (few, many))
    assert np.array_equal(alone[:, 0], alone[:, 2])
    assert np.array_equal(alone[:, :2], among[:, [301, 300]])
    assert among.mean() == pytest.approx(1, abs=0.01)
    assert among.var() == pytest.approx(1, abs=0.05)


def test_the_mean_is_that_of_the_tasks_figures(study):
    for task in ("mor", "pmv", "icu"):
        for variant in ("task", "clinical-frozen+task"):
            for seed in (1, 2):
                study.train(f"{task}/{variant}/{seed}", task=task, variant=variant, seed=seed)
    study.train("mor/only", task="mor", variant="head-only")
    tasks = findings(study)
    average = average_over_tasks(tasks)
    assert sorted(average.tasks) == ["icu", "mor", "pmv"]
    for setup, interval in average.intervals.items():
        values = [cell.interval.value for task in tasks for cell in task.cells if cell.setup == setup]
        assert len(values) == 3
        assert interval.value == pytest.approx(np.mean(values))
        assert interval.low < interval.value < interval.high
    assert len(average.intervals) == 2  # head-only is of one task
    page = write_report(study.root).read_text()
    assert "mean over tasks" in page


def test_a_task_that_is_there_twice_makes_the_mean_no_surer(study):
    study.train("mor/run", task="mor", variant="task")
    shutil.copytree(study.root / "mor", study.root / "again")
    result = study.root / "again/run/result.json"
    result.write_text(result.read_text().replace('"task": "mor"', '"task": "again"'))
    tasks = findings(study)
    assert len(tasks) == 2
    (mean,) = average_over_tasks(tasks).intervals.values()
    (once,) = (cell.interval for cell in tasks[0].cells)
    assert mean.value == once.value
    assert mean.high - mean.low == pytest.approx(once.high - once.low, rel=0.15)


def test_one_task_and_runs_without_predictions_have_no_mean(study):
    study.train("mor", task="mor")
    assert average_over_tasks(findings(study)) is None
    study.train("pmv", task="pmv", predictions=False)
    assert average_over_tasks(findings(study)) is None
