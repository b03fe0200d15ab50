"""Who was ventilated, when, and for how long: episodes from charted values, then the cohort of prolonged ventilation.

Episodes follow mimic-code's definition: charted ventilator settings, oxygen devices and extubations of an ICU stay in time
order, cut where a tube came out, where oxygen was given without a ventilator, or after eight hours of silence. The cohort
and its label follow Huang et al. (2020). CHARTEVENTS has 330 million rows; it is read once, five columns, and only the
rows of the items below are kept. What the lists say is the specification's; every step is SQL, so duckdb spills what is large.
"""

from collections.abc import Iterable
from pathlib import Path

from clinstack.data.notes import shown
from clinstack.data.raw_tables import RawTables
from clinstack.errors import BadInput

VENTILATOR_ITEMS = (
    445, 448, 449, 450, 1340, 1486, 1600, 224687,
    639, 654, 681, 682, 683, 684, 224684, 224685, 224686,
    218, 436, 535, 444, 224695, 224696, 224697, 224746, 224747,
    221, 1, 1211, 1655, 2000, 226873, 224738, 224419, 224750, 227187,
    543, 5865, 5866, 224705, 224706, 224707, 224709,
    60, 437, 505, 506, 686, 220339, 224700,
    3459, 501, 502, 503, 224702,
    223, 667, 668, 669, 670, 671, 672, 224701,
)  # fmt: skip
"""Settings that only a ventilator has: minute and tidal volume, pressures, inspiration, PEEP, and modes, line by line."""

OXYGEN_DEVICES = {
    226732: (
        "Nasal cannula", "Face tent", "Aerosol-cool", "Trach mask ", "High flow neb", "Non-rebreather", "Venti mask ",
        "Medium conc mask ", "T-piece", "High flow nasal cannula", "Ultrasonic neb", "Vapomist",
    ),
    467: (
        "Cannula", "Nasal Cannula", "Face Tent", "Aerosol-Cool", "Trach Mask", "Hi Flow Neb", "Non-Rebreather",
        "Venti Mask", "Medium Conc Mask", "Vapotherm", "T-Piece", "Hood", "Hut", "TranstrachealCat", "Heated Neb",
        "Ultrasonic Neb",
    ),
}  # fmt: skip
"""Item -> values that mean oxygen without a ventilator; the spaces at some ends are in the data."""

VENTILATOR, OXYGEN_DEVICE, TYPE, MODE, CAREVUE_EXTUBATION = 223849, 467, 223848, 720, 640
EXTUBATED = ("Extubated", "Self Extubation")
EXTUBATION_PROCEDURES = (227194, 225468, 225477)
SPLIT_NAMES = {"train": "train", "val": "valid", "valid": "valid", "dev": "valid", "test": "test"}
PUBLISHED_WAYPOINTS = {"L4": 9_483, "L6": 7_287}
"""Admissions left in MIMIC-III v1.4 after a rule (Huang et al. 2020)."""

_EXCLUDED_CODES = r"^(14[0-9]|3589|3590|3591|35801|941|948[3-9])"
_TIMES = {"ICUSTAY_ID": "BIGINT", "STARTTIME": "TIMESTAMP", "ENDTIME": "TIMESTAMP"}


def load_ventilation(tables: RawTables, durations: Path | None) -> None:
    """Makes `ventilation(icustay_id, starttime, endtime)`: the episodes of every ICU stay.

    durations: a table of episodes (ventdurations); without it, and without one among the tables, they are found anew in
        CHARTEVENTS and PROCEDUREEVENTS_MV.
    """
    if durations is None and tables.has("ventdurations"):
        durations = tables.find("ventdurations")
    if durations is not None:
        tables.load("ventilation", _TIMES, where="starttime IS NOT NULL AND endtime IS NOT NULL", file=durations)
        return
    _load_charted(tables)
    _find_episodes(tables)


