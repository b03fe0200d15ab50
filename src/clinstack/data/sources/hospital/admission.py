"""The admission part of a summary: the eight sections that are known when the patient comes in, and no word of what follows.

The order of information is that of real notes: complaint, who the patient is and what happened, what was found and given
before admission, then history, drugs and examination. Each latent fact is mentioned with some probability and in one of its
many forms, here and again elsewhere in another; relatives' diseases and denied symptoms are there to mislead.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinstack.data.sources.hospital.conditions import CONDITIONS, LEVEL_WORDS, Condition
from clinstack.data.sources.hospital.dice import Dice
from clinstack.data.sources.hospital.drugs import prescription
from clinstack.data.sources.hospital.patients import Patient, Stay, has_condition
from clinstack.data.sources.hospital.style import Author, Removed

_OPENINGS = (
    "{who} with {history} who presents with {story}.",
    "{who} with a past medical history significant for {history} presenting with {story}.",
    "Mr./Ms. {name} is a {who} with history of {history}, admitted with {story}.",
    "This is a {who} with {history} who presented with {story}.",
    "Patient is a {who} w/ {history} p/w {story}.",
    "{who}, h/o {history}, with {story}.",
)
_FIRST = ("{who} without significant medical problems who presents with {story}.", "Previously healthy {who} with {story}.", "{who}, no past history, presenting with {story}.")
_PLANNED = ("{who} with {history} who was found to have {story}.", "{who} with {history}, referred for {story}.", "Mr./Ms. {name} is a {who} with {history} and {story}.")
_SECOND = ("{He} also noted {story} for {time}.", "{He} reports {story} over the past {time}.", "Per family, {story} for {time} prior to admission.", "Symptoms began {time} before presentation, with {story}.")
_DENIALS = ("chest pain", "fevers", "chills", "shortness of breath", "nausea", "vomiting", "diarrhea", "headache", "dysuria", "abdominal pain", "palpitations", "cough", "weight loss", "melena", "BRBPR", "orthopnea", "PND", "visual changes", "leg swelling", "rash", "hemoptysis", "syncope")
_TIMES = ("1 day", "2 days", "3 days", "one week", "several hours", "4 days", "10 days", "two weeks")
_CALM = ("{He} was comfortable on arrival.", "{He} felt better in the ED.", "Symptoms had improved by the time of evaluation.", "{He} was in no distress and ambulating.", "VS were stable throughout the ED stay.")
_GRAVE = ("{He} was critically ill on arrival.", "{He} was transferred emergently to the ICU.", "Given tenuous status {he} was admitted to the MICU.", "{He} looked toxic in the ED.", "Family was called in given how sick {he} was.", "A central line and a-line were placed in the ED.")
_SOURCES = ("{He} was transferred from {hospital}.", "{He} was referred by PCP.", "BIBA from home.", "{He} was seen at {hospital} and transferred for further care.")
_ALLERGIES = ("No Known Allergies / Adverse Drug Reactions", "NKDA", "Patient recorded as having No Known Allergies to Drugs", "Penicillins", "Sulfa (Sulfonamides)", "Codeine", "Penicillins / Sulfa (Sulfonamides)", "Aspirin", "Latex", "Morphine", "Shellfish", "Iodine; Iodine Containing", "Erythromycin Base", "Lisinopril", "Vancomycin", "Heparin Agents")
_RELATIVES = ("Father with {a}, mother with {b}.", "Mother died of {a}. Father had {b}.", "Father had {a} at age {n}.", "Brother with {a}. Sister with {b}.", "Significant for {a} and {b} on the maternal side.", "No family history of {a}. Father with {b}.")
_NO_FAMILY = ("Non-contributory", "Noncontributory.", "NC", "No family history of early cardiac disease.", "Unknown, patient was adopted.", "Unable to obtain.")
_HOMES = ("Lives with wife.", "Lives with husband.", "Lives alone.", "Lives with daughter.", "Married, 2 children.", "Widowed, lives in senior housing.", "Divorced.", "Lives with partner.")
_JOBS = ("Retired teacher.", "Retired engineer.", "Works as a nurse.", "On disability.", "Retired truck driver.", "Works in construction.", "Retired from the post office.", "Cook.", "Accountant.", "Not working.")
_NORMAL = {
    "general": ("NAD", "well appearing, NAD", "alert, comfortable", "pleasant, no acute distress"),
    "heart": ("RRR, no m/r/g", "RRR, nl S1 S2", "regular rate, 2/6 SEM", "RRR no murmurs"),
    "lungs": ("CTAB", "clear bilaterally", "CTA b/l, no wheezes", "lungs clear to auscultation"),
    "abdomen": ("soft, NT/ND, +BS", "soft, nontender, no HSM", "obese, soft, NTND", "benign"),
    "extremities": ("no c/c/e", "warm, no edema", "2+ DP pulses, no edema", "trace edema"),
    "neuro": ("A&O x 3, CN II-XII intact", "nonfocal", "alert and oriented, strength 5/5", "grossly intact"),
    "skin": ("no rash", "warm and dry", "intact", "no lesions"),
}  # fmt: skip
_LABELS = {"general": ("General", "Gen", "GEN"), "heart": ("CV", "Cardiac", "COR"), "lungs": ("Lungs", "Pulm", "RESP"), "abdomen": ("Abd", "Abdomen", "ABD"), "extremities": ("Ext", "Extremities", "EXT"), "neuro": ("Neuro", "NEURO"), "skin": ("Skin", "SKIN")}


@dataclass(frozen=True, slots=True)
class Admission:
    """The bodies of the eight sections, without line breaks that only the page width made."""

    complaint: str
    illness: str
    history: str
    drugs: str
    allergies: str
    exam: str
    family: str
    social: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a paragraph needs: chance, hand, marks, patient and stay."""

    dice: Dice
    author: Author
    removed: Removed
    patient: Patient
    stay: Stay

    def fill(self, template: str, **words: str) -> str:
        """The template with pronouns, names and the given words put in."""
        he = "he" if self.patient.sex == "M" else "she"
        if "{name}" in template:
            template = template.replace("Mr./Ms.", "Mr." if he == "he" else "Ms.")
            words["name"] = self.removed.name()
        if "{hospital}" in template:
            words["hospital"] = self.removed.hospital()
        return template.format(he=he, He=he.capitalize(), **words)

    @property
    def who(self) -> str:
        """Age and sex, in one of the usual forms."""
        male = self.patient.sex == "M"
        noun = self.dice.pick(("man", "male", "M", "gentleman", "M") if male else ("woman", "female", "F", "lady", "F"))
        unit = self.dice.pick((" year old ", " yo ", " y/o ", "-year-old ", " y.o. "))
        return f"{self.removed.age(self.stay.age)}{unit}{noun}"


