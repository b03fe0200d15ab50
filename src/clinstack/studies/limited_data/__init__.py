"""The limited-data study: which model to use where a few thousand labelled lines are all there is."""

from clinstack.studies.limited_data.study import limited_data

__all__ = ["limited_data"]
