"""A section of settings takes what is declared, as it is, and stays."""

import pytest
from pydantic import ValidationError

from lookalike.model.settings import Section


class Oven(Section):
    """What bread needs."""

    degrees: int
    steam: bool = False


@pytest.mark.parametrize(
    "keys", [{"degrees": 250, "fan": True}, {"degrees": "250"}, {"degrees": 250, "steam": 1}, {}]
)
def test_what_is_not_declared_or_of_another_type_is_refused(keys):
    with pytest.raises(ValidationError):
        Oven(**keys)


def test_a_section_does_not_change():
    oven = Oven(degrees=250)
    with pytest.raises(ValidationError):
        oven.degrees = 200
    assert oven == Oven(degrees=250, steam=False)
