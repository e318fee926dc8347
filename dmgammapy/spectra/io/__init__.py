"""Readers of spectral tables, one file per format; `dmgammapy.spectra.read_spectra` calls them."""
