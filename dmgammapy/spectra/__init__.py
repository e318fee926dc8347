"""Photon yields of dark matter annihilation and decay.

What to use when

- `read_spectra` gives the yields of a table, a formula or a file; its result has ``dnde`` and
  ``integrate``.
- "pppc4" for most work from 5 GeV to 100 TeV; "dmfit" to compare with Fermi-LAT publications;
  "cosmixs" for the most recent event generators; "hdmspectra" above 100 TeV; "line" and "box" for
  photons from the hard process itself.
- `canonical_channel`, `parse_channel`, `channel_label` and `channel_latex` handle names.
"""

from .analytic import BoxSpectra, LineSpectra
from .binned import BinnedSpectra
from .channels import (
    CHANNELS,
    Channel,
    canonical_channel,
    channel_label,
    channel_latex,
    parse_channel,
)
from .core import Spectra
from .readers import read_spectra
from .tables import TableSpectra

__all__ = [
    "CHANNELS",
    "BinnedSpectra",
    "BoxSpectra",
    "Channel",
    "LineSpectra",
    "Spectra",
    "TableSpectra",
    "canonical_channel",
    "channel_label",
    "channel_latex",
    "parse_channel",
    "read_spectra",
]
