"""The synthetic hospital: a seeded generator of MIMIC-shaped folders and of the five outcome tasks.

`dice` is chance; `conditions`, `problems*`, `disturbances`, `drugs`, `tail` and `codes` are the hospital's knowledge;
`patients` draws latent states from it; `style`, `admission`, `discharge`, `quirks` and `bedside` write text; `writing`,
`tables`, `notes`, `tasks` and `generate` write files.
"""

from clinstack.data.sources.hospital.generate import write_hospital

__all__ = ["write_hospital"]
