"""By what a table's notes get their splits; whatever it is, a patient has one split.

* by patient: a hash of seed and patient (`splits`).
* by time: train is before one date, test from another on, as a model meets the notes that come after it. A patient
  belongs to the split of the LAST note, and earlier notes from before that split's period are left out. So the test
  split is its period whole, returning patients included, and every note of train is earlier than every note of test.
  The price: who came back later is missing from train. By the first note it would be the other way round, and the
  test split would hold new patients only, which are not those that a model meets.
* by site: test is the notes of some sites, train and valid are the patients who were never there, by hash. Notes that
  a test patient has elsewhere are left out.
* by a column of the table, where somebody has split before.

By time and by site are the non-random splits of TRIPOD (type 2b; Collins et al. 2015), stronger than a random one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Protocol

from clinstack.data.classes import listed, name_of
from clinstack.data.columns import TableNote, read_time
from clinstack.data.notes import SPLITS, shown
from clinstack.data.splits import FRACTIONS, as_shares, by_hash, cut
from clinstack.errors import BadInput, did_you_mean

MOST_SITES = 1_000


class SplitRule(Protocol):
    """How the notes of a table get their splits: all are seen, then it is settled, then each note is asked for."""

    left_out: str
    """Why a note without a split has none."""

    @property
    def patients(self) -> Mapping[str, str]:
        """Each patient's split, once it is settled."""

    def see(self, note: TableNote) -> None:
        """Takes in a note of the first reading."""

    def settle(self) -> None:
        """Decides every patient's split. Raises BadInput if a split would have no patient."""

    def split_of(self, note: TableNote) -> str | None:
        """A note's split; None if it may be in none."""

    def how(self) -> dict[str, Any]:
        """What decided, for task.json."""


def choose_rule(
    *,
    by: str = "patient",
    column: str | None = None,
    seed: int = 123,
    fractions: tuple[float, float, float] | None = None,
    valid_from: str | None = None,
    test_from: str | None = None,
    test_sites: Sequence[str] = (),
) -> SplitRule:
    """The rule that the options of `clinstack data table` ask for.

    by:     patient, time or site; column: of the splits, where a table has one, instead.
    fractions: of patients in train, valid and test; 0.7, 0.1 and 0.2 without it. By site the first two share the
        patients of the other sites, and the third is what the test sites bring.
    valid_from, test_from: dates that the periods begin with, instead of fractions of the patients by time.
    Raises BadInput for options that contradict each other.
    """
    if column and by != "patient":
        raise BadInput(f"--split and --split-by {by} were both given. The splits come from a column or from a rule.")
    if (valid_from or test_from) and by != "time":
        raise BadInput("--valid-from and --test-from are dates of a split by time. Add --split-by time.")
    if bool(valid_from) != bool(test_from):
        raise BadInput("A split by dates needs both --valid-from and --test-from.")
    if bool(test_sites) != (by == "site"):
        raise BadInput("A split by site needs both --split-by site and --test-site.")
    if fractions and (column or valid_from):
        raise BadInput(f"--fractions has no say where {'--split' if column else '--test-from'} decides. Leave one out.")
    shares = as_shares(fractions or FRACTIONS)
    if column:
        return _ByColumn(column)
    if by == "time":
        cuts = (_date("valid-from", valid_from), _date("test-from", test_from)) if valid_from and test_from else None
        return _ByTime(shares, cuts)
    if by == "site":
        return _BySite(test_sites, seed, shares)
    if by == "patient":
        return _ByPatient(seed, shares)
    raise BadInput(f"--split-by {by} is not known. {did_you_mean(by, ('patient', 'time', 'site'))}")


class _ByPatient:
    """By hash of seed and patient."""

    left_out = ""

    def __init__(self, seed: int, shares: Sequence[Fraction]) -> None:
        self.patients: dict[str, str] = {}
        self._seed, self._shares = seed, shares

    def see(self, note: TableNote) -> None:
        self.patients.setdefault(note.patient_id, "")

    def settle(self) -> None:
        self.patients = cut(by_hash(self.patients, self._seed), self._shares)
        _check_filled(self.patients, "are too few to split", "give more patients, or --split.")

    def split_of(self, note: TableNote) -> str | None:
        return self.patients[note.patient_id]

    def how(self) -> dict[str, Any]:
        return {"by": "patient", "seed": self._seed, "fractions": [float(share) for share in self._shares]}


