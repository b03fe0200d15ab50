"""Made-up French lines of a children's intensive care unit, with a label: cardiac failure, or not.

For the limited-data study, whose own notes are private; the figures it is made after (5,444 lines of 1,386 children, 36 %
positive, 106 words a line) are those of its companion paper (arXiv 2303.12892). What decides the label is said by a sign that
is affirmed or denied, or by a number alone (an ejection fraction, a natriuretic peptide), so a bag of words cannot have it all.
The same signs are denied in the other lines, and every child has turns of phrase of its own, which come back in all its lines.
"""

import csv
import io
import random
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from clinstack.errors import CannotWrite
from clinstack.runs.atomic import write_text

LABELS = ("autre", "defaillance_cardiaque")
"""The second is the positive."""

_WHO = ((3, ("Nouveau-né", "Nourrisson")), (30, ("Nourrisson", "Enfant")), (150, ("Enfant", "Garçon", "Fille")))
_OLDER = ("Adolescent", "Adolescente")
_CAME = (
    "admis pour {}",
    "transféré des urgences pour {}",
    "hospitalisé depuis hier pour {}",
    "au retour du bloc, {}",
    "suivi pour {}",
)
_REASONS = (
    "bronchiolite à VRS",
    "état de mal convulsif",
    "choc septique probable",
    "polytraumatisme",
    "acidocétose diabétique",
    "surveillance post-opératoire de scoliose",
    "pneumonie à germe indéterminé",
    "cardiopathie congénitale connue",
    "communication interventriculaire opérée",
    "myocardite suspectée",
    "intoxication médicamenteuse",
    "détresse respiratoire",
    "méningite bactérienne",
    "tétralogie de Fallot corrigée",
    "asthme aigu grave",
)
_SIGNS = (
    "signes de défaillance cardiaque",
    "insuffisance cardiaque décompensée",
    "dysfonction ventriculaire gauche",
    "œdème pulmonaire d'allure cardiogénique",
    "hépatomégalie de stase",
    "bas débit cardiaque",
    "galop à l'auscultation",
    "turgescence jugulaire",
    "surcharge volémique d'origine cardiaque",
    "altération de la contractilité",
)
_AFFIRMED = (
    "Présence de {}.",
    "On note {}.",
    "{} ce matin.",
    "Tableau compatible avec {}.",
    "Persistance de {} malgré les diurétiques.",
    "L'échographie confirme {}.",
    "Apparition de {} dans la nuit.",
)
_DENIED = (
    "Pas de {}.",
    "Absence de {}.",
    "Aucun argument pour {}.",
    "Échographie sans {}.",
    "On ne retrouve pas de {}.",
    "Antécédent de {}, résolu.",
    "{} : non retenu par la cardiologie.",
    "Mère traitée pour {}.",
)
_REST = (
    "Ventilation {v}, FiO2 {fio2} %, SaO2 {sao2} %.",
    "FC {fc}/min, TA {sys}/{dia}, température {temp}.",
    "Murmure vésiculaire symétrique, quelques ronchi.",
    "Diurèse {diurese} ml/kg/h, bilan hydrique {bilan} ml.",
    "Abdomen souple, transit repris.",
    "Pupilles isocores réactives, Glasgow {gcs}.",
    "Lactates {lactates} mmol/l, pH {ph}.",
    "Hémoglobine {hb} g/l, plaquettes {plaq}.",
    "Antibiothérapie jour {jour}, cultures en cours.",
    "Sédation par midazolam et fentanyl, à diminuer.",
    "Alimentation entérale {ml} ml/h, bien tolérée.",
    "Parents rencontrés, informés de l'évolution.",
    "Radiographie thoracique inchangée.",
    "Voie veineuse centrale en place, site propre.",
    "Créatinine {creat} µmol/l, ionogramme normal.",
    "Poursuite de la surveillance aux soins intensifs.",
    "Milrinone {mil} µg/kg/min.",
    "Furosémide {furo} mg/kg.",
    "Extubation prévue si stable.",
    "Pansement refait, plaie propre.",
)
_HABITS = (
    "Rien à signaler par ailleurs.",
    "À réévaluer ce soir.",
    "Voir note de la veille.",
    "Discuté en équipe.",
    "Isolement maintenu.",
)
_MISSPELLED = {
    "défaillance": "defaillance",
    "cardiaque": "cardique",
    "œdème": "oedeme",
    "hépatomégalie": "hépatomegalie",
}
_WORDS = 106
_DE = re.compile(r"\bde (?=[aeiouœhâéêî])")


@dataclass(frozen=True)
class Line:
    """One line of a note. label: one of `LABELS`."""

    note_id: str
    patient_id: str
    text: str
    label: str


@dataclass(frozen=True)
class _Child:
    """What comes back in all lines of a child."""

    number: int
    opening: str
    habit: str
    fails: float


