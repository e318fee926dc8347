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
# # A joint limit of Fermi-LAT and a Cherenkov array
#
# Below a TeV the Fermi-LAT knows most about dark matter in dwarf galaxies, above it Cherenkov
# telescopes do. Both look at the same dwarfs, so they share not only $\langle\sigma v\rangle$
# but also the J-factor of each dwarf: what one instrument learns about a J, the other must use.
# This tutorial
#
# 1. takes LAT likelihoods of 15 dwarfs and ON/OFF spectra of four of them,
# 2. turns both into likelihoods of $\langle\sigma v\rangle$,
# 3. combines them, with one J per dwarf,
# 4. asks who contributes, and what the J-factors cost, correlated ones included,
# 5. does the same with one Gammapy `Fit`,
# 6. and, where the public data are at hand, fits real counts of five instruments together.
#
# All dwarfs are simulated without a signal; these are not observations.

# %%
import os
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from gammapy.datasets import Datasets, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling import Fit

import dmgammapy
from dmgammapy.datasets import CountsLikelihood, SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.targets import Target, Targets
from dmgammapy.visualization import plot_contributions, plot_limits

masses = np.geomspace(0.05, 50, 13).round(3) * u.TeV

# %% [markdown]
# ## The LAT: published likelihoods
#
# As in the first tutorial: one file per dwarf holds the likelihood of the flux in every energy
# bin, and the roster knows where the dwarfs are and how large their J-factors. Mass and channel of
# the model are placeholders.

# %%
targets = Targets.read_roster("ackermann2015_dsphs")
example = Path(dmgammapy.__file__).parent / "data/example"
seds = [
    SEDLikelihoodDataset.read(
        example / f"sed_{target.name}.fits", models=target.to_models("1 TeV", "b")
    )
    for target in targets
]
lat = CastroEstimator(masses, ["b"]).run(seds)
print(lat[0])

# %% [markdown]
# ## The array: counts
#
# Four dwarfs were also seen by an array of Cherenkov telescopes for 200 hours each. Its region of
# 0.1 degrees holds a part of the J-factor only. How large a part depends on the halo; the numbers
# here are typical ones. The *uncertainty* of J is that of the dwarf, whatever the region.

# %%
inside = {"segue_1": -0.13, "ursa_major_II": -0.35, "coma_berenices": -0.20, "draco": -0.25}  # dex
array_targets = {
    name: targets[name].copy(log10_jfactor=targets[name].log10_jfactor + part)
    for name, part in inside.items()
}


def effective_area(energy):
    """Of the array: 1e9 cm2 at 0.1 TeV, ten times that above a TeV."""
    x = energy.to_value("TeV")
    return 1e10 * u.cm**2 * x / (x + 0.9)


def simulate(target, seed, livetime=200 * u.h):
    """ON/OFF spectrum without a signal."""
    reco = MapAxis.from_energy_bounds("0.1 TeV", "50 TeV", nbin=5, per_decade=True)
    true = MapAxis.from_energy_bounds(
        "0.05 TeV", "80 TeV", nbin=10, per_decade=True, name="energy_true"
    )
    ra, dec = target.position.ra.deg, target.position.dec.deg
    region = RegionGeom.create(f"icrs;circle({ra}, {dec}, 0.1)", axes=[reco])
    dataset = SpectrumDataset.create(region, energy_axis_true=true, name=f"array-{target.name}")
    dataset.exposure.quantity = (effective_area(true.center) * livetime).reshape(-1, 1, 1)
    dataset.edisp = EDispKernelMap.from_gauss(reco, true, sigma=0.12, bias=0)
    dataset.mask_safe.data[:] = True
    dataset = SpectrumDatasetOnOff.from_spectrum_dataset(
        dataset=dataset, acceptance=1, acceptance_off=5
    )
    dataset.models = target.to_models("1 TeV", "b", sigmav=0 * u.Unit("cm3 s-1"))
    background = dataset.counts.copy(unit="")
    hours = livetime.to_value("h")
    background.data[:, 0, 0] = 60 * hours * (reco.center.to_value("TeV") / 0.1) ** -1.7
    dataset.fake(background, random_state=seed)
    return dataset


spectra = [simulate(target, seed) for seed, target in enumerate(array_targets.values(), 50)]

# %%
ax = spectra[0].plot_excess()
ax.set_yscale("symlog", linthresh=10)
ax.set_title("Segue 1, simulated")
plt.show()

# %% [markdown]
# `CastroEstimator` takes counts as it takes likelihoods. With `method="direct"` every mass is
# fitted to all energies at once, with energy dispersion; the background of an ON/OFF spectrum is
# profiled in every bin. The result should know which instrument it is from: one dwarf may come
# twice in a stack, one dwarf and instrument may not.

