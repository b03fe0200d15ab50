"""How long a trained model takes for one note alone, on a processor: what a program that asks note by note waits for.

A run is timed once and the time noted, so that a page written again says the same.
"""

import statistics
import time
from collections.abc import Sequence
from itertools import cycle, islice

from clinstack.data.task import open_task
from clinstack.models.note_classifier import load
from clinstack.runs.atomic import read_json, write_json
from clinstack.runs.layout import StudyLayout
from clinstack.studies.limited_data.findings import Point
from clinstack.training.running import Witness

_NOTES = 30
_WARM = 3
"""Notes before the clock runs: the first ones allocate."""


def time_single_notes(points: Sequence[Point], layout: StudyLayout, witness: Witness) -> dict[str, float]:
    """Seconds for one note by name of arm: the median over test notes of the first split, with all of torch's threads."""
    noted: dict[str, float] = read_json(layout.latency) if layout.latency.is_file() else {}
    found = {}
    for point in points:
        first = point.runs[0]
        key = first.trained.run.root.name
        if key not in noted:
            witness.says(f"Timing {point.arm.name}, note by note")
            model = load(first.trained.run.root)
            texts = open_task(first.part.folder).read("test").column("text").to_pylist()
            seconds = []
            for text in islice(cycle(texts), _WARM + _NOTES):
                begun = time.perf_counter()
                model.predict_proba([text])
                seconds.append(time.perf_counter() - begun)
            noted[key] = statistics.median(seconds[_WARM:])
            write_json(layout.latency, noted)
        found[point.arm.name] = noted[key]
    return found