def make_lines(
    lines: int = 5444, patients: int = 1386, positive: float = 0.36, noise: float = 0.0, seed: int = 1
) -> Iterator[Line]:
    """So many lines of at most so many children; the same arguments give the same lines.

    positive: share of lines with cardiac failure.   noise: share of labels that are turned round, whatever the line says.
    """
    chance = random.Random(f"{seed}")
    children = [_child(number, positive, chance) for number in range(patients)]
    whose = [*children[:lines], *chance.choices(children, k=max(0, lines - patients))]
    # As many positives as asked for: the children likeliest to fail have them, but not in every line.
    order = sorted(range(len(whose)), key=lambda at: whose[at].fails + chance.gauss(0, 0.25), reverse=True)
    failing = set(order[: round(positive * len(whose))])
    for number, child in enumerate(whose):
        fails = number in failing
        told = fails != (chance.random() < noise)
        yield Line(f"ligne-{number:05}", f"enfant-{child.number:04}", _text(child, fails, chance), LABELS[told])


def write_lines(out: Path, **made: Any) -> int:
    """Writes a CSV file with note_id, patient_id, text and label; returns how many lines. made: see `make_lines`.

    Raises CannotWrite if the file exists or cannot be written.
    """
    if out.exists():
        raise CannotWrite(f"{out} exists. Choose another file, or remove it first.")
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow([one.name for one in fields(Line)])
    written = [rows.writerow(astuple(line)) for line in make_lines(**made)]
    write_text(out, table.getvalue())
    return len(written)


def _child(number: int, positive: float, chance: random.Random) -> _Child:
    age, weight = chance.randint(1, 200), chance.uniform(2.5, 60)
    years = f"{age} mois" if age < 36 else f"{age // 12} ans"
    came = chance.choice(_CAME).format(chance.choice(_REASONS))
    who = next((names for until, names in _WHO if age <= until), _OLDER)
    opening = f"{chance.choice(who)} de {years}, {weight:.1f} kg, {came}."
    return _Child(number, opening, chance.choice(_HABITS), float(chance.random() < positive))


def _text(child: _Child, fails: bool, chance: random.Random) -> str:
    """About 106 words. One line in four tells by a number alone."""
    by_number = chance.random() < 0.25
    told = [_number(fails, chance)] if by_number or chance.random() < 0.5 else []
    if not by_number:
        told.append(_sign(_AFFIRMED if fails else _DENIED, chance))
    if chance.random() < 0.5:  # another sign that is denied, in either class
        told.append(_sign(_DENIED, chance))
    parts, rest = [*told], chance.sample(_REST, len(_REST))
    wanted = _WORDS * chance.uniform(0.7, 1.4) - len(child.opening.split())
    while rest and sum(len(part.split()) for part in parts) < wanted:
        parts.append(_filled(rest.pop(), chance))
    chance.shuffle(parts)
    parts = [child.opening, *parts, *([child.habit] if chance.random() < 0.7 else [])]
    return " ".join(_as_typed(part, chance) for part in parts)


def _sign(forms: tuple[str, ...], chance: random.Random) -> str:
    said = _DE.sub("d'", chance.choice(forms).format(chance.choice(_SIGNS)))
    return said[0].upper() + said[1:]


def _number(fails: bool, chance: random.Random) -> str:
    fraction = chance.gauss(33, 7) if fails else chance.gauss(62, 6)
    peptide = chance.gauss(7.2, 0.7) if fails else chance.gauss(4.6, 0.8)
    return chance.choice((f"FEVG {max(10, min(75, fraction)):.0f} %.", f"BNP {2.718**peptide:.0f} ng/l."))


def _filled(form: str, chance: random.Random) -> str:
    return form.format(
        v=chance.choice(("assistée", "spontanée", "non invasive", "mécanique")),
        fio2=chance.randint(21, 80),
        sao2=chance.randint(84, 100),
        fc=chance.randint(70, 190),
        sys=chance.randint(55, 130),
        dia=chance.randint(30, 80),
        temp=f"{chance.uniform(35.5, 39.9):.1f}".replace(".", ","),
        diurese=f"{chance.uniform(0.3, 5):.1f}".replace(".", ","),
        bilan=f"{chance.randint(-400, 600):+}",
        gcs=chance.randint(3, 15),
        lactates=f"{chance.uniform(0.6, 6):.1f}".replace(".", ","),
        ph=f"{chance.uniform(7.1, 7.5):.2f}".replace(".", ","),
        hb=chance.randint(70, 150),
        plaq=chance.randint(20, 450),
        jour=chance.randint(1, 10),
        ml=chance.randint(5, 80),
        creat=chance.randint(15, 120),
        mil=f"{chance.uniform(0.25, 0.75):.2f}".replace(".", ","),
        furo=f"{chance.uniform(0.5, 2):.1f}".replace(".", ","),
    )


def _as_typed(part: str, chance: random.Random) -> str:
    """Now and then a word as it is typed in a hurry."""
    for right, wrong in _MISSPELLED.items():
        if right in part and chance.random() < 0.08:
            part = part.replace(right, wrong)
    return part
