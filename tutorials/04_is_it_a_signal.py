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
masses = [10, 16, 25, 40, 63, 100, 160, 250, 400, 630, 1000, 1600, 2500, 5000] * u.GeV
castro = CastroEstimator(masses=masses, channels=["b", "tau"])
maker = SimulatedDatasetMaker(seed=4, expectations=expectations)
expected = ExpectedLimitsEstimator(castro, maker, n_realisations=500)
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
injected_mass = masses[5]
reach = expected.discovery_reach(datasets)
injected = reach.quantity[0, 5, 0, 0]
with_signal = SimulatedDatasetMaker(
    seed=5, sigmav=injected, mass=injected_mass, channel="b", expectations=expectations
)
print(with_signal)
with_signal.prepare(datasets).truth()[
    "target", "log10_jfactor", "log10_jfactor_obs", "npred_signal", "npred"
]

# %% [markdown]
# The data set has the J-factors of the one without signal above (same seed, same targets), and
# about 50 photons more in each hundred. On the bands, with the truth marked:

# %%
signal = analyse(with_signal.run(datasets))
ax = bands.plot_bands(signal["stack"], channel="b", truth=(injected_mass, injected))
plt.show()

# %% [markdown]
# The observed limit leaves the bands at all masses to which these photons could belong, and lies
# above the truth, as it should in 95 % of cases. TS against mass, beside what is expected with this
# signal (200 more simulations) and 95 % of those without:

# %%
expected_signal = ExpectedLimitsEstimator(castro, with_signal, n_realisations=200)
ensemble_signal = expected_signal.simulate(datasets)
median, low, high = (
    ensemble_signal.quantiles([q]).ts.data[0, :, :, 0, 0] for q in (0.5, 0.16, 0.84)
)
without = ensemble["stack"].quantiles([0.95]).ts.data[0, :, :, 0, 0]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True)
for i, (ax, channel) in enumerate(zip(axes, castro.labels, strict=True)):
    ax.fill_between(masses.value, low[i], high[i], color="0.85", label="68 % with the signal")
    ax.plot(masses, median[i], "--", color="0.4", label="median with the signal")
    ax.plot(masses, signal["stack"].ts.data[i, :, 0, 0], "ko-", label="this data set")
    ax.plot(masses, without[i], ":", color="black", label="95 % of those without")
    ax.axvline(injected_mass.value, color="0.6", lw=1)
    ax.set(xscale="log", xlabel="Mass [GeV]", title=channel)
axes[0].set_ylabel("TS")
axes[0].legend()
plt.show()

# %% [markdown]
# TS is large over a decade of masses, and tau at a quarter of the mass fits as well: a few dozen
# photons hardly tell. Nor does TS fluctuate little: the 68 % are from
# 15 to 38 at the truth. The likelihood in mass and strength, with the truth as star:

# %%
ax = signal["stack"].plot_stat(channel="b")
ax.plot(injected_mass, injected, "*", ms=15, mfc="white", mec="black", label="truth")
ax.set_ylim(1e-27, 1e-23)
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# At the injected mass, in this data set and in all 200:

# %%
here = signal["stack"].slice_by_coord({"channel": "b", "mass": injected_mass})
low, high = here.interval(cl=0.68)
print(f"truth    {injected:.2e}")
print(f"best fit {here.sigmav.quantity.item():.2e}", end=", ")
print(f"68 % from {low.data.item():.2e} to {high.data.item():.2e}, TS {here.ts.data.item():.1f}")

ratio = ensemble_signal.sigmav.data[:, 0, 5, 0, 0] / injected.value
above = ensemble_signal.sigmav_ul.data[:, 0, 5, 0, 0] > injected.value
print(f"best fit / truth: median {np.median(ratio):.2f}", end=", ")
print(f"68 % from {np.quantile(ratio, 0.16):.2f} to {np.quantile(ratio, 0.84):.2f}")
print(f"limit above the truth: {100 * above.mean():.1f} % of {len(above)}")

# %% [markdown]
# ## Local and global significance
#
# `local` means: as if mass and channel had been chosen beforehand. `masses`, `channels` and
# `targets` count how often the largest TS of all masses, of all channels, and of all dwarfs and
# their stack is as large without a signal. Where simulations are too few, the method says how it
# went on: by upcrossings of the scans in mass (Gross & Vitells 2010), or by the tail of the
# simulated maxima.
#
# Beside the injected signal we judge an accident: the most significant stack in 100 data sets
# without a signal.

