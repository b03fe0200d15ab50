"""Where everything lies, as data. The only place that knows the names of files inside our own folders."""

from clinstack.runs.layout.data import (
    BuildLayout,
    CorpusLayout,
    HospitalLayout,
    TaskLayout,
    frame_file,
    mimic4_notes,
    several_file,
    split_list,
)
from clinstack.runs.layout.demo import DemoLayout
from clinstack.runs.layout.library import LibraryLayout
from clinstack.runs.layout.run import AdapterLayout, CheckpointLayout, ExportLayout, RunLayout
from clinstack.runs.layout.study import SearchLayout, ShelfLayout, StoreLayout, StudyLayout

__all__ = [
    "AdapterLayout",
    "BuildLayout",
    "CheckpointLayout",
    "CorpusLayout",
    "DemoLayout",
    "ExportLayout",
    "HospitalLayout",
    "LibraryLayout",
    "RunLayout",
    "SearchLayout",
    "ShelfLayout",
    "StoreLayout",
    "StudyLayout",
    "TaskLayout",
    "frame_file",
    "mimic4_notes",
    "several_file",
    "split_list",
]
