"""The admission part of a summary: the eight sections that are known when the patient comes in, and no word of what follows.

The order of information is that of real notes: complaint, who the patient is and what happened, what was found and given
before admission, then history, drugs and examination. Each latent fact is mentioned with some probability and in one of its
many forms, here and again elsewhere in another; relatives' diseases and denied symptoms are there to mislead.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinstack.data.sources.hospital import phrases
from clinstack.data.sources.hospital.conditions import CONDITIONS, LEVEL_WORDS, Condition
from clinstack.data.sources.hospital.dice import Dice
from clinstack.data.sources.hospital.drugs import prescription
from clinstack.data.sources.hospital.patients import Patient, Stay, has_condition
from clinstack.data.sources.hospital.style import Author, Removed


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
    """All that a paragraph needs: chance, hand, marks, patient, stay and the generic names of the drugs taken at home."""

    dice: Dice
    author: Author
    removed: Removed
    patient: Patient
    stay: Stay
    drugs: tuple[str, ...]

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
        allergies=dice.pick(phrases.ALLERGIES[: 3 if dice.chance(0.5) else None]),
        exam=_exam(scene),
        family=_family(scene),
        social=_social(scene),
    )


def name_condition(dice: Dice, condition: Condition, level: int, *, telling: float = 0.4) -> str:
    """A condition in one of its forms, its level said with probability `telling`."""
    word = dice.pick(LEVEL_WORDS[level])
    if word and condition.graded and dice.chance(telling):
        # The first two names are bare terms; later ones carry a detail of their own.
        return f"{word} {condition.names[int(dice.chance(0.5))]}"
    return dice.pick(condition.names)


def _illness(scene: Scene) -> str:
    dice, stay, problem = scene.dice, scene.stay, scene.stay.problem
    known = dice.some(scene.patient.conditions, dice.between(2, 5))
    names = [name_condition(dice, condition, level) for condition, level in known]
    if scene.patient.tail and dice.chance(0.25):
        names.append(dice.pick(dice.pick(scene.patient.tail).words))
    story = dice.some(problem.story, 2)
    openings = phrases.FIRST if not names else phrases.PLANNED if problem.elective else phrases.OPENINGS
    opening = scene.fill(dice.pick(openings), who=scene.who, history=_and(names), story=story[0])
    sentences = [opening]
    for entry in stay.new_tail:
        if dice.chance(0.8):
            words = dice.pick(entry.words)
            sentences.append(
                dice.pick((f"Of note, {words}.", f"Also notable for {words}.", f"{words[0].upper()}{words[1:]} noted."))
            )
    before = [as_sentence(dice.pick(entry.story)) for entry in stay.disturbances if dice.chance(0.85)]
    if before and dice.chance(0.5):
        sentences.append(before.pop(0))
    if not problem.elective and dice.chance(0.6):
        sentences.append(dice.pick(phrases.SECOND).format(story=story[-1]))
    if not problem.elective and dice.chance(0.5):
        sentences.append(dice.pick(phrases.ONSET).format(time=dice.pick(phrases.TIMES)))
    if dice.chance(0.7):
        sentences.append(_denial(scene))
    if problem.elective:
        sentences.append(dice.pick(problem.workup))
        sentences.append(f"Now s/p {dice.pick(problem.treatment)}, admitted electively.")
    else:
        sentences.append(_emergency(scene, before))
    if dice.chance(0.75):
        grave = stay.severity + 0.2 * (dice.roll() - 0.5)
        tone = phrases.GRAVE if grave > 0.6 else phrases.CALM if grave < 0.4 else phrases.SOURCES
        sentences.append(scene.fill(dice.pick(phrases.REFERRALS if problem.elective else tone)))
    if stay.plan is not None and dice.chance(0.75):
        words = dice.pick(stay.plan.words)
        sentences.append(
            dice.pick(
                (
                    f"Planned for {words}.",
                    f"Admitted with plan for {words}.",
                    f"Recommended {words}.",
                    f"Evaluated for {words}.",
                )
            )
        )
    return scene.author.write(dice, " ".join(sentences))


def as_sentence(words: str) -> str:
    """A note's fragment, set as a sentence."""
    return f"{words[0].upper()}{words[1:]}."


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _denial(scene: Scene) -> str:
    dice = scene.dice
    text = scene.fill(
        dice.pick(("Denies {words}.", "{He} denies any {words}.", "No {words}.", "ROS negative for {words}.")),
        words=" or ".join(dice.some(phrases.DENIALS, dice.between(2, 4))),
    )
    absent = dice.pick(CONDITIONS)
    if dice.chance(0.3) and not has_condition(scene.patient, absent.key):
        text += f" {dice.pick(('No h/o', 'No history of', 'Never had', 'Denies h/o'))} {absent.names[0]}."
    return text


