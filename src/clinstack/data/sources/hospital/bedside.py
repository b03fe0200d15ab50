"""The shorter notes of a stay: nurses', respiratory therapists', radiologists' and the ECG reader's."""

from __future__ import annotations

from datetime import datetime, timedelta

from clinstack.data.sources.hospital.admission import Scene, as_sentence, laboratory_values, name_condition, vital_signs
from clinstack.data.sources.hospital.style import wrap

_NURSE_OPENINGS = (
    "NPN 7p-7a:",
    "Nursing progress note 7a-7p",
    "CCU NSG NOTE:",
    "MICU NPN 1900-0700",
    "T/SICU Nursing Progress Note",
    "Focus: condition update",
)
_PLANS = (
    "Continue to monitor, follow labs, emotional support to family.",
    "Plan: wean O2 as tol, follow hct, ? c/o in am.",
    "Plan: cont abx, monitor UOP, family meeting today.",
    "P: pulm toilet, pain control, OOB to chair.",
)
_SUPPORT = (
    "Wife in to visit, updated by team.",
    "Family at bedside, asking appropriate questions.",
    "Daughter called x 2 for updates.",
    "No calls from family.",
)
_VENTILATED = (
    (
        "Pt remains orally intubated on A/C {volume} x {rate}, {oxygen}%, PEEP {peep}. BS coarse, suctioned for "
        "thick yellow secretions. Plan to continue current support."
    ),
    "Pt weaned to PSV {support}/{peep} {oxygen}%, tolerating well. RSBI {index}. MDIs given as ordered.",
    "Vent changes: FiO2 decreased to {oxygen}%. ABG acceptable. ETT 7.5 taped at 22. Will wean as tol.",
)
_BREATHING = (
    "RR teens, lungs clear, O2 2L NC.",
    "LS diminished at bases, sats 95% on 3L.",
    "Coarse BS, productive cough.",
)
_CHEST = {
    "respiratory failure": (
        "ETT terminates 4 cm above the carina. Diffuse bilateral airspace opacities.",
        "Endotracheal tube in standard position, worsening bilateral opacities.",
    ),
    "hypoxia": (
        "Small bilateral pleural effusions with bibasilar atelectasis.",
        "Moderate interstitial edema.",
        "Right lower lobe opacity, possibly pneumonia.",
    ),
    "shock": ("New right IJ central line with tip in the SVC. No pneumothorax.",),
}
_CLEAR = (
    "No acute cardiopulmonary process.",
    "Lungs are clear. Heart size is normal.",
    "No pneumothorax or effusion.",
    "Unchanged appearance of the chest.",
)
_RHYTHMS = (
    "Sinus rhythm. Normal tracing.",
    "Sinus rhythm. Left ventricular hypertrophy.",
    "Sinus tachycardia. Non-specific ST-T wave changes.",
    "Sinus bradycardia. Prior inferior myocardial infarction.",
    "Left bundle-branch block.",
)


def nursing(scene: Scene, ventilated: bool) -> str:
    """A nurse's note of one shift, by system."""
    dice, stay = scene.dice, scene.stay
    words = [dice.pick(entry.course) for entry in stay.disturbances]
    breathing = _vent(scene) if ventilated else dice.pick(_BREATHING)
    history = ", ".join(name_condition(dice, *entry) for entry in dice.some(scene.patient.conditions, 3)) or "none"
    values = laboratory_values(scene)
    text = (
        f"{dice.pick(_NURSE_OPENINGS)}\n{scene.who} adm with {dice.pick(stay.problem.complaints)}. PMH: {history}.\n"
        "Neuro: "
        f"{dice.pick(('A&O x3, MAE', 'sedated on propofol', 'lethargic, arouses to voice', 'following commands'))}.\n"
        f"CV: {vital_signs(scene)}. {' '.join(map(as_sentence, words[:2]))}\nResp: {breathing}\n"
        f"GI/GU: abd soft, foley patent, UOP {dice.between(10, 120)} cc/hr. Cr {values['Cr']}.\nID: WBC "
        f"{values['WBC']}.\n"
        f"Social: {dice.pick(_SUPPORT)}\n{dice.pick(_PLANS)}"
    )
    return wrap(text)


def _vent(scene: Scene) -> str:
    dice = scene.dice
    return dice.pick(_VENTILATED).format(
        volume=dice.between(8, 12) * 50,
        rate=dice.between(12, 24),
        oxygen=dice.between(7, 14) * 5,
        peep=dice.pick((5, 8, 10)),
        support=dice.pick((5, 10, 15)),
        index=dice.between(40, 110),
    )


def respiratory(scene: Scene) -> str:
    """A respiratory therapist's note."""
    return wrap(f"Resp Care\n{_vent(scene)}")


def chest_film(scene: Scene, when: datetime) -> str:
    """A radiology report in the form of its release."""
    dice, stay, removed = scene.dice, scene.stay, scene.removed
    keys = [entry.key for entry in stay.disturbances if entry.key in _CHEST]
    finding = dice.pick(_CHEST[dice.pick(keys)]) if keys and dice.chance(0.8) else dice.pick(_CLEAR)
    chest = stay.problem.workup[0] if stay.problem.workup[0].startswith(("CXR", "CT")) else ""
    reason = f"{scene.who} with {dice.pick(stay.problem.complaints)}"
    history = (
        ", ".join(name_condition(dice, *entry) for entry in dice.some(scene.patient.conditions, 2)) or "no history"
    )
    if removed.release == "mimic4":
        return wrap(
            f"EXAMINATION:  CHEST (PORTABLE AP)\n\nINDICATION:  {reason}  // eval for interval change\n\n"
            "TECHNIQUE:  Single portable AP view of the chest.\n\n"
            f"COMPARISON:  {removed.date(when)}\n\nFINDINGS: \n\n{finding} {chest}\n\n"
            f"IMPRESSION: \n\n{finding}\n"
        )
    rule = "_" * 78
    clock = f"{dice.between(1, 12)}:{dice.between(10, 59)} {dice.pick(('AM', 'PM'))}"
    return wrap(
        f"{removed.date(when)} {clock}\n CHEST (PORTABLE AP)                        Clip # {removed.number()}\n"
        f" Reason: please eval for interval change\n Admitting Diagnosis: {stay.problem.key.upper()}\n{rule}\n"
        f" UNDERLYING MEDICAL CONDITION:\n  {reason}\n REASON FOR THIS EXAMINATION:\n  please eval\n{rule}\n"
        f" FINAL REPORT\n HISTORY:  {history}.\n\n FINDINGS:  {finding} {chest}\n\n IMPRESSION:  {finding}",
        width=80,
    )


def tracing(scene: Scene) -> str:
    """The reading of an ECG."""
    keys = {entry.key for entry in scene.stay.disturbances}
    if "tachyarrhythmia" in keys:
        return "Atrial fibrillation with rapid ventricular response. Since the previous tracing the rate has increased.\n\n"
    earlier = scene.removed.date(scene.stay.admitted)
    return f"{scene.dice.pick(_RHYTHMS)} Compared to the previous tracing of {earlier} no significant change.\n\n"


def within_stay(scene: Scene, share: float) -> datetime:
    """A moment inside the stay, `share` of the way from admission."""
    length = max(timedelta(hours=1), scene.stay.discharged - scene.stay.admitted)
    return scene.stay.admitted + timedelta(minutes=int(length.total_seconds() // 60 * share))