# %%
array = CastroEstimator(masses, ["b"], method="direct").run(spectra)
for castro in array:
    castro.meta.instrument = "array"
print(array[0])

# %% [markdown]
# ## Joint
#
# One list with everything. Likelihoods of the same dwarf are added first, at equal
# $\langle\sigma v\rangle$ and equal shift of J, then the shift is profiled; so each dwarf has one
# J-factor nuisance, however many instruments saw it.

# %%
stack = StackedDMLikelihood([*lat, *array])
joint = stack.run()
alone = {"Fermi-LAT": StackedDMLikelihood(lat).run(), "array": StackedDMLikelihood(array).run()}
print(joint)


# %%
def limits(results):
    """What `plot_limits` draws: masses, limits, status by label."""
    return {
        label: (r.masses, r.sigmav_ul.quantity[0, :, 0, 0], r.status.data[0, :, 0, 0])
        for label, r in results.items()
    }


ax = plot_limits(limits({**alone, "joint": joint}))
ax.set_title(r"15 dwarfs, $b\bar{b}$, 95 % CL (simulated)")
plt.show()

# %% [markdown]
# The profile at one mass: the joint curve is steeper than either. It is not the sum of the two:
# both must take the same J of a dwarf, and its prior counts once. A joint limit need not be below
# the better of the two: an upward fluctuation in one of them pulls it up.

# %%
mass = masses[6]
ax = joint.plot_profile(channel="b", mass=mass, components=alone)
ax.set_xlim(1e-27, 1e-22)
plt.show()

# %% [markdown]
# ## Who contributes?
#
# `share` is what a dwarf adds to the rise of the likelihood between the best fit and the limit; it
# is negative where the dwarf's own best fit is higher. At low mass the LAT decides, at high mass
# the four dwarfs the array saw.

# %%
table = stack.contributions
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, at in zip(axes, (masses[3], masses[-3]), strict=True):
    rows = table[np.isclose(table["mass"], at)]
    plot_contributions(list(rows["target"]), np.array(rows["share"]), ax=ax)
    ax.set_title(f"{at:g}")
plt.show()

# %% [markdown]
# ## What the J-factors cost
#
# - `method="fixed"` takes J as observed,
# - the default profiles each dwarf's J on its own,
# - `jfactor_covariance` lets J-factors be wrong together, as they are if all come from one method:
#   here with a correlation of 0.5 between any two dwarfs,
# - `extra_widths` gives the array an uncertainty of its own, 0.2 dex for the part of J inside its
#   region.

# %%
widths = np.array([target.log10_jfactor_err for target in targets])
covariance = np.outer(widths, widths) * np.where(np.eye(len(widths)) > 0, 1.0, 0.5)
everything = [*lat, *array]
variants = {
    "J fixed": StackedDMLikelihood(everything, method="fixed").run(),
    "J profiled": joint,
    "correlated 0.5": StackedDMLikelihood(
        everything, jfactor_covariance=(targets.names, covariance)
    ).run(),
    "array + 0.2 dex": StackedDMLikelihood(everything, extra_widths={"array": 0.2}).run(),
}
for label, (_, limit, _) in limits(variants).items():
    print(f"{label:<16}", *(f"{value:.2e}" for value in limit[::3].value), limit.unit)

# %%
reference = joint.sigmav_ul.data[0, :, 0, 0]
fig, ax = plt.subplots()
styles = dict(zip(variants, ("-", "--", "-.", ":"), strict=True))
for label, (x, limit, _) in limits(variants).items():
    ax.semilogx(x.to_value("TeV"), limit.value / reference, styles[label], label=label)
ax.set_xlabel("Mass [TeV]")
ax.set_ylabel("Limit relative to J profiled")
ax.legend()
plt.show()

# %% [markdown]
# ## The same as one Gammapy fit
#
# Everything above rests on ordinary Gammapy models, so one `Fit` does the same, slowly: all
# datasets together, one shared `sigmav` parameter, one free `log10_jfactor` per dwarf that carries
# its prior. For two dwarfs and one mass. Gammapy has one J per model, so here the array sees as
# much of it as the LAT.

# %%
names = ["segue_1", "draco"]
pair = Datasets()
for name in names:
    model = targets[name].to_models(mass, "b")
    for dataset in (
        seds[targets.names.index(name)].copy(name=f"lat-{name}"),
        spectra[list(inside).index(name)].copy(name=f"counts-{name}"),
    ):
        dataset.models = model
        pair.append(dataset)

castros = CastroEstimator([mass], ["b"], method="direct").run(pair)
for castro in castros:
    castro.meta.instrument = castro.meta.instrument or "array"