def write_admission(scene: Scene) -> Admission:
    """All eight sections of one stay."""
    dice, stay = scene.dice, scene.stay
    complaint = dice.pick(stay.problem.complaints)
    if stay.disturbances and dice.chance(0.15):
        complaint = f"{complaint}, {dice.pick(stay.disturbances).key}"
    return Admission(
        complaint=complaint[0].upper() + complaint[1:] if dice.chance(0.5) else complaint,
        illness=_illness(scene),
        history=_history(scene),
        drugs=_drugs(scene),
        allergies=dice.pick(_ALLERGIES[: 3 if dice.chance(0.5) else None]),
        exam=_exam(scene),
        family=_family(scene),
        social=_social(scene),
    )


def name_condition(dice: Dice, condition: Condition, level: int, *, telling: float = 0.4) -> str:
    """A condition in one of its forms, its level said with probability `telling`."""
    name = dice.pick(condition.names)
    word = dice.pick(LEVEL_WORDS[level])
    return f"{word} {name}" if word and dice.chance(telling) else name


def _illness(scene: Scene) -> str:
    dice, stay, problem = scene.dice, scene.stay, scene.stay.problem
    known = dice.some(scene.patient.conditions, dice.between(2, 5))
    names = [name_condition(dice, condition, level) for condition, level in known]
    if scene.patient.tail and dice.chance(0.25):
        names.append(dice.pick(dice.pick(scene.patient.tail).words))
    story = dice.some(problem.story, 2)
    openings = _FIRST if not names else _PLANNED if problem.elective else _OPENINGS
    opening = scene.fill(dice.pick(openings), who=scene.who, history=_and(names), story=story[0])
    sentences = [opening]
    for entry in stay.new_tail:
        if dice.chance(0.8):
            sentences.append(scene.fill(dice.pick(("{He} had {words}.", "Of note, {words}.", "Recently {words}.")), words=dice.pick(entry.words)))
    before = [dice.pick(entry.story) for entry in stay.disturbances if dice.chance(0.85)]
    if before and dice.chance(0.5):
        sentences.append(scene.fill(dice.pick(("{He} was {words}.", "On arrival {words}.", "In the field, {words}.")), words=before.pop(0)))
    if not problem.elective and dice.chance(0.6):
        sentences.append(scene.fill(dice.pick(_SECOND), story=story[-1], time=dice.pick(_TIMES)))
    if dice.chance(0.7):
        sentences.append(_denial(scene))
    if problem.elective:
        sentences.append(dice.pick(problem.workup))
        sentences.append(f"Now s/p {dice.pick(problem.treatment)}, admitted for surgery.")
    else:
        sentences.append(_emergency(scene, before))
    if dice.chance(0.6):
        grave = 0.9 * stay.severity + 0.25 * (dice.roll() - 0.5)
        words = _GRAVE if grave > 0.58 else _CALM if grave < 0.38 else _SOURCES
        sentences.append(scene.fill(dice.pick(words)))
    if stay.plan is not None and dice.chance(0.75):
        words = dice.pick(stay.plan.words)
        sentences.append(dice.pick((f"Planned for {words}.", f"Admitted with plan for {words}.", f"{words} was recommended.", f"Evaluated for {words}.")))
    return scene.author.write(dice, " ".join(sentences))


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _denial(scene: Scene) -> str:
    dice = scene.dice
    text = scene.fill(dice.pick(("Denies {words}.", "{He} denies any {words}.", "No {words}.", "ROS negative for {words}.")), words=" or ".join(dice.some(_DENIALS, dice.between(2, 4))))
    absent = dice.pick(CONDITIONS)
    if dice.chance(0.3) and not has_condition(scene.patient, absent.key):
        text += f" {dice.pick(('No h/o', 'No history of', 'Never had', 'Denies h/o'))} {absent.names[0]}."
    return text


