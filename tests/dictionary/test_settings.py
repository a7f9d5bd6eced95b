"""Settings that are refused before anything starts."""

import pytest
from pydantic import ValidationError

from scopebook.settings import Settings


@pytest.mark.parametrize("sites", ["'none'", "*", "'self' https://*.example.org http://wiki:8080"])
def test_sites_that_may_show_a_card_are_taken(sites: str) -> None:
    assert Settings(embed_sites=sites).embed_sites == sites


@pytest.mark.parametrize("sites", ["", "self", "'self'; script-src *", "'none' *", "wiki\r\nX: 1"])
def test_no_list_of_sites_can_say_anything_else(sites: str) -> None:
    with pytest.raises(ValidationError, match="is no list of sites"):
        Settings(embed_sites=sites)