def _load_charted(tables: RawTables) -> None:
    """Makes `charted(icustay_id, charttime, vent, oxygen, extubated)`: a row per ICU stay and moment."""
    items = (*VENTILATOR_ITEMS, *OXYGEN_DEVICES, VENTILATOR, TYPE, MODE, CAREVUE_EXTUBATION)
    wanted, ended = _texts(sorted(set(items))), _texts(EXTUBATION_PROCEDURES)
    tables.load(
        "CHARTEVENTS",
        {"ICUSTAY_ID": "BIGINT", "ITEMID": "VARCHAR", "CHARTTIME": "TIMESTAMP", "VALUE": "VARCHAR", "ERROR": "VARCHAR"},
        where=f"itemid IN {wanted} AND value IS NOT NULL AND error IS DISTINCT FROM '1' AND icustay_id IS NOT NULL",
    )
    tables.load(
        "PROCEDUREEVENTS_MV",
        {"ICUSTAY_ID": "BIGINT", "STARTTIME": "TIMESTAMP", "ITEMID": "VARCHAR"},
        where=f"itemid IN {ended} AND icustay_id IS NOT NULL",
    )
    settings = _texts((*VENTILATOR_ITEMS, VENTILATOR))
    oxygen = " OR ".join(f"(itemid = '{item}' AND value IN {values})" for item, values in OXYGEN_DEVICES.items())
    tables.run(
        f"""CREATE TABLE charted AS
        SELECT icustay_id, charttime, max(vent) AS vent, max(oxygen) AS oxygen, max(extubated) AS extubated FROM (
            SELECT icustay_id, charttime,
                (itemid IN {settings} OR (itemid = '{MODE}' AND value <> 'Other/Remarks')
                    OR (itemid = '{TYPE}' AND value <> 'Other')
                    OR (itemid = '{OXYGEN_DEVICE}' AND value = 'Ventilator'))::INT AS vent,
                ({oxygen})::INT AS oxygen,
                (itemid = '{CAREVUE_EXTUBATION}' AND value IN {EXTUBATED})::INT AS extubated
            FROM chartevents
            UNION ALL SELECT icustay_id, starttime, 0, 0, 1 FROM procedureevents_mv)
        WHERE charttime IS NOT NULL GROUP BY ALL"""
    )


def _texts(values: Iterable[object]) -> str:
    """SQL for a list of texts."""
    return f"({', '.join(repr(str(value)) for value in values)})"


def _find_episodes(tables: RawTables) -> None:
    """Cuts each ICU stay's moments into episodes; those of a single moment, or without a ventilator, are no episode."""
    tables.run(
        """CREATE TABLE ventilation AS
        WITH before AS (
            SELECT *, vent = 1 OR extubated = 1 AS breathing,
                lag(extubated) OVER (PARTITION BY icustay_id, vent = 1 OR extubated = 1 ORDER BY charttime) AS was_extubated,
                lag(charttime) OVER (PARTITION BY icustay_id, vent ORDER BY charttime) AS last_vent
            FROM charted),
        numbered AS (
            SELECT *, sum((coalesce(breathing AND was_extubated = 1, false) OR (oxygen = 1 AND vent = 0)
                    OR coalesce(vent = 1 AND charttime > last_vent + INTERVAL 8 HOUR, false))::INT)
                OVER (PARTITION BY icustay_id ORDER BY charttime) AS episode
            FROM before)
        SELECT icustay_id, min(charttime) AS starttime, max(charttime) AS endtime FROM numbered WHERE breathing
        GROUP BY icustay_id, episode HAVING max(vent) = 1 AND min(charttime) < max(charttime)"""
    )


