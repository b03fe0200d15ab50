"""What a corpus keeps of a note's text, as published and mended."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinstack.data.note_cleaning import cleaner
from clinstack.errors import BadInput

# The specification's examples: input, reference, strict.
EXAMPLES = {
    51: ("Name:  ___\n \nUnit No:   ___\n", "Name: ___ Unit No: ___ ", "Name: ___ Unit No: ___"),
    52: ("[**Known lastname 5**] was seen", " Known lastname 5 was seen", "___ was seen"),
    53: ("BP 120/80\n\nHR 70", "BP 120/80 HR 70", "BP 120/80 HR 70"),
    54: ("a\t\tb", "a\t\tb", "a b"),
    55: ("FINDINGS:\r\nok", "FINDINGS:\r ok", "FINDINGS: ok"),
    56: ("[** ** ]", " ** ]", "[** ** ]"),
    57: ("", "", ""),
}


@pytest.mark.parametrize("number", EXAMPLES)
def test_the_examples_of_the_specification(number):
    text, reference, strict = EXAMPLES[number]
    assert cleaner("reference")(text) == reference
    assert cleaner("strict")(text) == strict


def test_lines_can_be_kept():
    assert cleaner("strict", "keep")(" a \r\n\r\n\tb  c\x0bd\u2028e \n") == "a\n\nb c\nd\ne"


@given(st.text(alphabet=st.sampled_from("ab \n\r\t\v\f\u2028\x85[]*_é")))
def test_strict_text_is_one_line_that_stays_as_it_is(text):
    once = cleaner("strict")(text)
    assert len(once.splitlines()) <= 1
    assert once == once.strip(" ")
    assert cleaner("strict")(once) == once
    assert cleaner("strict", "keep")(text).split() == once.split()


@given(st.text(alphabet=st.sampled_from("ab \n\r\t[]*_é")))
def test_reference_is_the_published_rule(text):
    opened = text.replace("[**", " ").replace("**]", " ").replace("\n", " ")
    assert cleaner("reference")(text) == re.sub(" +", " ", opened)


@given(st.text(alphabet=st.sampled_from("abc \n\r\t\v")))
def test_no_letter_is_lost(text):
    assert "".join(cleaner("strict")(text).split()) == "".join(text.split())


def test_unknown_modes_and_lines_as_published_are_refused():
    with pytest.raises(BadInput, match=r"^Unknown mode 'strikt'\. Did you mean 'strict'\?"):
        cleaner("strikt")
    with pytest.raises(BadInput, match=r"^--newlines keep belongs to --mode strict; the published corpus has none\.$"):
        cleaner("reference", "keep")