# %%
other_maker = SimulatedDatasetMaker(seed=5, expectations=expectations)
hundred = ExpectedLimitsEstimator(castro, other_maker, n_realisations=100).simulate(datasets)
accident = analyse(other_maker.run(datasets, realisation=hundred.max_ts().argmax()))

judge = SignificanceEstimator()
columns = ["target", "ts", "channel", "mass", "z_local", "z_masses", "z_channels", "z_targets"]


def judged(results):
    """Table of significances, without the p-values."""
    table = judge.run(results, ensemble)
    for name in ("ts", "z_local", "z_masses", "z_channels", "z_targets"):
        table[name].format = ".2f"
    return table


of_signal = judged(signal)
of_signal[[*columns, "method_targets"]]

# %%
of_accident = judged(accident)
of_accident[columns]

# %% [markdown]
# The accident of 3 sigma is what one gets by looking often: choose the best of 28 masses and
# channels, and of a hundred data sets (which no column knows: whoever looks at a hundred must count
# them). Masses and channels are not 28 independent looks, though. The signal loses less than one
# sigma to its trials.
#
# The same as a figure for the stack: the fraction of simulations whose largest TS is at least so
# large.

# %%
stack = ensemble["stack"]
maxima = {
    "100 GeV, b": stack.ts.data[:, 0, 5, 0, 0],
    "all masses, b": stack.slice_by_coord({"channel": "b"}).max_ts(),
    "all masses and channels": stack.max_ts(),
    "and all dwarfs": np.max([part.max_ts() for part in ensemble.values()], axis=0),
}
level, crossings = (of_signal.meta[key]["stack"]["b"] for key in ("level", "n_upcrossings"))
grid = np.linspace(4, 28, 50)
curves = {
    "100 GeV, b: asymptotic": (grid, local_p_value(grid)),
    "all masses, b: upcrossings": (grid, gross_vitells_p_value(grid, level, crossings)),
}
fig, ax = plt.subplots(figsize=(7, 5))
plot_global_significance(of_signal["ts"][0], maxima, ax=ax, curves=curves, observed_label="signal")
plt.show()

# %% [markdown]
# ## Blank fields
#
# Simulations know only the background they are told. The sky has sources too faint for a catalog.
# To see them here is a map of Fermi-LAT counts around Draco, simulated with 60 such sources, which
# the model for the analysis does not have.

# %%
draco = roster["draco"]
energy = MapAxis.from_energy_bounds("1 GeV", "100 GeV", nbin=6)
true = MapAxis.from_energy_bounds("0.7 GeV", "150 GeV", nbin=18, name="energy_true")
geom = WcsGeom.create(skydir=draco.position, width=12, binsz=0.2, proj="TAN", axes=[energy])
dataset = MapDataset.create(geom, energy_axis_true=true, name="lat")
exposure = 2.5e11 * u.Unit("cm2 s")  # six years
dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 1) * exposure
dataset.psf = PSFMap.from_gauss(true, sigma=np.hypot(0.5 * true.center.value**-0.8, 0.07) * u.deg)
dataset.edisp = EDispKernelMap.from_diagonal_response(energy, true)
dataset.mask_safe.data[:] = True
edges = energy.edges.to_value("MeV")
diffuse = 1.3e-3 * (1 / edges[:-1] - 1 / edges[1:]) * u.Unit("cm-2 s-1 sr-1")
counts = (diffuse * exposure)[:, None, None] * geom.solid_angle()
dataset.background.data[:] = counts.to_value("")

random = np.random.default_rng(7)
flux = np.minimum(3e-11 * (1 + random.pareto(1.3, 60)), 2e-10)  # above 1 GeV [cm-2 s-1]
pixels = random.integers(0, 240, (2, 60))
faint = Map.from_geom(geom.to_image().upsample(4), unit="sr-1")
faint.fill_by_idx((pixels[0], pixels[1]), weights=flux)
spectrum = PowerLawSpectralModel(
    index=2.2, amplitude=1.2 * flux.sum() * u.Unit("cm-2 s-1 GeV-1"), reference="1 GeV"
)
background = FoVBackgroundModel(dataset_name=dataset.name)
dataset.models = [
    background,
    SkyModel(spectrum, TemplateSpatialModel(faint, filename="faint.fits"), name="faint"),
]
dataset.fake(random_state=1)

