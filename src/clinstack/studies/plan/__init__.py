"""What a command would cost: parameters, memory, tokens, operations, hours and disk; nothing is trained, nothing is written.

`reading` counts what is read, `work` says what a command does with it, on the base's shape (torch's meta device, from its
configuration), `cost` turns that into memory, disk and operations, `rates` knows what machines do a second, and `forecast`
puts them together and sets plans beside finished runs.
"""

from clinstack.studies.plan.forecast import check, peak_bytes, plan

__all__ = ["check", "peak_bytes", "plan"]
