"""CDS Hooks: discovery and cards, with requests of the standard's form."""

import base64
import json

import pytest
from serving_process import CANARY

from clinstack.serving.cds_hooks import HookRequest, text_of


def document(text, number="1", date="2026-01-01T00:00:00Z", kind="text/plain"):
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": number,
        "status": "current",
        "date": date,
        "content": [{"attachment": {"contentType": kind, "data": data}}],
    }


def request(documents):
    """The call that the standard's page on its HTTP API shows, with what our service asks for."""
    return {
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "fhirServer": "http://hooks.smarthealthit.org:9080",
        "hook": "patient-view",
        "fhirAuthorization": {
            "access_token": "some-opaque-fhir-access-token",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "user/Patient.read user/Observation.read",
            "subject": "cds-service4",
        },
        "context": {"userId": "Practitioner/example", "patientId": "1288992", "encounterId": "89284"},
        "prefetch": {"documents": documents, "patientToGreet": {"resourceType": "Patient", "id": "1288992"}},
    }


def test_discovery_lists_a_service_a_task_with_what_to_send(client):
    services = client.get("/cds-services").json()["services"]
    assert [one["id"] for one in services] == ["labels", "mortality", "unit"]
    for one in services:
        assert one["hook"] == "patient-view"
        assert one["prefetch"]["documents"].startswith("DocumentReference?patient={{context.patientId}}")
        assert {"title", "description"} <= one.keys()


@pytest.mark.parametrize("form", ["resource", "bundle", "list"])
def test_a_call_is_answered_with_a_card_of_the_newest_document(client, form):
    texts = {"old": "patient is stable and comfortable", "new": "shock, intubated on pressors, lactate, arrest"}
    some = [document(texts["old"], "1", "2025-05-05"), document(texts["new"], "2", "2026-02-02")]
    sent = {
        "resource": some[1],
        "list": some,
        "bundle": {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in some]},
    }[form]
    (card,) = client.post("/cds-services/mortality", json=request(sent)).json()["cards"]
    answer = client.post(
        "/v1/predict", json={"notes": [{"id": "2", "text": texts["new"]}], "tasks": ["mortality"]}
    ).json()["predictions"][0]
    dead = next(one for one in answer["classes"] if one["name"] == "dead")
    decision = {
        True: f"counts as such (from {dead['open_high']:.1%} on)",
        False: f"does not count as such (below {dead['open_low']:.1%})",
        None: f"left open ({dead['open_low']:.1%} to {dead['open_high']:.1%})",
    }[dead["decided"]]
    assert card["summary"].startswith(
        f"mortality: dead (died in this stay) {dead['probability']:.1%}, {decision}; usual "
    )
    assert decision in card["detail"]
    assert len(card["summary"]) <= 140
    assert card["indicator"] in ("info", "warning")
    assert card["source"] == {"label": "clinstack, mortality@1"}
    assert "does not replace them" in card["detail"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (None, "The request holds no DocumentReference under prefetch.documents, and this service fetches none."),
        ({"resourceType": "Bundle", "entry": []}, "The request holds no DocumentReference under prefetch.documents, and this service fetches none."),
        (CANARY, "The request holds no DocumentReference under prefetch.documents, and this service fetches none."),
        (document(CANARY, kind="application/pdf"), "The document holds no text: its attachment must have data in base64 of type text/plain."),
        (document(CANARY, kind="text/rtf"), "The document holds no text: its attachment must have data in base64 of type text/plain."),
        ([{**document(CANARY), "status": "entered-in-error"}, {**document(CANARY), "docStatus": "entered-in-error"}, {**document(CANARY), "status": "superseded"}],
         "Every document of the request is superseded or was entered in error."),
        ({**document(CANARY), "content": [{"attachment": {"data": CANARY}}]}, "The document's data is not UTF-8 text in base64."),
        ({**document(CANARY), "content": [7, {"attachment": 3}]}, "The document holds no text: its attachment must have data in base64 of type text/plain."),
    ],
)  # fmt: skip
def test_a_call_without_a_document_is_answered_with_412(client, sent, reason):
    answer = client.post("/cds-services/mortality", json=request(sent))
    assert (answer.status_code, answer.json()["error"]["message"]) == (412, reason)
    assert "Xylophia" not in answer.text


@pytest.mark.parametrize(
    ("dates", "newest"),
    [
        (("2024-01-02T01:00:00+10:00", "2024-01-01T23:00:00Z"), 1),
        (("2024-01-02", "2024-01-01T23:00:00-05:00"), 1),
        (("2024-01-02", "2024-01-01T23:00:00+05:00"), 0),
        (("2024-01-02", "some day"), 0),
        (("2024-01-02", None), 0),
        (("2024-01-02", "9999-12-31T23:59:59-14:00"), 1),
    ],
)
def test_the_newest_document_is_that_of_the_latest_instant_which_still_stands(dates, newest):
    some = [document(f"text {number}", str(number), date) for number, date in enumerate(dates)]
    some.append({**document("of another patient", "2", "2030-01-01"), "status": "entered-in-error"})
    asked = HookRequest(hook="patient-view", hookInstance="x", context={}, prefetch={"documents": some})
    assert text_of(asked) == (str(newest), f"text {newest}")


def test_types_are_compared_without_case_and_base64_may_have_lines(client):
    text = "shock, intubated on pressors, lactate, arrest " * 5
    plain = document(text, kind="text/plain; charset=UTF-8")
    loose = document(text, kind="Text/Plain; charset=UTF-8")
    loose["content"][0]["attachment"]["data"] = base64.encodebytes(text.encode()).decode().replace("\n", "\r\n")
    assert "\r\n" in loose["content"][0]["attachment"]["data"].strip()
    answers = [client.post("/cds-services/mortality", json=request(one)) for one in (plain, loose)]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hook": "order-sign"}, "The request cannot be used. hook: this must be 'patient-view'."),
        ({"prefetch": {"documents": {**document("a"), "id": "\ud800"}}}, "The request cannot be used. prefetch: this holds half a character (a lone surrogate)."),
        ({"prefetch": {"\udfff": 1}}, "The request cannot be used. prefetch: this holds half a character (a lone surrogate)."),
        ({"context": {"patientId": "\ud800"}}, "The request cannot be used. context: this holds half a character (a lone surrogate)."),
        ({"hookInstance": "\ud800"}, "The request cannot be used. hookInstance: this holds half a character (a lone surrogate)."),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_is_refused(client, change, message):
    content = json.dumps({**request(document("a")), **change})
    answer = client.post("/cds-services/mortality", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, message)


def test_an_unknown_service_and_a_call_of_no_form_are_refused(client):
    assert client.post("/cds-services/mortalty", json=request(document("a"))).status_code == 404
    wrong = client.post("/cds-services/mortality", content=json.dumps({"hook": 3}))
    assert wrong.status_code == 422
    assert "prefetch" not in wrong.text
