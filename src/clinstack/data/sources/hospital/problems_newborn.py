"""The reasons of a newborn's stay. Newborn admissions are in every MIMIC table and in no adult task."""

from __future__ import annotations

from clinstack.data.sources.hospital.problems import Problem

NEWBORN = (
    Problem(
        "term baby", "NEONATOLOGY", 5, ("newborn",),
        (
            "infant with tachypnea", "infant admitted for sepsis evaluation due to maternal fever",
            "well appearing infant",
        ),
        ("CBC was benign and blood culture negative at 48 hours.",),
        ("ampicillin and gentamicin",), (("general", "pink, active, AGA"),),
        ("Infant remained in room air.", "Antibiotics were stopped at 48 hours."),
        ("V3000", "V290", "V053"), (("9955", 0.6), ("640", 0.3)), length=-0.6,
    ),
    Problem(
        "preterm baby", "NEONATOLOGY", 3, ("prematurity",),
        ("gestation twin infant", "preterm infant born by C-section for preeclampsia", "infant with RDS"),
        ("CXR with ground glass consistent with RDS.",),
        ("surfactant and CPAP",),
        (("general", "preterm infant, mild retractions"),),
        ("Weaned from CPAP to room air on day 3.", "Phototherapy was given for peak bilirubin 12."),
        ("V3001", "76518", "76528", "769", "7742", "V053"),
        (("9955", 0.5), ("966", 0.5), ("9983", 0.6), ("9390", 0.3)),
        length=0.7,
    ),
)  # fmt: skip
