"""The text form of a defence, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitward.core.defence import Chain, spec
from splitward.core.defence_text import parse_chain, parse_defence
from splitward.core.errors import DefenceError
from splitward.core.registry import discover

channels = st.builds(
    lambda kind, level, position: discover("defence")[kind](level, position),
    st.sampled_from(["gaussian", "laplace", "dropout", "dropout-rescaled"]),
    st.integers(0, 999_999).map(lambda n: n / 1_000_000),
    st.sampled_from(["wire", "input"]),
)


@given(st.lists(channels, max_size=4).map(tuple))
def test_text_and_chain_are_inverse(parts):
    chain = Chain(parts)
    assert parse_chain(str(chain)) == chain
    assert parse_chain([spec(c) for c in parts]) == chain


def test_forms():
    assert parse_defence(" dropout:0.6 ") == discover("defence")["dropout"](0.6)
    assert parse_defence("gaussian:0.5@input").position == "input"
    assert parse_defence("gaussian:0.5@wire").position == "wire"
    assert str(parse_chain("laplace:1@wire+dropout:0.2")) == "laplace:1+dropout:0.2"
    assert parse_chain("gaussian:1e+06+dropout:0.5").channels[0].level == 1e6
    assert parse_chain("none") == parse_chain(["none"]) == parse_chain([]) == Chain()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no defence: write kind:level"),
        ("dropout", "'dropout' is no defence: write kind:level"),
        ("dropout:", "'dropout:' is no defence: write kind:level"),
        (":0.5", "':0.5' is no defence: write kind:level"),
        ("dropout:half", "the level of 'dropout:half' is not a number: write kind:level"),
        ("dropout:0.5@cloud", "acts at an unknown position 'cloud': use @input or @wire"),
        ("dropout:0.5@", "acts at an unknown position '': use @input or @wire"),
        ("dropuot:0.5", "there is no defence named 'dropuot'; did you mean dropout"),
        ("magic:0.5", "there is no defence named 'magic'; known are clip, dropout"),
        ("dropout:1", "dropout: the level is the share"),
        ("gaussian:nan", "gaussian: the level is the standard deviation"),
        ("gaussian:inf", "gaussian: the level is the standard deviation"),
        ("laplace:-1", "laplace: the level is the scale b"),
        ("dropout:0.5+", "'' is no defence"),
        ("none+dropout:0.5", "'none' is no defence"),
        ("gaussian:0.5@input@wire", "unknown position 'input@wire'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, says):
    with pytest.raises(DefenceError) as raised:
        parse_chain(text)
    message = str(raised.value)
    assert says in message
    assert "\n" not in message
    assert message.endswith((".", "?"))
