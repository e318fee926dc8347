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
from dmgammapy.spectra import channel_latex
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
# `SimulatedDatasetMaker` draws data sets. In each, the counts fluctuate, and with
# `redraw_jfactor=True` so do the *observed* J-factors around the true ones, with the widths of the
# roster: another experiment would have measured other J-factors. `run(datasets, realisation=7)`
# gives datasets as if read from files; number 7 is always the same.
#
# `ExpectedLimitsEstimator` draws many, sends them through the same `CastroEstimator` and
# `StackedDMLikelihood` as data, and keeps best fits, limits and TS, here of every dwarf as well.

# %%
masses = [10, 16, 25, 40, 63, 100, 160, 250, 400, 630, 1000, 1600, 2500, 5000] * u.GeV
castro = CastroEstimator(masses=masses, channels=["b", "tau"])
maker = SimulatedDatasetMaker(seed=4, expectations=expectations, redraw_jfactor=True)
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


another = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
null = analyse(another.run(datasets))
bands.plot_bands(null["stack"])
plt.show()

# %% [markdown]
# Neighbouring masses use the same photons, so the observed curve wanders through the bands slowly.
#
# The bands depend on what one calls another experiment. Three kinds, in units of this median:
#
# - toys with `redraw_jfactor=True`, as above,
# - toys with `redraw_jfactor=False`, the default: all experiments measure the J-factors exactly
#   right, and only counts fluctuate,
# - `method="asimov"`, which takes a single analysis, of the Asimov data set: its counts are the
#   expected ones and its J-factors the true ones. The width of the bands follows from the
#   curvature of its likelihood, to which the J-factors contribute.
#
# With J redrawn the median is stronger by 10 to 20 %, because dwarfs whose J-factor was
# overestimated get most of the weight. (Real data have the J-factors they have: judge them by
# bands at those, with `redraw_jfactor=False`. The observation here has J redrawn, too.) The Asimov
# median is that of exact J-factors; its bands are as wide as those with J redrawn, wider at high
# mass, where counts are few.

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
    ax.semilogx(masses, limit[2], style, color="black", label=label)
    for edge in (1, 3):
        ax.semilogx(masses, limit[edge], style, color="0.55", lw=1)
ax.set(xlabel="Mass [GeV]", ylabel="Limit / median of toys, J redrawn", ylim=(0, 3.9))
ax.set_title(r"$b\bar{b}$: median (black), 68 % band (grey)")
ax.legend(loc="upper left")
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
injection = {"sigmav": injected, "mass": injected_mass, "channel": "b"}
with_signal = SimulatedDatasetMaker(
    seed=5, expectations=expectations, redraw_jfactor=True, **injection
)
print(with_signal)
truth = with_signal.prepare(datasets).truth()
for name, digits in [("log10_jfactor_obs", 2), ("npred_signal", 1), ("npred", 1)]:
    truth[name].format = f".{digits}f"
truth["target", "log10_jfactor", "log10_jfactor_obs", "npred_signal", "npred"]

# %% [markdown]
# A few photons among a thousand from each dwarf: they have to stand out by their energies. On the
# bands, with the truth marked:

# %%
signal = analyse(with_signal.run(datasets))
bands.plot_bands(signal["stack"], channel="b", truth=(injected_mass, injected))
plt.show()

# %% [markdown]
# The observed limit leaves the bands from 40 GeV on, at all masses to which these photons could
# belong, and lies above the truth, as it should in 95 % of cases. TS against mass, beside what is
# expected with this signal (200 more simulations) and 95 % of those without:

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
    ax.set(xscale="log", xlabel="Mass [GeV]", title=channel_latex(channel))
axes[0].axvline(injected_mass.value, color="0.4", lw=1)
axes[0].set_ylabel("TS")
axes[1].legend(loc="upper right")
plt.show()

# %% [markdown]
# TS is large over a decade of masses, and tau at a quarter of the mass fits as well: a few dozen
# photons hardly tell. Nor does a median TS of 25 promise much: at the truth 68 % of the simulations
# lie between 15 and 36. The likelihood in mass and strength, with the truth as star:

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
other_maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
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
# The signal loses less than one sigma to its trials. The accident has 3.3 sigma if
# one forgets that its mass and channel are the best of 28, and 2.7 if one does not; these are far
# from 28 independent looks. That it is the best of a hundred data sets no column knows. Whoever
# looks a hundred times has to count that, too: 2.7 sigma are a chance of 1 in 250, and of 1 in 3 to
# be met in a hundred.
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
# Simulations know only the background that they are told. The sky has sources too faint for a
# catalog. To see what they do, here is a map around Draco like one of Fermi-LAT, with diffuse
# emission and 60 faint sources at random places.

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
faint = Map.from_geom(geom.to_image().upsample(4), unit="sr-1")
faint.fill_by_idx(tuple(random.integers(0, 240, (2, 60))), weights=flux)
shape = TemplateSpatialModel(
    faint.smooth(0.1 * u.deg), filename="faint.fits", interp_kwargs={"values_scale": "lin"}
)
amplitude = 1.2 * flux.sum() * u.Unit("cm-2 s-1 GeV-1")
spectrum = PowerLawSpectralModel(index=2.2, amplitude=amplitude, reference="1 GeV")
background = FoVBackgroundModel(dataset_name=dataset.name)
dataset.models = [background, SkyModel(spectrum, shape, name="faint")]
dataset.fake(random_state=1)
share = dataset.npred_signal().data.sum() / dataset.counts.data.sum()
print(f"{dataset.counts.data.sum():.0f} counts, {100 * share:.0f} % from faint sources")

