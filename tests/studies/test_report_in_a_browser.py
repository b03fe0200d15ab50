"""The report in a real browser: whole without a network, and no wider than a phone."""

import json
import shutil
from pathlib import Path

import pytest
from chromium import CHROMIUM, QUIET

from clinstack.config import TrainOptions
from clinstack.studies.report import write_report
from clinstack.training.classification import train


@pytest.fixture(scope="module")
def report(tmp_path_factory, small_base, small_task, clinical_run) -> Path:
    root = tmp_path_factory.mktemp("study")
    shutil.copytree(clinical_run, root / "clinical")
    for name, options in {"task": {}, "stack": {"clinical": clinical_run}}.items():
        train(
            TrainOptions(
                base=str(small_base),
                task=small_task("binary"),
                out=root / name,
                epochs=1,
                max_tokens=48,
                device="cpu",
                resamples=100,
                **options,
            )
        )
    return write_report(root)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium at hand")
@pytest.mark.parametrize("width", [375, 1280])
def test_the_report_stands_alone_and_fits_the_screen(report, width):
    from playwright.sync_api import sync_playwright

    asked, said = [], []
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(report.as_uri())
        widest = page.evaluate("document.documentElement.scrollWidth")
        text = page.inner_text("body")
        browser.close()
    assert asked == [report.as_uri()]
    assert said == []
    assert widest <= width
    rows = json.loads((report.parent / "table.json").read_text())
    found = next(row for row in rows if row.get("variant") == "clinical-frozen+task")
    assert f"{found['test_auroc']:.3f}" in text
    assert "clinical-frozen+task" in text
