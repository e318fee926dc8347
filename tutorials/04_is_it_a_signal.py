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
# # Is it a signal?
#
# A limit alone does not say much. Is it as good as one should expect? If it is weaker, is that dark
# matter, a fluctuation, or a background that the model does not have? And after looking at many
# masses, channels and dwarfs, how surprising is the largest excess? This tutorial
#
# 1. simulates what is expected without a signal, and puts one data set on the bands,
# 2. injects a signal of 100 GeV, and finds it again,
# 3. counts the trials: local and global significance,
# 4. looks at blank fields, where the real background is,
# 5. and computes five kinds of limits from the same data.
#
# All data are simulated here, so the truth is known.

# %%
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import QTable, Table
from gammapy.datasets import MapDataset
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)

import dmgammapy
from dmgammapy.datasets import CountsLikelihood, SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroEstimator,
    ExpectedLimitsEstimator,
    LimitStatus,
    SignificanceEstimator,
    StackedDMLikelihood,
)
from dmgammapy.estimators.significance import (
    blank_field_correction,
    gross_vitells_p_value,
    local_p_value,
    p_value_to_significance,
)
from dmgammapy.makers import (
    BlankFieldMaker,
    SEDExpectation,
    SimulatedDatasetMaker,
    move_source,
)
from dmgammapy.targets import Targets
from dmgammapy.visualization import plot_global_significance, plot_ts_cumulative
from dmgammapy.visualization.cube import plot_sky_image

plt.rcParams["figure.constrained_layout.use"] = True

# %% [markdown]
# ## What is expected
#
# Five dwarfs of the example that comes with dmgammapy. Each energy bin is a Poisson experiment
# whose expected background is known, because the example is simulated; `SEDExpectation` holds it.
# (Of likelihoods without such a table, `SEDExpectation.from_dataset` reads it off the scans as well
# as it can.)

# %%
names = ["segue_1", "draco", "ursa_minor", "coma_berenices", "ursa_major_II"]
roster = Targets.read_roster("ackermann2015_dsphs")
example = Path(dmgammapy.__file__).parent / "data/example"
table = QTable.read(example / "truth.ecsv")

datasets, expectations = [], {}
for name in names:
    models = roster[name].to_models(mass="100 GeV", channel="b")
    datasets.append(SEDLikelihoodDataset.read(example / f"sed_{name}.fits", models=models))
    rows = table[table["target"] == name]
    expectations[name] = SEDExpectation(rows["background"], rows["npred"])

# %% [markdown]
# `SimulatedDatasetMaker` draws data sets. In each, the counts fluctuate, and so do the *observed*
# J-factors around the true ones, with the widths of the roster: another experiment would have
# measured other J-factors. `run(datasets, realisation=7)` gives datasets as if read from files;
# number 7 is always the same.
#
# `ExpectedLimitsEstimator` draws many, sends them through the same `CastroEstimator` and
# `StackedDMLikelihood` as data, and keeps best fits, limits and TS, here of every dwarf as well.

# %%
masses = np.geomspace(10, 5000, 14).round(1) * u.GeV
masses[5] = 100 * u.GeV
castro = CastroEstimator(masses=masses, channels=["b", "tau"])
maker = SimulatedDatasetMaker(seed=4, expectations=expectations)
expected = ExpectedLimitsEstimator(castro, maker, n_realisations=1000)
ensemble = expected.simulate(datasets, per_target=True)
bands = ensemble["stack"].quantiles()
print(bands)

# %% [markdown]
# One more data set without a signal, from another seed, plays the observation.


# %%
def analyse(simulated):
    """Stack and its dwarfs by name, as data are analysed."""
    stack = StackedDMLikelihood(castro.run(simulated))
    return {"stack": stack.run(), **stack.target_maps}


null = analyse(SimulatedDatasetMaker(seed=5, expectations=expectations).run(datasets))
bands.plot_bands(null["stack"])
plt.show()

# %% [markdown]
# Neighbouring masses use the same photons, so the observed curve wanders through the bands slowly.
#
# Two other bands, in units of this median. The Asimov data set, whose counts are the expected ones
# and whose J-factors are the true ones, takes a single analysis: `method="asimov"`. And toys with
# `redraw_jfactor=False`, whose J-factors are measured exactly right each time, to which the Asimov
# data belong. With J redrawn the limits are stronger in the median, because dwarfs whose J-factor
# was overestimated get most of the weight, and scatter more. So look at the ensemble before
# comparing with published bands.

# %%
exact = SimulatedDatasetMaker(seed=4, expectations=expectations, redraw_jfactor=False)
others = {
    "toys, J redrawn": bands,
    "toys, J exact": ExpectedLimitsEstimator(castro, exact).run(datasets),
    "Asimov": ExpectedLimitsEstimator(castro, method="asimov", maker=exact).run(datasets),
}
reference = bands.sigmav_ul.data[2, 0, :, 0, 0]
fig, ax = plt.subplots()
for (label, other), style in zip(others.items(), ("-", "--", ":"), strict=True):
    limit = other.sigmav_ul.data[:, 0, :, 0, 0] / reference
    ax.loglog(masses, limit[2], style, color="black", label=label)
    for edge in (1, 3):
        ax.loglog(masses, limit[edge], style, color="0.55", lw=1)
ax.set(xlabel="Mass [GeV]", ylabel="Limit / median of toys, J redrawn", ylim=(0.3, 4))
ax.set_title(r"$b\bar{b}$: median (black), 68 % band (grey)")
ax.legend()
plt.show()

# %% [markdown]
# ## A signal
#
# `discovery_reach` is the $\langle\sigma v\rangle$ at which the median TS is 25. We inject that, at
# 100 GeV into b quarks.

# %%
reach = expected.discovery_reach(datasets)
place = {"channel": "b", "mass": 100 * u.GeV}
sigmav = reach.get_by_coord({"channel": 0, "mass": 100 * u.GeV})
sigmav
