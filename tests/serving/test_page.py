"""The page in a real browser: by mouse, by keyboard, on a phone, with a slow server and with none."""

import re
import signal
from contextlib import contextmanager

import httpx
import pytest
from chromium import CHROMIUM, QUIET
from serving_process import server

from clinstack.serving.keys import add_key
from clinstack.serving.messages import MOST_CHARACTERS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium at hand")


@contextmanager
def opened(address, width=1280, **options):
    """The page of a server; what it asked for and what it said in the console."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.goto(address)
        yield page
        browser.close()


def ask(page, text):
    page.get_by_label("Text of the note").fill(text)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("tasks have answered").wait_for()


TEXT = "CHIEF COMPLAINT: pain. HPI: the man has shock and was intubated on pressors with a rising lactate on day 3"


def assert_decision_is_told(article):
    """In words that are no prognosis, with where the threshold lies and where it is left open, also drawn."""
    p = r"(<\s)?\d+(\.\d)?\s%"
    sides = (
        rf"Counts as dead, died in this stay \({p}, from {p} on\)\.",
        rf"Does not count as dead, died in this stay \({p}, below {p}\)\.",
        rf"Left open whether it counts as dead, died in this stay \({p}, between {p} and {p}\)\.",
    )
    assert re.fullmatch("|".join(sides), article.locator(".decision").inner_text())
    assert re.search(rf": threshold {p}(, open between {p} and {p})?; usual\s{p}", article.inner_text())
    assert article.locator(".bar .threshold").count() == article.locator(".bar .open").count() == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_a_note_is_asked_explained_and_compared(running, width):
    with opened(running[0], width) as page:
        page.locator("#tasks input").nth(2).wait_for()
        ask(page, TEXT)
        cards = page.locator("article")
        assert cards.locator("h3").all_inner_texts() == ["labels", "mortality", "unit"]
        assert "heart a failing heart & its <signs>" in page.get_by_role("article", name="labels").inner_text()
        mortality = page.get_by_role("article", name="mortality")
        assert re.search(r"\d+(\.\d)?\s%", mortality.inner_text())
        said = mortality.get_by_role("img").get_attribute("aria-label")
        assert re.match(
            r".*; of \d+ validation notes that scored alike .* interval .* to .*; usual .*; (counts|does not count|left open): threshold .*",
            said,
        )
        assert_decision_is_told(mortality)
        labels = page.get_by_role("article", name="labels").locator(".decision").inner_text()
        assert re.match(r"Of the 4 likeliest labels \d count, \d do not, \d are left open", labels)
        assert page.get_by_role("article", name="unit").get_by_text("Read: the whole note.").count() == 1
        assert "does not replace" in page.inner_text("header") or "do not replace" in page.inner_text("header")

        mortality.get_by_role("button", name="why dead in mortality").click()
        page.get_by_role("heading", name="Why dead, died in this stay (mortality)").wait_for()
        assert page.inner_text("#marked").replace("\xa0", " ") == TEXT
        assert page.locator("#marked mark").count() >= 1
        assert page.locator("#sections tbody tr").count() == 2
        assert page.inner_text("#why-said").startswith("Without the 1 word marked strongest the log-odds fall by ")

        page.get_by_role("button", name="Keep these answers").click()
        ask(page, TEXT.replace("shock", "comfort"))
        assert re.search(r"change [+−±]\d+\.\d\spoints", mortality.inner_text())
        page.get_by_role("button", name="Compare no longer").click()
        assert "points" not in mortality.inner_text()

        mortality.get_by_role("button", name="card of mortality@1").click()
        page.get_by_role("dialog").get_by_role("heading", name="Limits").wait_for()
        assert page.evaluate("[document.activeElement.id, document.getElementById('card').scrollTop]") == [
            "card-title",
            0,
        ]
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert {url.split("/")[2] for url in page.asked} == {running[0].split("/")[2]}
        assert page.said == []


def test_everything_works_by_keyboard_alone(running):
    with opened(running[0]) as page:
        page.locator("#tasks input").first.wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the answers"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "note":
                break
        page.keyboard.type("shock and pressors on day 3 of the stay, intubated, with lactate rising still")
        page.keyboard.press("Control+Enter")
        page.get_by_text("tasks have answered").wait_for()
        for _ in range(40):
            page.keyboard.press("Tab")
            if "why dead in mortality" in (page.evaluate("document.activeElement.getAttribute('aria-label')") or ""):
                break
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Why dead, died in this stay (mortality)").wait_for()
        assert page.evaluate("document.activeElement.id") == "why"


def test_an_example_fills_the_note_and_a_file_too(running, tmp_path):
    (tmp_path / "note.txt").write_text("woman with edema 🩺")
    with opened(running[0]) as page:
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.select_option("#example", index=1)
        assert page.input_value("#note") == ""  # arrow keys choose, and choosing loads nothing
        page.get_by_role("button", name="Load").click()
        assert page.input_value("#note").startswith("CHIEF COMPLAINT: ")
        page.set_input_files("#file", tmp_path / "note.txt")
        page.wait_for_function("document.getElementById('note').value === 'woman with edema 🩺'")
        assert page.inner_text("#count") == "18 characters."


def test_what_was_typed_is_replaced_only_if_the_reader_says_so(running, tmp_path):
    (tmp_path / "note.txt").write_text("woman with edema")
    with opened(running[0]) as page:
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.select_option("#example", index=1)
        page.get_by_role("button", name="Load").click()
        page.get_by_label("Text of the note").press_sequentially(" and more")
        typed = page.input_value("#note")
        asked = []
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        page.get_by_role("button", name="Load").click()
        page.set_input_files("#file", tmp_path / "note.txt")
        page.wait_for_function("document.getElementById('file').value === ''")
        page.wait_for_timeout(100)
        assert page.input_value("#note") == typed
        assert asked == ["Replace the text of the note? It is kept nowhere else."] * 2


@pytest.mark.parametrize("content", ["Fièvre à 39".encode("latin-1"), b"PK\x03\x04\x00\x00", "pain".encode("utf-16")])
def test_a_file_that_is_no_text_in_utf_8_is_refused(running, tmp_path, content):
    (tmp_path / "note.txt").write_bytes(content)
    with opened(running[0]) as page:
        page.locator("#tasks input").first.wait_for()
        page.set_input_files("#file", tmp_path / "note.txt")
        page.get_by_text("note.txt is not text in UTF-8. Save it as a text file in UTF-8, and open that.").wait_for()
        assert page.input_value("#note") == ""


def test_a_note_that_is_too_long_is_kept_whole_and_not_asked(running):
    with opened(running[0]) as page:
        page.locator("#tasks input").first.wait_for()
        page.get_by_label("Text of the note").fill("🩺" * (MOST_CHARACTERS + 1))
        assert page.inner_text("#count") == "200,001 characters."
        assert page.inner_text("#too-long") == "That is 1 more than a note may have. Shorten it before you ask."
        page.get_by_role("button", name="Ask").click()
        assert page.inner_text("#status").startswith("The note has 200,001 characters. That is 1 more")
        assert not [url for url in page.asked if url.endswith("/predict")]
        page.get_by_label("Text of the note").fill("a" * MOST_CHARACTERS)
        assert page.inner_text("#too-long") == ""
        ask(page, "a" * MOST_CHARACTERS)


def test_how_much_of_a_note_was_read_stands_above_its_answers(running):
    long = "the man has shock 🩺 on day 3. " * 60
    with opened(running[0]) as page:
        ask(page, long)
        mortality = page.get_by_role("article", name="mortality")
        told = mortality.get_by_text(
            re.compile(rf"Read: only the first \d+ of {len(long):,} characters\.")
        ).inner_text()
        read = int(re.search(r"first (\d+)", told)[1])
        assert page.get_by_role("article", name="unit").get_by_text("Read: the whole note.").count() == 1
        mortality.get_by_role("button", name="why dead").click()
        page.get_by_text("not read: no part in the answer").wait_for()
        unread = page.inner_text("#marked .unread").strip()
        assert long.strip().endswith(unread)
        assert 0 <= len(long.strip()) - len(unread) - read < 8  # a word that is read in part counts as read
        ask(page, "pain and a shock")
        mortality.get_by_role("button", name="why dead").click()
        page.locator("#why").wait_for()
        assert not page.get_by_text("not read: no part in the answer").is_visible()


def test_answers_of_an_earlier_text_are_marked_and_those_of_a_failed_question_cleared(running):
    earlier = "The note has changed: these answers are of the text before. Ask again."
    with opened(running[0]) as page:
        ask(page, TEXT)
        page.get_by_role("button", name="why dead in mortality").click()
        page.locator("#why").wait_for()
        page.get_by_label("Text of the note").fill(TEXT + " and more")
        assert page.inner_text("#earlier") == earlier
        assert page.locator("#results.earlier").count() == 1
        assert page.locator("#why").is_hidden()
        page.get_by_label("Text of the note").fill(TEXT)
        assert page.inner_text("#earlier") == ""
        page.route("**/v1/predict", lambda route: route.abort())
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("The server cannot be reached.").wait_for()
        assert page.locator("article").count() == 0
        assert page.get_by_role("button", name="Keep these answers").is_disabled()


def test_an_explanation_that_fails_says_so_beside_its_button(running):
    with opened(running[0]) as page:
        ask(page, TEXT)
        refusal = {"error": {"code": "busy", "message": "Ask again in 2 seconds.", "request_id": "r"}}
        page.route("**/v1/explain", lambda route: route.fulfill(status=503, json=refusal))
        line = page.get_by_role("article", name="mortality").locator("li")
        line.get_by_role("button", name="why dead").click()
        line.get_by_text("Ask again in 2 seconds.").wait_for()
        assert line.get_by_role("status").inner_text() == "Ask again in 2 seconds."
        assert "tasks have answered" in page.inner_text("#status")
        assert page.locator("#why").is_hidden()


def test_on_a_phone_no_word_of_an_answer_is_broken_and_nothing_is_cut_off(running):
    with opened(running[0], 360) as page:
        ask(page, TEXT)
        page.get_by_role("button", name="Keep these answers").click()
        ask(page, TEXT + " and more")
        for part in page.locator("article li, article .bar, article button").all():
            box = part.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        # A word that is broken lies on more lines than one.
        broken = """() => [...document.querySelectorAll("article li span")].flatMap((node) => [...node.childNodes])
            .filter((node) => node.nodeType === Node.TEXT_NODE).flatMap((node) => [...node.data.matchAll(/\\S+/g)].filter((word) => {
                const range = document.createRange();
                range.setStart(node, word.index);
                range.setEnd(node, word.index + word[0].length);
                return new Set([...range.getClientRects()].map((box) => box.top)).size > 1;
            }).map((word) => word[0]))"""
        assert page.evaluate(broken) == []


def test_mistakes_are_told_where_the_reader_is(running):
    with opened(running[0]) as page:
        page.locator("#tasks input").first.wait_for()
        page.get_by_role("button", name="Ask").click()
        assert page.inner_text("#status").startswith("There is no text.")
        page.get_by_label("Text of the note").fill("pain")
        for box in page.locator("#tasks input").all():
            box.uncheck()
        page.get_by_role("button", name="Ask").click()
        assert page.inner_text("#status").startswith("No task is chosen.")
        assert page.locator("#status").get_attribute("role") == "status"


def test_a_long_note_of_strange_text_is_shown_as_text(running):
    long = "<script>alert(1)</script> **bold** 🩺 Crème " + "patient is stable & <b>well</b>\n" * 600
    with opened(running[0]) as page:
        ask(page, long)
        page.get_by_role("button", name="why dead in mortality").click()
        page.get_by_role("heading", name="Why dead, died in this stay (mortality)").wait_for()
        assert page.inner_text("#marked").startswith("<script>alert(1)</script> **bold**")
        assert page.locator("#marked .unread").count() == 1
        assert page.said == []


def test_a_slow_server_and_one_that_went_away_are_told(filled):
    with server(filled.layout.root) as (address, process, _log), opened(address) as page:
        page.locator("#tasks input").first.wait_for()
        page.get_by_label("Text of the note").fill("pain")
        process.send_signal(signal.SIGSTOP)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Still reading.").wait_for(timeout=10_000)
        process.send_signal(signal.SIGCONT)
        page.get_by_text("tasks have answered").wait_for()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("The server cannot be reached.").wait_for()


def test_a_server_with_keys_asks_for_one(filled, tmp_path):
    key = add_key(tmp_path / "keys.toml", "ward", ["mortality"], 60)
    with (
        server(filled.layout.root, "--keys", str(tmp_path / "keys.toml")) as (address, _, _log),
        opened(address) as page,
    ):
        page.get_by_text("The key is missing.").wait_for()
        page.get_by_label("Key for this server").fill(key)
        page.keyboard.press("Tab")
        page.locator("#tasks input").first.wait_for()
        assert page.locator("#tasks input").count() == 1
        page.get_by_label("Text of the note").fill("pain")
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("1 task has answered").wait_for()


@pytest.mark.parametrize("width", [360, 1280])
def test_drift_and_outcomes_have_a_page(filled, tmp_path, width):
    flags = ("--watch", f"sqlite:///{tmp_path / 'watch.sqlite'}")
    with server(filled.layout.root, *flags) as (address, _, _log), opened(f"{address}/drift", width) as page:
        mortality = page.get_by_role("article", name="mortality")
        mortality.get_by_text("No note was answered in these days.").wait_for()
        notes = [{"id": f"n{n}", "text": "A LINE OF CAPITALS 77\n" * 30} for n in range(60)]
        with httpx.Client(base_url=address, timeout=60) as client:
            client.post("/v1/predict", json={"notes": notes})
            outcomes = [
                {"note_id": f"n{n}", "task": "mortality", "labels": [["alive", "dead"][n % 2]]} for n in range(40)
            ]
            client.post("/v1/outcomes", json={"outcomes": outcomes})
        page.get_by_role("button", name="Look again").click()
        mortality.get_by_text("60 notes answered. The notes are others than on validation:").wait_for()
        said = mortality.inner_text()
        assert re.search(r"characters\s+\d\.\d{3}\s+0\.\d{3}\s+large ▲", said)
        assert re.search(r"dead died in this stay\s+\d+\.\d{3}", said)
        assert "What came true: 40 outcomes came back." in said
        assert re.search(r"auroc\s+0\.500 \(0\.\d{3} to 0\.\d{3}\)\s+[01]\.\d{3} \(", said)
        labels = page.get_by_role("article", name="labels").inner_text()
        assert "heart a failing heart & its <signs>" in labels
        assert "0 outcomes came back. Figures are made of 20 or more." in labels
        assert re.search(r"labels@1, promoted \w{3} \d+, 20\d\d, ", labels)
        page.get_by_label("The last").select_option("7 days")
        page.get_by_text("3 tasks.").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.said == []


def test_the_drift_page_says_why_it_has_nothing_to_show(filled):
    with server(filled.layout.root, "--watch", "off") as (address, _, _log), opened(f"{address}/drift") as page:
        page.get_by_text("This server does not count what it is asked: it was started with --watch off.").wait_for()