def _emergency(scene: Scene, before: list[str]) -> str:
    """What was measured, found and given in the emergency department."""
    dice, stay = scene.dice, scene.stay
    parts = [
        f"In the ED, {dice.pick(('initial vitals were', 'VS', 'vitals', 'initial VS were'))} {vital_signs(scene)}."
    ]
    parts += before
    if dice.chance(0.5):
        parts.append(_laboratory(scene))
    parts.append(dice.pick(stay.problem.workup))
    parts.append(
        scene.fill(
            dice.pick(("{He} was given {words}.", "Received {words} in the ED.", "{He} got {words} and was admitted.")),
            words=dice.pick(stay.problem.treatment),
        )
    )
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
    form = dice.pick(
        (
            "T {t} HR {h} BP {b}/{d} RR {r} O2 {s}% {o}",
            "{t} {h} {b}/{d} {r} {s}% {o}",
            "T{t} P{h} BP{b}/{d} RR{r} {s}%{o}",
        )
    )
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
    sodium = (
        dice.pick((dice.between(114, 127), dice.between(150, 162)))
        if "electrolytes" in keys
        else dice.between(133, 145)
    )
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
    entries = [
        name_condition(dice, condition, level, telling=0.6)
        for condition, level in scene.patient.conditions
        if dice.chance(0.9)
    ]
    entries += [dice.pick(entry.words) for entry in scene.patient.tail if dice.chance(0.85)]
    if not entries:
        return dice.pick(("None", "No significant PMH", "Denies"))
    return scene.author.write(dice, scene.author.listing(dice.some(entries, len(entries))))


def _drugs(scene: Scene) -> str:
    dice = scene.dice
    drugs = scene.drugs
    if not drugs:
        return dice.pick(("None", "none", "No home medications"))
    if dice.chance(0.04):
        return "Unable to obtain, will call pharmacy"
    return scene.author.listing([prescription(dice, drug, terse=scene.author.habit == "terse") for drug in drugs])


def _exam(scene: Scene) -> str:
    dice, stay = scene.dice, scene.stay
    findings: dict[str, list[str]] = {}
    for system, words in dice.some(stay.problem.exam, 2):
        if dice.chance(0.8) and system not in findings:
            findings[system] = [words]
    for entry in stay.disturbances:
        if dice.chance(0.65):
            findings.setdefault(entry.system, []).append(dice.pick(entry.exam))
    lines = [f"{dice.pick(('VS', 'Vitals', 'VITALS', 'Vital signs'))}: {vital_signs(scene)}"]
    for system, normal in phrases.NORMAL.items():
        if system == "general" and len(stay.disturbances) > 1 and dice.chance(0.6):
            normal = phrases.ILL
        words = ", ".join(findings[system]) if system in findings else dice.pick(normal)
        lines.append(f"{dice.pick(phrases.LABELS[system])}: {words}")
    return "\n".join(lines)


_HERITABLE = tuple(condition for condition in CONDITIONS if condition.family)


def _family(scene: Scene) -> str:
    dice = scene.dice
    if dice.chance(0.35):
        return dice.pick(phrases.NO_FAMILY)
    first, second = dice.some(_HERITABLE, 2)
    words = dice.pick((first.family, dice.pick(first.names)))
    return dice.pick(phrases.RELATIVES).format(a=words, b=second.family, n=dice.between(45, 80))


def _social(scene: Scene) -> str:
    dice = scene.dice
    frail = any(entry.key == "frailty" for entry in scene.stay.disturbances)
    home = "Lives in a nursing home." if frail and dice.chance(0.6) else dice.pick(phrases.HOMES)
    home = home.format(spouse="wife" if scene.patient.sex == "M" else "husband")
    job = dice.pick(phrases.JOBS if scene.stay.age < 64 else phrases.FORMER_JOBS)
    smokes, drinks = has_condition(scene.patient, "tobacco"), has_condition(scene.patient, "alcohol")
    tobacco = (
        dice.pick(("1 PPD x 40 years", "smokes 1 ppd", "current tobacco use"))
        if smokes
        else dice.pick(("Denies tobacco", "Quit smoking 20 years ago", "Never smoked", "No tobacco"))
    )
    alcohol = (
        dice.pick(("drinks 1 pint of vodka daily", "6 beers per day", "heavy ETOH"))
        if drinks
        else dice.pick(("no ETOH", "rare alcohol", "social ETOH", "denies alcohol or drugs"))
    )
    return scene.author.write(dice, f"{home} {job} {tobacco}, {alcohol}.")
