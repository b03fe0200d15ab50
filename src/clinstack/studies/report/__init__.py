"""A folder of runs as one page that can be mailed, printed and read on a phone, and as rows for further work.

`gather` reads the runs and `findings` compares them; `tables`, `panels`, `words` and `limits` say what the page shows,
`figures` draws, `page` fills the template, `rows` makes the table. The page is one HTML file without script that asks no
server. Its figures are inline SVG made here and not by a plotting library: their text stays text, at the page's own size
on a phone.
"""

from clinstack.studies.report.write import write_report

__all__ = ["write_report"]
