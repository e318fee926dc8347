"""The same PPPC4DMID table through Gammapy's own models."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.spectra import read_spectra
from dmgammapy.spectra.io.pppc4 import COLUMNS


@pytest.fixture(scope="module")
def gammapy_data(tmp_path_factory):
    """A tree like $GAMMAPY_DATA with the bundled table in PPPC4DMID's own layout."""
    spectra = read_spectra("pppc4")
    folder = tmp_path_factory.mktemp("data") / "dark_matter_spectra" / "PPPC4DMID"
    folder.mkdir(parents=True)
    names = {channel: column for column, channel in COLUMNS.items()}
    header = ["mDM", "Log[10,x]", *(names[channel] for channel in spectra.channels)]
    mass, log10x = np.meshgrid(spectra.masses.value, spectra.log10x, indexing="ij")
    values = spectra.dndlog10x.reshape(len(spectra.channels), -1)
    rows = np.column_stack([mass.ravel(), log10x.ravel(), *values])
    path = folder / "AtProduction_gammas.dat"
    np.savetxt(path, rows, fmt="%.9g", header=" ".join(header), comments="")
    return folder.parents[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("channel", ["b", "tau", "W", "gamma"])
@pytest.mark.parametrize("mass", [140, 777, 5300])
def test_annihilation_and_decay_equal_gammapys(gammapy_data, monkeypatch, channel, mass):
    from gammapy.astro.darkmatter import (
        DarkMatterAnnihilationSpectralModel,
        DarkMatterDecaySpectralModel,
    )

    monkeypatch.setenv("GAMMAPY_DATA", str(gammapy_data))
    mass = mass * u.GeV
    spectra = read_spectra("pppc4")
    energy = np.geomspace(1e-5, 1, 201) * mass
    jfactor = 1e19 * u.Unit("GeV2 cm-5")
    model = DarkMatterAnnihilationSpectralModel(mass=mass, channel=channel, jfactor=jfactor)
    theirs = model(energy).to_value("cm-2 s-1 GeV-1")
    ours = 1e19 * 3e-26 / (8 * np.pi * mass.value**2) * spectra.dnde(energy, mass, channel).value
    assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9 * theirs.max())

    dfactor = 1e18 * u.Unit("GeV cm-2")
    model = DarkMatterDecaySpectralModel(mass=2 * mass, channel=channel, jfactor=dfactor)
    theirs = model(energy).to_value("cm-2 s-1 GeV-1")
    dnde = spectra.dnde(energy, 2 * mass, channel, process="decay").value
    ours = 1e18 / (4.3e17 * 4 * np.pi * 2 * mass.value) * dnde
    assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9 * theirs.max())


def test_the_text_table_reads_as_the_bundled_one(gammapy_data):
    path = gammapy_data / "dark_matter_spectra" / "PPPC4DMID" / "AtProduction_gammas.dat"
    ours, bundled = read_spectra(path), read_spectra("pppc4")
    assert ours.channels == bundled.channels
    assert_allclose(ours.masses, bundled.masses)
    assert_allclose(ours.dndlog10x, bundled.dndlog10x, rtol=1e-7)
