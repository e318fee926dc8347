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
# # From a YAML file to a report
#
# The other tutorials go step by step. Here one file says what is wanted, and the pipeline does it:
# likelihoods of each dwarf, stacks of two rosters with two treatments of J, simulations without and
# with a signal, expected limits, significance, figures and a report. We
#
# 1. write the file, and look at what it asks for before anything runs,
# 2. run it, and look up results by name,
# 3. interrupt the work and go on, change the data of one dwarf, and see what is computed again,
# 4. see what happens when a file is broken.
#
# `dmgammapy run config.yaml` does the same from the command line.

# %%
import os
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Image, display

from dmgammapy.analysis import AnalysisConfig, AnalysisError, ConfigError, DMAnalysis
from dmgammapy.analysis.example import EXAMPLE_FOLDER

# %% [markdown]
# ## One file
#
# The data are those of the example that comes with dmgammapy: bin-by-bin likelihoods of simulated
# dwarfs, six years of Fermi-LAT each, no signal. `truth.ecsv` holds the counts that were expected.
# `dmgammapy config --template` prints a commented file with all keys; ours is short.

# %%
folder = Path(tempfile.mkdtemp())
os.chdir(folder)
names = ["segue_1", "draco", "ursa_minor", "coma_berenices"]
for name in names:
    shutil.copy(EXAMPLE_FOLDER / f"sed_{name}.fits", folder)
shutil.copy(EXAMPLE_FOLDER / "truth.ecsv", folder)

TEXT = """\
rosters:
  four: {roster: ackermann2015_dsphs, select: [segue_1, draco, ursa_minor, coma_berenices]}
  best: {roster: ackermann2015_dsphs, select: [segue_1]}

datasets: sed_{target}.fits
channels: [b, tau]
masses: {min: 10 GeV, max: 1 TeV, n: 9}

jfactor: [profile, fixed]            # the first is the main one

simulations:
  defaults: {n: 100, expectations: truth.ecsv}
  "null": {}                         # bands and significance
  signal:
    injected: {sigmav: 1e-25 cm3 s-1, mass: 100 GeV, channel: b}

limits: {methods: [profile, cls]}
plots:
  channels: [b]
  kinds: [final_limits, control_limits, jfactor_treatments, contributions]
output: results
"""
path = Path("config.yaml")
path.write_text(TEXT)
print(AnalysisConfig.read(path).channel_labels)

# %% [markdown]
# A mistake is named with its line, and the nearest valid key:

# %%
path.write_text(TEXT.replace("masses:", "mases:"))
try:
    AnalysisConfig.read(path)
except ConfigError as error:
    print(error)
_ = path.write_text(TEXT)

# %% [markdown]
# ## What there is to do
#
# `plan` lists the tasks without doing any: a dry run. Segue 1 is in both rosters, but its
# likelihood is computed once.

# %%
analysis = DMAnalysis.read(path)
plan = analysis.plan()
print(len(plan), "tasks, for example")
for task in ("castro/segue_1", "stack/four/profile", "simulate/signal/best/fixed/0000"):
    row = plan[plan["task"] == task][0]
    print(f"  {row['task']}: {row['state']}, {row['reason']}")

# %% [markdown]
# ## Run
#
# First a part: the stacks, and what these need.

# %%
combined = analysis.run(steps=["stack"])
print(combined)
analysis.status()

# %% [markdown]
# Then the rest. What is done is not done again.

# %%
analysis.run()
print(f"{len(analysis.computed)} tasks in {analysis.seconds:.0f} s")
analysis.status()

# %% [markdown]
# ## Results by name
#
# Kind, then the names that it takes. What is left out is the first: roster `four`, J profiled.

# %%
print(analysis.results)

# %%
analysis.results["limits", "best", "fixed", "b"]["target", "mass", "sigmav_ul", "sigmav_ul_cls"][:4]

# %%
analysis.results["significance", "b"]

# %% [markdown]
# They are the objects of the other tutorials, so all that these can do is at hand.

# %%
bands = analysis.results["bands"]
bands.plot_bands(analysis.results["stack"], channel="b")
plt.title("Four dwarfs, J profiled")
plt.show()

# %% [markdown]
# How much does the treatment of J matter?

# %%
for roster in analysis.rosters:
    profiled, fixed = (
        analysis.results["stack", roster, method, "b"].sigmav_ul.data.ravel()
        for method in ("profile", "fixed")
    )
    print(f"{roster}: limits weaker by a factor {(profiled / fixed).min():.2f} to "
          f"{(profiled / fixed).max():.2f}")  # fmt: skip

# %% [markdown]
# The figures are there as files, and all in `report.html`, which needs no network and can be sent
# around. Here the simulated signal, with the truth marked:

# %%
(figure,) = analysis.output.glob("plots/control_limits/*signal*four*profile*b*.png")
display(Image(figure, width=500))
print(*sorted(p.relative_to(analysis.output).as_posix() for p in analysis.output.glob("*.*")))

# %% [markdown]
# ## Going on
#
# Nothing has changed, so nothing is computed:

# %%
analysis.run()
len(analysis.computed)

# %% [markdown]
# Results are known by the content of all that they depend on. If some are lost, as when a run was
# killed in between, only they are made again, and come out the same to the last bit:

# %%
lost = analysis.output / "stacks" / "four" / "profile.fits"
before = lost.read_bytes()
lost.unlink()
print(analysis.status()["step", "tasks", "done", "stale", "missing"])
analysis.run()
assert lost.read_bytes() == before
analysis.computed

# %% [markdown]
# New data of Draco (those of another dwarf under its name stand for them). Its likelihood and all
# that holds Draco are computed again, but neither the other dwarfs nor the roster `best`:

# %%
from dmgammapy.datasets import SEDLikelihoodDataset

other = SEDLikelihoodDataset.read(EXAMPLE_FOLDER / "sed_sextans.fits", name="draco")
other.write(folder / "sed_draco.fits", format="fermipy", overwrite=True)
plan = analysis.plan()
changed = plan[plan["state"] != "done"]
print(f"{len(changed)} of {len(plan)} tasks")
assert not any("best" in task.split("/") for task in changed["task"] if "plot" not in task)
for row in changed[:6]:
    print(f"  {row['task']}: {row['reason']}")
analysis.run()
print(len(analysis.computed), "computed")

# %% [markdown]
# ## When something breaks
#
# A task that fails does not stop the others. The end tells which one it was, with its input, where
# the traceback is, and the command that repeats just this task.

# %%
file = folder / "sed_ursa_minor.fits"
good = file.read_bytes()
file.write_bytes(good[: len(good) // 2])
try:
    analysis.run()
except AnalysisError as error:
    print(error)

# %% [markdown]
# The roster `best` is not concerned. Had the configuration said `execution: {on_error: skip}`, the
# stacks would have been made without Ursa Minor, and the report would say so. With the file
# repaired all results fit again: what was computed before is still there, only the report is new.

# %%
file.write_bytes(good)
analysis.run()
print(analysis.computed, analysis.failures)
print(analysis.summary[:400])
