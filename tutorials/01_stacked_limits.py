# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Stacked limits from published likelihoods
#
# In 2015 the Fermi-LAT collaboration published, for 15 dwarf spheroidal galaxies, the likelihood
# of the energy flux in each of 24 energy bins, and with them a limit on the dark matter
# annihilation cross-section that is still a benchmark
# ([Ackermann et al. 2015](https://doi.org/10.1103/PhysRevLett.115.231301)). This tutorial goes
# from those files to that limit:
#
# 1. read the bin-by-bin likelihoods,
# 2. look at one of them,
# 3. convert it into a likelihood of $\langle\sigma v\rangle$,
# 4. combine the dwarfs, each with the uncertainty of its J-factor,
# 5. compare with the published numbers,
# 6. write the result in formats others read.

# %%
import os
import tempfile
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.targets import Targets

# %% [markdown]
# The published files are not part of the package. Put them in a folder and name it in
# `DMGAMMAPY_TEST_DATA`; without it, the tutorial runs on the simulated dwarfs that come with
# dmgammapy (then there is nothing to compare with in step 5).

# %%
given = os.environ.get("DMGAMMAPY_TEST_DATA")
candidates = [Path(given)] if given else [Path("../shared/data"), Path("../../shared/data")]
folder = next((c / "fermi_dsphs_2015" for c in candidates if c.is_dir()), None)
real = folder is not None and folder.is_dir()
if real:
    pattern = str(folder / "like_{target}.txt")
else:
    import dmgammapy

    pattern = str(Path(dmgammapy.__file__).parent / "data/example/sed_{target}.fits")
print("published likelihoods" if real else "the simulated example")

# %% [markdown]
# ## Targets and their J-factors
#
# A roster is a named list of targets from a table of the literature. Here: the 15 dwarfs of the
# analysis, with J-factors for NFW profiles. The width is in dex, a factor of $10^{0.16}$ for Draco.

# %%
targets = Targets.read_roster("ackermann2015_dsphs")
targets["draco"]

# %%
targets.plot_jfactors()
plt.show()

# %% [markdown]
# ## Read
#
# A dataset needs to know which source it is about: `to_models` makes a Gammapy sky model with a
# `DarkMatterSpectralModel` and the target's `JFactorPrior`. Mass and channel are placeholders
# here, they are scanned below.

# %%
datasets = [
    SEDLikelihoodDataset.read(
        pattern.format(target=target.name),
        models=target.to_models(mass="100 GeV", channel="b"),
    )
    for target in targets
]
draco = datasets[targets.names.index("draco")]
print(draco)

# %% [markdown]
# The castro picture of Draco: colour is how much worse a flux fits than the best one, bin by bin.

# %%
draco.plot()
plt.show()

# %% [markdown]
# ## Convert
#
# `CastroEstimator` computes the likelihood of $\langle\sigma v\rangle$ for every mass and channel:
# the sum over bins of the likelihood at the flux that the model predicts there. We take the DMFit
# spectra the collaboration used, and their masses.

# %%
masses = [6, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000] * u.GeV
estimator = CastroEstimator(masses=masses, channels=["b", "tau"], spectra="dmfit")
castros = estimator.run(datasets)
print(castros[targets.names.index("draco")])

# %%
castros[targets.names.index("draco")].plot_stat(channel="b")
plt.show()

# %% [markdown]
# A `CastroMaps` holds Gammapy maps on the axes mass and channel:

# %%
one = castros[targets.names.index("draco")]
one.sigmav_ul.quantity.squeeze()

# %% [markdown]
# Masses below a channel's threshold, or without flux in any bin, are not extrapolated: their
# status says so, and they are named.

# %%
one.meta.notes

# %% [markdown]
# ## Combine
#
# The dwarfs share $\langle\sigma v\rangle$; each has its own J-factor, whose observed value
# constrains it. `method="profile"` minimises over it, `"marginal"` integrates, `"fixed"` ignores
# the uncertainty.

# %%
stack = StackedDMLikelihood(castros)
combined = stack.run()
print(combined)

# %%
ax = combined.plot_limits()
fixed = StackedDMLikelihood(castros, method="fixed").run()
ax.plot(
    masses, fixed.sigmav_ul.quantity[0, :, 0, 0], ":", color="0.3", label="b, J fixed", zorder=1
)
ax.legend()
plt.show()

# %% [markdown]
# Who contributes? `share` is the part of the rise of the likelihood at the limit that is due to a
# target, `ul_without` the limit if it is left out.

# %%
table = stack.contributions
at_100 = table[(table["channel"] == "b") & np.isclose(table["mass"].value, 100)]
at_100.sort("share", reverse=True)
at_100[:6]

# %%
combined.plot_profile(channel="b", mass=100 * u.GeV, components=stack.target_maps)
plt.show()

# %% [markdown]
# ## Compare with the published limit

# %%
published = [5.126e-27, 5.168e-27, 8.446e-27, 1.348e-26, 2.210e-26, 4.727e-26, 9.282e-26,
             1.932e-25, 5.813e-25, 1.460e-24, 3.941e-24]  # fmt: skip
ours = combined.sigmav_ul.quantity[0, :, 0, 0]
if real:
    for mass, a, b in zip(masses, ours.value, published, strict=True):
        print(f"{mass:9.0f}  {a:.3e}  published {b:.3e}  {100 * (a / b - 1):+.2f} %")
    assert np.allclose(ours.value, published, rtol=3e-3)
else:
    print("simulated dwarfs: nothing to compare with")

# %% [markdown]
# ## Write
#
# The own FITS format keeps everything exactly. The same result can be written as a Glory Duck
# text table (one channel each) or in dmpipe's layout, and the limits alone as a table.

# %%
results = Path(tempfile.mkdtemp())
combined.write(results / "combined.fits")
again = CastroMaps.read(results / "combined.fits")
assert np.array_equal(again.stat_scan.data, combined.stat_scan.data)

draco_b = castros[targets.names.index("draco")].slice_by_coord({"channel": "b"})
draco_b.write(results / "bb_draco_fermi-lat.txt", format="gloryduck")
combined.write(results / "combined_dmpipe.fits", format="dmpipe")
combined.to_table()[:5]
