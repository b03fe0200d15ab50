"""Sentences and findings from which admission notes are made, for all problems alike.

`{who}`, `{history}`, `{story}` and the like are filled in by `admission.Scene`.
"""

OPENINGS = (
    "{who} with {history} who presents with {story}.",
    "{who} with a past medical history significant for {history} presenting with {story}.",
    "Mr./Ms. {name} is a {who} with history of {history}, admitted with {story}.",
    "This is a {who} with {history} who presented with {story}.", "Patient is a {who} w/ {history} p/w {story}.",
    "{who}, h/o {history}, with {story}.",
)  # fmt: skip
FIRST = (
    "{who} without significant medical problems who presents with {story}.",
    "Previously healthy {who} with {story}.", "{who}, no past history, presenting with {story}.",
)  # fmt: skip
PLANNED = (
    "{who} with {history} who was found to have {story}.", "{who} with {history}, referred for {story}.",
    "Mr./Ms. {name} is a {who} with {history} and {story}.",
)  # fmt: skip
SECOND = ("Also with {story}.", "Associated with {story}.", "Per family, {story}.", "Also reported {story}.")
ONSET = (
    "Onset {time} prior to presentation.", "Symptoms began {time} ago.", "Course of {time} before admission.",
    "This has been going on for {time}.",
)  # fmt: skip
DENIALS = (
    "chest pain", "fevers", "chills", "shortness of breath", "nausea", "vomiting", "diarrhea", "headache",
    "dysuria", "abdominal pain", "palpitations", "cough", "weight loss", "melena", "BRBPR", "orthopnea", "PND",
    "visual changes", "leg swelling", "rash", "hemoptysis", "syncope",
)  # fmt: skip
TIMES = ("1 day", "2 days", "3 days", "one week", "several hours", "4 days", "10 days", "two weeks")
CALM = (
    "{He} was comfortable on arrival.", "{He} felt better in the ED.",
    "Symptoms had improved by the time of evaluation.", "{He} was in no distress and ambulating.",
    "VS were stable throughout the ED stay.",
)  # fmt: skip
GRAVE = (
    "{He} was critically ill on arrival.", "{He} was transferred emergently to the ICU.",
    "Given tenuous status {he} was admitted to the MICU.", "{He} looked toxic in the ED.",
    "Family was called in given how sick {he} was.", "A central line and a-line were placed in the ED.",
)  # fmt: skip
REFERRALS = ("{He} was referred by PCP.", "{He} was cleared by cardiology.", "{He} was seen in clinic last week.")
SOURCES = (
    "{He} was transferred from {hospital}.", "{He} was referred by PCP.", "BIBA from home.",
    "{He} was seen at {hospital} and transferred for further care.",
)  # fmt: skip
ALLERGIES = (
    "No Known Allergies / Adverse Drug Reactions", "NKDA", "Patient recorded as having No Known Allergies to Drugs",
    "Penicillins", "Sulfa (Sulfonamides)", "Codeine", "Penicillins / Sulfa (Sulfonamides)", "Aspirin", "Latex",
    "Morphine", "Shellfish", "Iodine; Iodine Containing", "Erythromycin Base", "Lisinopril", "Vancomycin",
    "Heparin Agents",
)  # fmt: skip
RELATIVES = (
    "Father with {a}, mother with {b}.", "Mother died of {a}. Father had {b}.", "Father had {a} at age {n}.",
    "Brother with {a}. Sister with {b}.", "Significant for {a} and {b} on the maternal side.",
    "No family history of {a}. Father with {b}.",
)  # fmt: skip
NO_FAMILY = (
    "Non-contributory", "Noncontributory.", "NC", "No family history of early cardiac disease.",
    "Unknown, patient was adopted.", "Unable to obtain.",
)  # fmt: skip
HOMES = (
    "Lives with {spouse}.", "Lives with {spouse}.", "Lives alone.", "Lives with daughter.", "Married, 2 children.",
    "Widowed, lives in senior housing.", "Divorced.", "Lives with partner.",
)  # fmt: skip
JOBS = (
    "Works as a nurse.", "On disability.", "Works in construction.", "Cook.", "Accountant.", "Not working.",
    "Truck driver.", "Office manager.",
)  # fmt: skip
FORMER_JOBS = (
    "Retired teacher.", "Retired engineer.", "Retired truck driver.", "Retired from the post office.",
    "Retired machinist.", "Retired nurse.", "Former secretary.",
)  # fmt: skip
NORMAL = {
    "general": ("NAD", "well appearing, NAD", "alert, comfortable", "pleasant, no acute distress"),
    "heart": ("RRR, no m/r/g", "RRR, nl S1 S2", "regular rate, 2/6 SEM", "RRR no murmurs"),
    "lungs": ("CTAB", "clear bilaterally", "CTA b/l, no wheezes", "lungs clear to auscultation"),
    "abdomen": ("soft, NT/ND, +BS", "soft, nontender, no HSM", "obese, soft, NTND", "benign"),
    "extremities": ("no c/c/e", "warm, no edema", "2+ DP pulses, no edema", "trace edema"),
    "neuro": ("A&O x 3, CN II-XII intact", "nonfocal", "alert and oriented, strength 5/5", "grossly intact"),
    "skin": ("no rash", "warm and dry", "intact", "no lesions"),
}
ILL = ("ill appearing", "uncomfortable, in moderate distress", "chronically ill appearing", "toxic appearing")
LABELS = {
    "general": ("General", "Gen", "GEN"),
    "heart": ("CV", "Cardiac", "COR"),
    "lungs": ("Lungs", "Pulm", "RESP"),
    "abdomen": ("Abd", "Abdomen", "ABD"),
    "extremities": ("Ext", "Extremities", "EXT"),
    "neuro": ("Neuro", "NEURO"),
    "skin": ("Skin", "SKIN"),
}