fast = StackedDMLikelihood(castros).run()

# %% [markdown]
# Share the parameter by assignment, free the J-factors, and tell Minuit how large a first step in
# them is (its own guess is 10 dex).

# %%
first, second = (pair.models[name].spectral_model for name in names)
second.sigmav = first.sigmav
for spectrum in (first, second):
    spectrum.log10_jfactor.frozen = False
    spectrum.log10_jfactor.error = 0.1
print(pair.parameters.free_unique_parameters.names)

# %% [markdown]
# A profile: fix `sigmav`, fit the rest, from one value to the next.

# %%
scan = fast.sigmav_scan[0, 0]
limit = fast.sigmav_ul.quantity.squeeze()
nodes = [np.abs(scan - factor * limit).argmin() for factor in (0, 0.1, 0.3, 0.6, 1, 1.5, 2)]
first.sigmav.frozen = True
fit = Fit()
stat = []
for node in nodes:
    first.sigmav.value = scan[node].value
    fit.optimize(pair)
    stat.append(pair.stat_sum())
stat = np.array(stat) - stat[0]
profile = fast.delta_stat[0, 0] - fast.delta_stat[0, 0, 0]
print("largest difference:", f"{np.abs(stat - profile[nodes]).max():.1e}")

# %%
fig, ax = plt.subplots()
ax.plot(scan, profile, label="StackedDMLikelihood")
ax.plot(scan[nodes], stat, "o", label="gammapy.modeling.Fit")
ax.set_xlim(0, 2.2 * limit.value)
ax.set_ylim(min(profile.min(), 0) - 1, 1.3 * stat.max())
ax.set_xlabel(r"$\langle\sigma v\rangle$ [cm$^3$ s$^{-1}$]")
ax.set_ylabel(r"$\Delta(-2 \ln L)$")
ax.legend()
plt.show()

# %% [markdown]
# ## Real counts of five instruments
#
# [Nigro et al. 2019](https://doi.org/10.1051/0004-6361/201834938) published the counts of
# Fermi-LAT, MAGIC, VERITAS, FACT and H.E.S.S. on the Crab Nebula. There is no dwarf in front of
# it, but it shows how a bright source is a nuisance: its log-parabola is fitted anew at every
# $\langle\sigma v\rangle$. The data are not part of the package; without them this section is
# left out.

# %%
given = os.environ.get("DMGAMMAPY_TEST_DATA")
candidates = [Path(given)] if given else [Path("../shared/data"), Path("../../shared/data")]
folder = next((c / "joint_crab" for c in candidates if (c / "joint_crab").is_dir()), None)
print("five instruments" if folder else "no data, section left out")

# %%
halo = Target("halo", log10_jfactor=19.0, log10_jfactor_err=0.2)


def read(instruments):
    """Datasets with the nebula and a halo at its place."""
    from gammapy.modeling.models import LogParabolaSpectralModel, SkyModel

    datasets = Datasets()
    for instrument in instruments:
        for path in sorted((folder / instrument).glob("pha_*.fits")):
            name = f"{instrument}-{path.stem}"  # names in the files are not unique
            datasets.append(SpectrumDatasetOnOff.read(path, name=name))
    nebula = LogParabolaSpectralModel(
        amplitude="3e-11 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.3, beta=0.1
    )
    datasets.models = [SkyModel(nebula, name="crab"), *halo.to_models("1 TeV", "b")]
    return datasets


instruments = ["fermi", "magic", "veritas", "fact", "hess"]
if folder:
    crab = read(instruments)
    print(CountsLikelihood.from_datasets(crab).fit(norm=0))

# %% [markdown]
# The published joint fit has the amplitude 3.85e-11, the index 2.51 and the curvature 0.10 (0.24
# for the decadic logarithm used there).

# %%
if folder:
    estimator = CastroEstimator(
        [500] * u.GeV, ["b"], method="direct", n_points=16, delta_stat_max=16
    )
    together = estimator.run(crab)
    single = {name: estimator.run(read([name])) for name in instruments}
    ax = together.plot_profile(components=single)
    limit = together.sigmav_ul.data.item()
    ax.set_xlim(limit / 300, 100 * limit)
    plt.show()

# %% [markdown]
# Alone, no instrument sees anything (H.E.S.S. begins at 0.7 TeV and knows nothing about this mass).
# Together they prefer a halo at 2.4 sigma, because one log-parabola now has to do for all of them:
# energy scales that differ, or a nebula that is not quite a log-parabola, look like a signal. A
# joint fit is only as good as the calibration of its instruments against each other and the model
# of what is not dark matter.
