"""A sample of notes is spread over the whole file, whatever its parts."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from clinstack.data.notes import sample_texts
from clinstack.errors import BadInput


@pytest.mark.parametrize(("notes", "rows"), [(5, 2), (90, 7), (3000, 10), (3000, 3000)])
def test_a_sample_holds_notes_of_every_source_in_its_share(tmp_path, notes, rows):
    texts = [f"{'abc'[3 * number // notes]}{number}" for number in range(notes)]
    parquet.write_table(pa.table({"text": texts, "other": texts}), tmp_path / "train.parquet", row_group_size=rows)
    found = sample_texts(tmp_path / "train.parquet", 60)
    assert min(60, notes) <= len(found) <= 96
    assert len(set(found)) == len(found)
    shares = [sum(text[0] == source for text in found) / len(found) for source in "abc"]
    assert max(shares) - min(shares) < 0.25 if notes > 5 else max(shares) < 0.7


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "train.parquet").write_text("text")
    with pytest.raises(BadInput) as caught:
        sample_texts(tmp_path / "train.parquet", 10)
    assert str(caught.value) == f"{tmp_path / 'train.parquet'} is missing or damaged. Make its folder again."