def _emergency(scene: Scene, before: list[str]) -> str:
    """What was measured, found and given in the emergency department."""
    dice, stay = scene.dice, scene.stay
    parts = [f"In the ED, {dice.pick(('initial vitals were', 'VS', 'vitals', 'initial VS were'))} {vital_signs(scene)}."]
    if before:
        parts.append(scene.fill("{He} was {words}.", words="; ".join(before)))
    if dice.chance(0.5):
        parts.append(_laboratory(scene))
    parts.append(dice.pick(stay.problem.workup))
    parts.append(scene.fill(dice.pick(("{He} was given {words}.", "Received {words} in the ED.", "{He} got {words} and was admitted.")), words=dice.pick(stay.problem.treatment)))
    return " ".join(parts)


def vital_signs(scene: Scene) -> str:
    """Vital signs that fit the disturbances."""
    dice, stay = scene.dice, scene.stay
    keys = {entry.key for entry in stay.disturbances}
    grave = stay.severity
    systolic = dice.between(66, 92) if "shock" in keys else dice.between(98, 165) - int(20 * grave)
    pulse = dice.between(104, 138) if keys & {"shock", "tachyarrhythmia"} else dice.between(58, 92) + int(24 * grave)
    breaths = dice.between(26, 40) if "respiratory failure" in keys else dice.between(14, 20) + int(6 * grave)
    saturation = dice.between(78, 89) if keys & {"hypoxia", "respiratory failure"} else dice.between(95, 100)
    tenths = dice.between(1008, 1036) if "fever" in keys else dice.between(964, 991)
    support = dice.pick(("RA", "NRB", "4L NC")) if saturation < 90 else "RA"
    temperature = f"{tenths // 10}.{tenths % 10}"
    form = dice.pick(("T {t} HR {h} BP {b}/{d} RR {r} O2 {s}% {o}", "{t} {h} {b}/{d} {r} {s}% {o}", "T{t} P{h} BP{b}/{d} RR{r} {s}%{o}"))
    return form.format(t=temperature, h=pulse, b=systolic, d=systolic * 6 // 10, r=breaths, s=saturation, o=support)


def _laboratory(scene: Scene) -> str:
    values = laboratory_values(scene)
    chosen = scene.dice.some(tuple(values.items()), 3)
    return "Labs notable for " + ", ".join(f"{name} {value}" for name, value in chosen) + "."


def laboratory_values(scene: Scene) -> dict[str, str]:
    """Laboratory values that fit the disturbances."""
    dice = scene.dice
    keys = {entry.key for entry in scene.stay.disturbances}
    white = dice.between(125, 290) if "fever" in keys else dice.between(45, 118)
    blood = dice.between(180, 259) if "blood loss" in keys else dice.between(290, 440)
    creatinine = dice.between(20, 62) if "kidney injury" in keys else dice.between(6, 14)
    lactate = dice.between(38, 110) if "acidosis" in keys else dice.between(8, 24)
    platelets = dice.between(18, 79) if "coagulopathy" in keys else dice.between(145, 390)
    sodium = dice.pick((dice.between(114, 127), dice.between(150, 162))) if "electrolytes" in keys else dice.between(133, 145)
    return {
        "WBC": f"{white // 10}.{white % 10}",
        "Hct": f"{blood // 10}.{blood % 10}",
        "Cr": f"{creatinine // 10}.{creatinine % 10}",
        "lactate": f"{lactate // 10}.{lactate % 10}",
        "Plt": str(platelets),
        "Na": str(sodium),
    }


def _history(scene: Scene) -> str:
    dice = scene.dice
    entries = [name_condition(dice, condition, level, telling=0.6) for condition, level in scene.patient.conditions if dice.chance(0.9)]
    entries += [dice.pick(entry.words) for entry in scene.patient.tail if dice.chance(0.85)]
    if not entries:
        return dice.pick(("None", "No significant PMH", "Denies"))
    return scene.author.write(dice, scene.author.listing(dice.some(entries, len(entries))))


def chronic_drugs(scene: Scene, share: float) -> list[str]:
    """Generic names of the drugs that the patient's conditions call for, each taken with probability `share`."""
    drugs = {drug: None for condition, _ in scene.patient.conditions for drug in condition.drugs[:4] if scene.dice.chance(share)}
    return list(drugs)


def _drugs(scene: Scene) -> str:
    dice = scene.dice
    drugs = chronic_drugs(scene, 0.5)
    if not drugs:
        return dice.pick(("None", "none", "No home medications"))
    if dice.chance(0.04):
        return "Unable to obtain, will call pharmacy"
    return scene.author.listing([prescription(dice, drug, terse=scene.author.habit == "terse") for drug in drugs])


def _exam(scene: Scene) -> str:
    dice, stay = scene.dice, scene.stay
    findings: dict[str, list[str]] = {}
    for system, words in stay.problem.exam:
        if dice.chance(0.75):
            findings.setdefault(system, []).append(words)
    for entry in stay.disturbances:
        if dice.chance(0.65):
            findings.setdefault(entry.system, []).append(dice.pick(entry.exam))
    lines = [f"{dice.pick(('VS', 'Vitals', 'VITALS', 'Vital signs'))}: {vital_signs(scene)}"]
    for system, normal in _NORMAL.items():
        words = ", ".join(findings[system]) if system in findings else dice.pick(normal)
        lines.append(f"{dice.pick(_LABELS[system])}: {words}")
    return "\n".join(lines)


_HERITABLE = tuple(condition for condition in CONDITIONS if condition.family)


def _family(scene: Scene) -> str:
    dice = scene.dice
    if dice.chance(0.35):
        return dice.pick(_NO_FAMILY)
    first, second = dice.some(_HERITABLE, 2)
    words = dice.pick((first.family, dice.pick(first.names)))
    return dice.pick(_RELATIVES).format(a=words, b=second.family, n=dice.between(45, 80))


def _social(scene: Scene) -> str:
    dice = scene.dice
    frail = any(entry.key == "frailty" for entry in scene.stay.disturbances)
    home = "Lives in a nursing home." if frail and dice.chance(0.6) else dice.pick(_HOMES)
    smokes, drinks = has_condition(scene.patient, "tobacco"), has_condition(scene.patient, "alcohol")
    tobacco = dice.pick(("1 PPD x 40 years", "smokes 1 ppd", "current tobacco use")) if smokes else dice.pick(("Denies tobacco", "Quit smoking 20 years ago", "Never smoked", "No tobacco"))
    alcohol = dice.pick(("drinks 1 pint of vodka daily", "6 beers per day", "heavy ETOH")) if drinks else dice.pick(("no ETOH", "rare alcohol", "social ETOH", "denies alcohol or drugs"))
    return scene.author.write(dice, f"{home} {dice.pick(_JOBS)} {tobacco}, {alcohol}.")