# %% [markdown]
# The analysis has the diffuse background and Draco alone. As in the second tutorial, fit the
# background first.

# %%
dataset.models = [background, *draco.to_models(mass="100 GeV", channel="b", sigmav="0 cm3 s-1")]
likelihood = CountsLikelihood.from_datasets(dataset)
likelihood.update_models(likelihood.fit(norm=0))
print(background.spectral_model.norm.value)

# %% [markdown]
# `BlankFieldMaker` finds positions: here 80, anywhere in the map, more than 1 degree from Draco and
# 0.9 from each other. (On the real sky, give it the `sources` to keep away from and the least
# latitude.) Each is a `Target` with Draco's J-factor. `move_source` moves the dark matter source
# there, and what it returns is analysed like any dataset.

# %%
blank_maker = BlankFieldMaker(80, seed=1, region=geom, offset_min=1 * u.deg, separation=0.9 * u.deg)
fields, positions = blank_maker.run(draco), blank_maker.positions(draco)
estimator = CastroEstimator([25, 100] * u.GeV, ["b"], free_background="fixed")
blank = estimator.run(move_source(dataset, fields))
ts_blank = np.array([castro.ts.data[0, :, 0, 0] for castro in blank])

# %%
image = dataset.counts.sum_over_axes(keepdims=False).smooth(0.2 * u.deg)
figure = plt.figure(figsize=(10.5, 4.4))
ax = figure.add_subplot(121, projection=image.geom.wcs)
plot_sky_image(image.data, image.geom.wcs, ax, label="Counts per pixel, smoothed",
    markers={"Draco": draco.position}, title="1 - 100 GeV",
)  # fmt: skip
ax.scatter(positions.ra, positions.dec, transform=ax.get_transform("icrs"), s=30, fc="none", ec="w")
ax = figure.add_subplot(122)
plot_ts_cumulative({"blank, 25 GeV": ts_blank[:, 0], "blank, 100 GeV": ts_blank[:, 1]}, ax=ax)
plt.show()

# %% [markdown]
# Large TS are more frequent than in simulations. `blank_field_correction` takes the chance of a TS
# from the fields, and continues their tail where they end:

# %%
ts = np.array([4, 9, 16, 25])
p_value, low, high = blank_field_correction(ts, ts_blank[:, 0])
table = Table({"TS": ts})
table["half chi2"] = p_value_to_significance(local_p_value(ts))
table["blank fields"] = p_value_to_significance(p_value)
table["from"], table["to"] = p_value_to_significance(high), p_value_to_significance(low)
for column in table.colnames[1:]:
    table[column].format = ".2f"
table

# %% [markdown]
# An excess of TS 25, 5 sigma by the book, is hardly worth 2 here.

# %% [markdown]
# ## Which limit?
#
# The same likelihoods at one mass, with different questions asked. Three data sets: the one of a
# hundred without signal that has the lowest limit, the accident, and the injected signal. CLs and
# the others compare with what is expected without a signal, which the Asimov data know.

# %%
cell = {"channel": "b", "mass": injected_mass}
asimov = expected.asimov(datasets).slice_by_coord(cell)
lowest = hundred.norm_ul.data[:, 0, 5, 0, 0].argmin()
samples = {
    "deficit": analyse(other_maker.run(datasets, realisation=lowest)),
    "accident": accident,
    "signal": signal,
}
methods = ["profile", "cls", "power_constrained", "feldman_cousins"]
rows = []
for method in methods:
    row = [method]
    for results in samples.values():
        given = {} if method == "profile" else {"asimov": asimov}
        limit, status = (
            results["stack"].slice_by_coord(cell).upper_limit_and_status(method=method, **given)
        )
        assert status.data.item() == LimitStatus.FOUND
        row.append(limit.quantity.item())
    rows.append(row)
rows.append(
    ["posterior"]
    + [
        r["stack"].slice_by_coord(cell).credible_upper_limit().quantity.item()
        for r in samples.values()
    ]
)
rows.append(["TS"] + [r["stack"].slice_by_coord(cell).ts.data.item() for r in samples.values()])
table = Table(rows=rows, names=["limit", *samples])
for name in samples:
    table[name].format = ".3g"
table