# %% [markdown]
# The analysis knows the diffuse emission and Draco only. As in the second tutorial, fit the
# background first; its norm takes up the photons of the faint sources.

# %%
dataset.models = [background, *draco.to_models(mass="100 GeV", channel="b", sigmav="0 cm3 s-1")]
likelihood = CountsLikelihood.from_datasets(dataset)
likelihood.update_models(likelihood.fit(norm=0))
print(f"norm of the diffuse emission: {background.spectral_model.norm.value:.3f}")

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
plot_sky_image(
    image.data, image.geom.wcs, ax, label="1 - 100 GeV, counts per pixel, smoothed",
    markers={"Draco": draco.position},
)  # fmt: skip
ax.scatter(positions.ra, positions.dec, transform=ax.get_transform("icrs"), s=30, fc="none", ec="w")
ax = figure.add_subplot(122)
plot_ts_cumulative({"blank, 25 GeV": ts_blank[:, 0], "blank, 100 GeV": ts_blank[:, 1]}, ax=ax)
plt.show()

# %% [markdown]
# Large TS are more frequent than without faint sources. `blank_field_correction` takes the chance
# of a TS from the fields, and continues their tail where they end:

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
# These are significances at a position and mass chosen beforehand. What would be 5 sigma by the
# book is half as much here, and 80 fields do not say it very precisely: the last two columns are
# the 68 % interval. Trials have to be counted on top. With a better model of the background the two
# come together again, and that is what blank fields are for: to see whether it is good enough.

# %% [markdown]
# ## Which limit?
#
# Five dwarfs again, b and 100 GeV, and to compare methods only, with the J-factors of the roster
# (their uncertainty stays in the analysis). Of a hundred data sets without a signal we take those
# with the lowest and the highest limit, and one with the signal. All methods but the first ask what
# data without a signal would have given; this they take from the Asimov data set.

# %%
cell = {"channel": "b", "mass": injected_mass}
asimov = expected.asimov(datasets).slice_by_coord(cell)
exact_hundred = ExpectedLimitsEstimator(castro, exact, n_realisations=100).simulate(datasets)
limit_of_hundred = exact_hundred.norm_ul.data[:, 0, 5, 0, 0]
exact_signal = SimulatedDatasetMaker(
    seed=5, expectations=expectations, redraw_jfactor=False, **injection
)
samples = {
    "lowest": exact.run(datasets, realisation=limit_of_hundred.argmin()),
    "highest": exact.run(datasets, realisation=limit_of_hundred.argmax()),
    "signal": exact_signal.run(datasets),
}
methods = ["profile", "cls", "power_constrained", "feldman_cousins"]
table = Table({"limit": methods})
for name, sample in samples.items():
    result = analyse(sample)["stack"].slice_by_coord(cell)
    limits = [
        result.upper_limit(method=method, asimov=None if method == "profile" else asimov)
        for method in methods
    ]
    column = f"{name}, TS {result.ts.data.item():.1f}"
    table[column] = u.Quantity([limit.quantity.item() for limit in limits])
    table[column].format = ".2e"
table

# %% [markdown]
# - `profile`: the strength at which $-2\ln L$ is 2.71 above its minimum; if counts are many, 95 %
#   of data sets with that signal stay below. What most dwarf analyses quote. In a deficit it goes
#   below what the experiment is sensitive to.
# - `cls`: the chance of such data with the signal, divided by that without it, is 5 %. Covers more
#   than 95 % where the data can't tell the two apart, so a deficit does not help much.
# - `power_constrained`: covers 95 %, but is never lower than where an experiment without a signal
#   would exclude with a chance of 16 %; for the lowest of the hundred that is what it gives.
# - `feldman_cousins`: the upper end of an interval that becomes two-sided by itself when there is a
#   signal. Covers 95 % with both its ends, so the upper one is higher in an excess.
#
# Without a fluctuation they agree within 30 %. Quote the one whose sentence you mean, say
# which it is, and show the bands of the same one: `limit_method` of `ExpectedLimitsEstimator`.
# Where counts are few, take limits from toys (`limit_toys`). Equations, and how often each covers
# the truth in simulations of a stack, whose J-factors cost some coverage, are on the page "Which
# limit should I quote?" of the documentation (`docs/which_limit.md`).