def label_ventilation(tables: RawTables) -> list[tuple[str, str, int]]:
    """Makes `labels_pmv(hadm_id, labels, split)` of the cohort; split is NULL. Returns (rule, what, admissions left).

    Needs `icustays`, `patients`, `diagnoses_icd`, `d_icd_diagnoses`, `bedside_notes(hadm_id, charttime)` and `ventilation`.
    The span of an ICU stay runs from the first start to the end of its last episode, six hours added. The index stay is the
    earliest by INTIME of those that span two days; the index time is its first start.
    """
    run = tables.run
    run(
        """CREATE TABLE spans AS
        SELECT hadm_id, intime, first, last + INTERVAL 6 HOUR - first AS span FROM (
            SELECT icustay_id, min(starttime) AS first, arg_max(endtime, (starttime, endtime)) AS last
            FROM ventilation GROUP BY icustay_id)
        JOIN icustays USING (icustay_id) JOIN patients USING (subject_id)
        WHERE intime >= dob + INTERVAL 18 YEAR AND hadm_id IN (SELECT hadm_id FROM admissions)"""
    )
    run(
        f"""CREATE TABLE excluded AS
        SELECT DISTINCT hadm_id FROM diagnoses_icd LEFT JOIN d_icd_diagnoses USING (icd9_code)
        WHERE regexp_matches(icd9_code, '{_EXCLUDED_CODES}') OR long_title ILIKE '%donor%'"""
    )
    run(
        """CREATE TABLE cohort AS
        SELECT hadm_id, arg_min(first, intime) FILTER (span >= INTERVAL 48 HOUR) AS index_time,
            bool_or(span >= INTERVAL 168 HOUR) AS prolonged, bool_or(span >= INTERVAL 48 HOUR) AS long
        FROM spans WHERE hadm_id NOT IN (FROM excluded) GROUP BY hadm_id"""
    )
    run(
        """CREATE TABLE labels_pmv AS
        SELECT hadm_id, [CASE WHEN prolonged THEN 'GT7D' ELSE 'LE7D' END] AS labels, NULL::VARCHAR AS split
        FROM cohort WHERE long AND EXISTS (
            FROM bedside_notes note WHERE note.hadm_id = cohort.hadm_id
                AND note.charttime BETWEEN index_time AND index_time + INTERVAL 48 HOUR)"""
    )
    return [
        (
            "L1",
            "of adults with a ventilated spell in intensive care",
            tables.count("(SELECT DISTINCT hadm_id FROM spans)"),
        ),
        ("L2", "without an excluded diagnosis", tables.count("cohort")),
        ("L4", "whose ventilation spans two days", tables.count("cohort WHERE long")),
        ("L6", "with a bedside note in the 48 hours after its start", tables.count("labels_pmv")),
    ]


def load_membership(tables: RawTables, file: Path) -> None:
    """Makes `labels_pmv(hadm_id, labels, split)` of a published table of members: hadm_id, label and split, as CSV.

    Raises BadInput with file and line for a label that is not 0 or 1, an unknown split, or a stay that occurs twice.
    """
    if file.suffix in (".pkl", ".pickle"):
        raise BadInput(f"{file} is a pickle, which runs whatever its maker wrote into it. Give the table as CSV.")
    tables.load("members", {"HADM_ID": "BIGINT", "LABEL": "VARCHAR", "SPLIT": "VARCHAR"}, file=file)
    _refuse(tables, file, "label", "trim(label) NOT IN ('0', '1') OR label IS NULL", "Known: 0, 1.")
    _refuse(
        tables, file, "split", f"trim(split) NOT IN {_texts(SPLIT_NAMES)} OR split IS NULL", "Known: train, val, test."
    )
    _refuse(tables, file, "hadm_id", "hadm_id IS NULL", "Every member needs one.")
    twice = tables.first("SELECT hadm_id FROM members GROUP BY hadm_id HAVING count(*) > 1 LIMIT 1")
    if twice is not None:
        at = tables.place(file, "hadm_id", str(twice[0]), nth=2)
        raise BadInput(f"{file}, {at}: hadm_id {twice[0]} occurs a second time. Remove one of its rows.")
    names = ", ".join(f"'{name}': '{split}'" for name, split in SPLIT_NAMES.items())
    tables.run(
        f"""CREATE TABLE labels_pmv AS
        SELECT hadm_id, [CASE trim(label) WHEN '1' THEN 'GT7D' ELSE 'LE7D' END] AS labels,
            MAP {{{names}}}[trim(split)] AS split FROM members"""
    )


def _refuse(tables: RawTables, file: Path, column: str, wrong: str, cure: str) -> None:
    """Raises BadInput with the line of the first member for which `wrong` holds."""
    found = tables.first(f"SELECT {column} FROM members WHERE {wrong} LIMIT 1")
    if found is not None:
        at = tables.place(file, column, found[0])
        raise BadInput(f"{file}, {at}: {column} is {shown('' if found[0] is None else found[0])}. {cure}")
