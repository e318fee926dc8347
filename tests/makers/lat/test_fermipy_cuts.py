"""Cuts of fermipy's configurations, as its code and the tools it runs take them."""

import pytest

from dmgammapy.makers.lat.fermipy_config import translate_fermipy_config
from tests.makers.lat.test_fermipy_config import config, reasons, settings


def test_good_times():
    both = {"filter": "DATA_QUAL>0 && LAT_CONFIG==1", "zmax": 90, "roicut": "yes"}
    got = settings(selection=both)
    assert (got["filter"], got["roi_zenith_max"]) == (both["filter"], 90)
    for text in ("no", "No", False, None, "f"):
        assert settings(selection=both | {"roicut": text})["roi_zenith_max"] is None
    # YAML reads yes as true, which fermipy's check of types refuses
    with pytest.raises(ValueError, match=r"roicut = True: .* Write roicut: 'yes'"):
        settings(selection=both | {"roicut": True})
    with pytest.raises(ValueError, match=r"roicut = 'maybe', expected 'yes' or 'no'"):
        settings(selection=both | {"roicut": "maybe"})


@pytest.mark.parametrize("spelled", ["yes", "Yes", "TRUE", "y"])
def test_region_cuts_as_the_code_of_fermipy(spelled):
    """It runs gtmktime for exactly "yes" or with a filter; the tool takes all of these."""
    translation = translate_fermipy_config(
        config(selection={"filter": "LAT_CONFIG==1", "zmax": 90, "roicut": spelled})
    )
    assert translation.settings["roi_zenith_max"] == 90
    assert ("selection.roicut" in reasons(translation)) == (spelled != "yes")
    translation = translate_fermipy_config(config(selection={"zmax": 90, "roicut": spelled}))
    assert translation.settings["roi_zenith_max"] == (90 if spelled == "yes" else None)
    said = reasons(translation)
    if spelled == "yes":
        assert "takes the one of its parameter file" in said["selection.filter"]
    else:
        assert "no times are cut: without a filter" in said["selection.roicut"]


def test_region_cut_without_zenith_angle():
    translation = translate_fermipy_config(
        config(selection={"filter": "LAT_CONFIG==1", "roicut": "yes"})
    )
    assert translation.settings["roi_zenith_max"] is None
    assert "no times are cut without zmax" in reasons(translation)["selection.roicut"]


def test_phases():
    assert settings(selection={"phasemin": 0.3, "phasemax": 0.4})["phase"] == (0.3, 0.4)
    assert settings(selection={"phasemax": 0.4})["phase"] == (0, 0.4)
    # limits for which gtselect makes no cut
    for low, high in ((0, 1), (0, None), (None, 1.0), (0, 0)):
        assert settings(selection={"phasemin": low, "phasemax": high})["phase"] is None
    for low, high in ((0.9, 0.1), (0.3, 0.3), (-0.1, 0.5), (0.5, 1.5)):
        with pytest.raises(ValueError, match="expected 0 <= phasemin < phasemax <= 1"):
            settings(selection={"phasemin": low, "phasemax": high})


@pytest.mark.parametrize(
    ("phases", "scale", "key", "said", "warns"),
    [
        ((0.1, 0.4), 0.3, "gtlike.expscale", "0.3, already, and not once more", False),
        ((0.1, 0.4), 0.6, "gtlike.expscale", "multiply dataset.exposure by 2 after", True),
        ((0.1, 0.4), 1.0, "gtlike.expscale", "and not by expscale", True),
        ((0.1, 0.4), None, "selection.phasemax", "fermipy needs gtlike.expscale", False),
        ((0, 1), 0.5, "gtlike.expscale", "not applied: multiply dataset.exposure", False),
        ((None, None), 0.5, "gtlike.expscale", "which scale the exposure already", False),
        ((None, None), 1.0, None, "", False),
    ],
)
def test_scale_of_the_exposure(caplog, phases, scale, key, said, warns):
    """fermipy leaves it to expscale, here a cut in phase scales the exposure."""
    selection = dict(zip(("phasemin", "phasemax"), phases, strict=True))
    translation = translate_fermipy_config(config(selection=selection, gtlike={"expscale": scale}))
    told = reasons(translation)
    assert set(told) & {"gtlike.expscale", "selection.phasemax"} == ({key} if key else set())
    assert said in told.get(key, "")
    assert ("expscale = " in caplog.text) == warns


def test_radius_of_the_events():
    inside = translate_fermipy_config(config(selection={"radius": 2.0}))
    assert inside.settings["radius"] == 2
    said = reasons(inside)["selection.radius"]
    assert "from the whole map, up to 7.071 deg; fermipy cuts them to this radius" in said
    around = translate_fermipy_config(config(selection={"radius": 15.0}))
    assert "which lies within it" in reasons(around)["selection.radius"]
    disk = {"projtype": "HPX", "roiwidth": 10.0}
    around = translate_fermipy_config(config(selection={"radius": 5.0}, binning=disk))
    assert "which lies within it" in reasons(around)["selection.radius"]
    assert "selection.radius" not in reasons(translate_fermipy_config(config()))