class _ByTime:
    """By the time of each patient's last note, at two dates: given, or those that fractions of the patients come to."""

    left_out = "the patient came back later, and is in the split of the last note."

    def __init__(self, shares: Sequence[Fraction], cuts: tuple[datetime, datetime] | None) -> None:
        if cuts and (cuts[0].tzinfo is None) != (cuts[1].tzinfo is None):
            raise BadInput("One of --valid-from and --test-from has a time zone and one has none. Write them one way.")
        if cuts and cuts[0] >= cuts[1]:
            raise BadInput(
                f"--valid-from {cuts[0]} is not before --test-from {cuts[1]}. Train, valid, test is the order."
            )
        self.patients: dict[str, str] = {}
        self._last: dict[str, datetime] = {}
        self._shares, self._cuts, self._given = shares, cuts, cuts is not None

    def see(self, note: TableNote) -> None:
        assert note.when is not None
        last = self._last.get(note.patient_id)
        if last is None or note.when > last:
            self._last[note.patient_id] = note.when

    def settle(self) -> None:
        self._cuts = self._in_zone(self._cuts) if self._cuts else self._cuts_of_shares()
        self.patients = {patient: self._period(last) for patient, last in self._last.items()}
        self._last = {}
        valid, test = self._cuts
        _check_filled(
            self.patients,
            f"cannot be split at {valid.isoformat()} and {test.isoformat()}",
            "give other --fractions, or --valid-from and --test-from.",
        )

    def split_of(self, note: TableNote) -> str | None:
        assert note.when is not None
        period = self._period(note.when)
        return period if period == self.patients[note.patient_id] else None

    def how(self) -> dict[str, Any]:
        assert self._cuts
        dates = {"valid_from": self._cuts[0].isoformat(), "test_from": self._cuts[1].isoformat()}
        return {"by": "time"} | dates | ({} if self._given else {"fractions": [float(one) for one in self._shares]})

    def _period(self, time: datetime) -> str:
        assert self._cuts
        return SPLITS[sum(time >= cut for cut in self._cuts)]

    def _cuts_of_shares(self) -> tuple[datetime, datetime]:
        """The dates from which on the last notes of the valid and of the test patients lie.

        Patients with one and the same time stay together, in the later split: train and valid are rounded down.
        """
        ordered = sorted(self._last.values())
        train = int(self._shares[0] * len(ordered))
        valid = train + int(self._shares[1] * len(ordered))
        return ordered[min(train, len(ordered) - 1)], ordered[min(valid, len(ordered) - 1)]

    def _in_zone(self, cuts: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
        zoned = next(iter(self._last.values())).tzinfo is not None
        if cuts[0].tzinfo and not zoned:
            raise BadInput("--valid-from and --test-from have a time zone, and the times of the notes have none.")
        if cuts[0].tzinfo or not zoned:
            return cuts
        return cuts[0].replace(tzinfo=UTC), cuts[1].replace(tzinfo=UTC)


class _BySite:
    """Test is what some sites wrote; of the patients who were never there, a hash makes train and valid."""

    left_out = "the patient was at a test site too, and must not be learned from."

    def __init__(self, test_sites: Sequence[str], seed: int, shares: Sequence[Fraction]) -> None:
        if not shares[0] + shares[1]:
            raise BadInput("By site, the first two of --fractions share the other sites' patients. Both cannot be 0.")
        self.patients: dict[str, str] = {}
        self._test_sites = tuple(dict.fromkeys(name_of(site) or "" for site in test_sites))
        self._sites: Counter[str] = Counter()
        self._was_there: dict[str, bool] = {}
        self._seed, self._shares = seed, shares

    def see(self, note: TableNote) -> None:
        assert note.site is not None
        self._sites[note.site] += 1
        if len(self._sites) > MOST_SITES:
            raise BadInput(f"--site names a column of more than {MOST_SITES:,} sites. It is probably another column.")
        there = note.site in self._test_sites
        self._was_there[note.patient_id] = self._was_there.get(note.patient_id, False) or there

    def settle(self) -> None:
        for site in self._test_sites:
            if site not in self._sites:
                known = [name for name in self._sites if shown(name) == repr(name)]
                raise BadInput(f"--test-site {site}: no note is of that site. {did_you_mean(site, known)}")
        elsewhere = [patient for patient, there in self._was_there.items() if not there]
        train, valid = self._shares[:2]
        split_of = cut(by_hash(elsewhere, self._seed), [train / (train + valid), valid / (train + valid)])
        self.patients = dict.fromkeys(self._was_there, "test") | split_of
        self._was_there = {}
        _check_filled(
            self.patients, f"cannot be split by site (test: {listed(self._test_sites)})", "choose another --test-site."
        )

    def split_of(self, note: TableNote) -> str | None:
        split = self.patients[note.patient_id]
        return split if split != "test" or note.site in self._test_sites else None

    def how(self) -> dict[str, Any]:
        return {
            "by": "site",
            "test_sites": list(self._test_sites),
            "other_sites": sorted(set(self._sites) - set(self._test_sites)),
            "seed": self._seed,
            "fractions": [float(share) for share in self._shares],
        }


class _ByColumn:
    """As a column of the table says."""

    left_out = ""

    def __init__(self, column: str) -> None:
        self.patients: dict[str, str] = {}
        self._column = column

    def see(self, note: TableNote) -> None:
        assert note.split is not None
        self.patients[note.patient_id] = note.split

    def settle(self) -> None:
        empty = [split for split in SPLITS if split not in self.patients.values()]
        if empty:
            raise BadInput(
                f"No row's split (column {self._column!r}) is {' or '.join(empty)}. Every split needs notes."
            )

    def split_of(self, note: TableNote) -> str | None:
        return note.split

    def how(self) -> dict[str, Any]:
        return {"by": "column", "column": self._column}


def _check_filled(patients: Mapping[str, str], said: str, cure: str) -> None:
    """Raises BadInput if a split has no patient."""
    counts = Counter(patients.values())
    if not all(counts[split] for split in SPLITS):
        each = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
        raise BadInput(f"{len(patients):,} patients {said}: {each}. Every split needs one; {cure}")


def _date(flag: str, text: str) -> datetime:
    time = read_time(text)
    if time is None:
        raise BadInput(f"--{flag} {shown(text)} is no date. Write it as 2020-01-31 or 2020-01-31T10:15.")
    return time
