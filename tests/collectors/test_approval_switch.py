# SPDX-License-Identifier: Apache-2.0
"""The switch is off where somebody wrote so, and nowhere else (P3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.collectors.approval_switch import Gate, gate
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

OF_ALL = "[bkitsm] collect_itsm = "
OF_ONE = "[bkitsm] collect_itsm_businesses has 2 = "


@pytest.mark.parametrize(
    ("for_all", "for_businesses", "is_on", "setting"),
    [
        ("on", "", True, OF_ALL + "on"),
        ("off", "", False, OF_ALL + "off"),
        (" OFF\n", "  ", False, OF_ALL + "off"),
        ("On", "5=off", True, OF_ALL + "on"),
        ("on", "2=off", False, OF_ONE + "off"),
        ("off", "2=on", True, OF_ONE + "on"),
        ("on", "5=on,2=OFF", False, OF_ONE + "off"),
        ("on", " 2 = off ,\n 5 = on ", False, OF_ONE + "off"),
        ("on", "-2=off, 22=off", True, OF_ALL + "on"),
    ],
)
def test_the_business_own_entry_wins(for_all, for_businesses, is_on, setting):
    assert gate(for_all, for_businesses, bk_biz_id=2) == Gate(is_on=is_on, setting=setting)


def test_a_space_of_the_log_platform_has_a_negative_number():
    assert not gate("on", "-2=off", bk_biz_id=-2).is_on


@pytest.mark.parametrize(
    "text", ["", " ", "true", "False", "0", "no", "of", "offf", "debug", "None", "on off", "off;"]
)
def test_p3_a_switch_that_cannot_be_read_is_an_error_and_never_off(text):
    for given_ in ((text, ""), (text, "2=off"), (text, "2=on")):
        with pytest.raises(ItsmConfigurationError, match=r"collect_itsm = .*no ticket was opened and nothing was"):
            gate(*given_, bk_biz_id=2)


@pytest.mark.parametrize(
    "text",
    [
        *("2", "2=", "=off", "2=false", "2:off", "2=off,", ",", "2=off 5=on", "2==off", "x=off", "2=off,x=off"),
        *("*=off", '{"2": "off"}', "2=off,2=off", "2=off,2=on", "2.0=off", "2=off;5=on", "all=off", "\uff12=off"),
    ],
)
def test_p3_exceptions_that_cannot_be_read_are_an_error_even_for_other_businesses(text):
    for for_all in ("on", "off"):
        for business in (2, 7):
            with pytest.raises(ItsmConfigurationError, match=r"collect_itsm_businesses = .*cannot be read"):
                gate(for_all, text, bk_biz_id=business)


@pytest.mark.parametrize(
    ("for_all", "for_businesses", "told"),
    [
        ("of", "", "collect_itsm = 'of' cannot be read: a switch is on or off"),
        ("on", "5=of", "collect_itsm_businesses = 'of' cannot be read: a switch is on or off"),
        ("on", "5=on, 2", "collect_itsm_businesses = '5=on, 2' cannot be read: '2' is no entry"),
        ("on", "2=on,2=off", "collect_itsm_businesses = '2=on,2=off' cannot be read: business 2 is in it twice"),
    ],
)
def test_what_cannot_be_read_is_shown_and_why(for_all, for_businesses, told):
    with pytest.raises(ItsmConfigurationError) as caught:
        gate(for_all, for_businesses, bk_biz_id=7)
    assert str(caught.value).startswith(f"[bkitsm] {told}")


@given(st.text(), st.text(), st.integers(-9, 9))
def test_p3_off_needs_the_word(for_all, for_businesses, business):
    try:
        found = gate(for_all, for_businesses, bk_biz_id=business)
    except ItsmConfigurationError:
        return
    assert found.is_on or "off" in (for_all + for_businesses).lower()
