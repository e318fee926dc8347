"""Commands on files: limits, stack, convert, info, targets, spectra, simulate, convert-config."""

import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from scipy.stats import norm

from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.estimators import CastroMaps
from dmgammapy.scripts.main import cli
from dmgammapy.targets import Targets

SED = EXAMPLE_FOLDER / "sed_draco.fits"
SIGMA = 1e-26  # of the likelihoods, which are parabolas with the minimum at 0


def call(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def good(*arguments):
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def bad(message, *arguments):
    done = call(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def parabola(target, **meta):
    sigmav = np.append(0, np.geomspace(1e-29, 1e-22, 561)) * u.Unit("cm3 s-1")
    stat = np.tile((sigmav.value / SIGMA) ** 2, (2, 2, 1))
    return CastroMaps.from_scan(
        sigmav, stat, [100, 1000] * u.GeV, ["b", "tau"], target=target, **meta
    )


@pytest.fixture
def castro(tmp_path):
    path = tmp_path / "castro.fits"
    parabola("draco", instrument="lat", log10_jfactor=18.8).write(path)
    return path


def read_ecsv(text):
    return Table.read(text.splitlines(), format="ascii.ecsv")


# ---- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cl", [0.9, 0.95, 0.99])
def test_limits(castro, cl):
    """A Gaussian with its best fit at 0: quantile of the normal distribution, one-sided."""
    table = read_ecsv(good("limits", castro, "--cl", cl, "--channel", "b", "--format", "ecsv"))
    assert list(table["channel"]) == ["b", "b"]
    assert list(table["mass"].quantity.to_value("GeV")) == [100, 1000]
    assert table["sigmav_ul"].quantity.to_value("cm3 s-1") == pytest.approx(
        norm.ppf(cl) * SIGMA, rel=1e-3
    )
    assert list(table["status"]) == ["found", "found"]
    assert table.meta["cl"] == cl


def test_limits_for_people_and_csv(castro, tmp_path):
    text = good("limits", castro, "--mass", "1 TeV", "--channel", "tautau").splitlines()
    assert text[0].split() == ["channel", "mass", "sigmav", "sigmav_ul", "ts", "status"]
    assert text[2].split() == ["tau", "1000", "0", "1.645e-26", "0", "found"]
    assert len(text) == 3
    path = tmp_path / "limits.csv"
    assert good("limits", castro, "-o", path) == ""
    assert path.read_text().startswith("channel,mass [GeV],sigmav [cm3 / s],")
    bad("replace it with --overwrite", "limits", castro, "-o", path)
    good("limits", castro, "-o", path, "--overwrite")


def test_limits_of_decay(tmp_path):
    rate = np.append(0, np.geomspace(1e-30, 1e-22, 561)) / u.s
    stat = ((rate.value / SIGMA) ** 2).reshape(1, 1, -1)
    path = tmp_path / "decay.fits"
    CastroMaps.from_scan(rate, stat, [100] * u.GeV, ["b"], process="decay").write(path)
    table = read_ecsv(good("limits", path, "--format", "ecsv"))
    assert table["tau_ll"][0] == pytest.approx(1 / (norm.ppf(0.95) * SIGMA), rel=1e-3)


def test_limits_of_realisations(tmp_path):
    from gammapy.maps import MapAxis

    axis = MapAxis.from_nodes([0, 1], name="realisation")
    path = tmp_path / "ensemble.fits"
    CastroMaps.from_stack([parabola("a"), parabola("b")], axis).write(path)
    table = read_ecsv(good("limits", path, "--channel", "b", "--format", "ecsv"))
    assert list(table["realisation"]) == [0, 0, 1, 1]
    assert table["sigmav_ul"] == pytest.approx(norm.ppf(0.95) * SIGMA, rel=1e-3)


def test_limits_that_can_not_be(castro, tmp_path):
    bad("['W'] not among ['b', 'tau']", "limits", castro, "--channel", "W")
    bad("--mass: expected a mass such as '100 GeV'", "limits", castro, "--mass", "heavy")
    bad("mass 50 GeV is not a node", "limits", castro, "--mass", "50 GeV")
    bad("cl must lie between 0.5 and 1", "limits", castro, "--cl", "0.3")
    bad("no such file", "limits", tmp_path / "none.fits")
    bad("expected a likelihood of the signal strength", "limits", SED)
    bad("dmgammapy run", "limits", EXAMPLE_FOLDER / "config.yaml")


# ---- stack ---------------------------------------------------------------------------------------


def test_stack(castro, tmp_path):
    """Two equal Gaussians with fixed J: the limit of twice the data."""
    other, out = tmp_path / "segue.fits", tmp_path / "combined.fits"
    parabola("segue_1", log10_jfactor=19.5).write(other)
    good("stack", castro, other, "--method", "fixed", "-o", out)
    stack = CastroMaps.read(out)
    assert stack.meta.jfactor_method == "fixed"
    limit = stack.sigmav_ul.quantity.to_value("cm3 s-1")
    assert limit == pytest.approx(norm.ppf(0.95) * SIGMA / np.sqrt(2), rel=1e-3)
    assert "1.163e-26" in good("limits", out)


def test_stack_takes_priors_from_a_roster(castro, tmp_path):
    bad("no J-factor width for ['draco']", "stack", castro)
    table = read_ecsv(good("stack", castro, "--targets", "ackermann2015_dsphs", "--format", "ecsv"))
    wide = table["sigmav_ul"][0]
    # the roster has J at 18.83 and a width of 0.16 dex: weaker by a part of it
    assert norm.ppf(0.95) * SIGMA < wide * 10 ** (18.83 - 18.8) < 2 * norm.ppf(0.95) * SIGMA
    stranger = tmp_path / "x.fits"
    parabola("nobody", log10_jfactor=18).write(stranger)
    bad("'nobody' is not among the targets", "stack", stranger, "--targets", "ackermann2015_dsphs")


def test_stack_on_common_axes(castro, tmp_path):
    part = tmp_path / "part.fits"
    parabola("segue_1", log10_jfactor=19.5).slice_by_coord({"channel": "tau"}).write(part)
    bad("--common", "stack", castro, part, "--method", "fixed")
    done = call("stack", castro, part, "--method", "fixed", "--common")
    assert done.exit_code == 0
    assert "left out as not common: channels b" in done.stderr
    assert "1.163e-26" in done.stdout


# ---- convert -------------------------------------------------------------------------------------


def test_sed_formats(tmp_path):
    """The published text format against the columns of the FITS file it is made of."""
    text = tmp_path / "like_draco.txt"
    good("convert", SED, text)
    rows = np.loadtxt(text)
    table = Table.read(SED, hdu=1)
    eflux = (table["norm_scan"] * table["ref_eflux"][:, None]).ravel()
    assert rows[:, 2] == pytest.approx(np.array(eflux), rel=1e-6)
    assert rows[:, 3] == pytest.approx(np.array(table["dloglike_scan"]).ravel(), abs=1e-6)
    for name in ("sed.ecsv", "back.fits"):
        good("convert", text, tmp_path / name)
    assert "format gadf" in good("info", tmp_path / "sed.ecsv")
    assert "24, 0.5 to 500 GeV" in good("info", tmp_path / "back.fits")


def test_gloryduck(castro, tmp_path):
    """A file written by hand, and one per channel."""
    source = tmp_path / "bb_Segue1_IACT.txt"
    source.write_text("19.36 100 1000\n1e-22 9 4\n1e-23 1 0\n1e-24 0 0.5\n1e-25 0.01 0.6\n")
    good("convert", source, tmp_path / "segue.fits")
    read = CastroMaps.read(tmp_path / "segue.fits")
    assert (read.channels, read.meta.log10_jfactor, read.meta.target) == (["b"], 19.36, "Segue1")
    good("convert", castro, tmp_path / "{channel}_draco_lat.txt", "--to", "gloryduck")
    first = (tmp_path / "bb_draco_lat.txt").read_text().splitlines()[0].split()
    assert [float(word) for word in first] == [18.8, 100, 1000]
    assert (tmp_path / "tautau_draco_lat.txt").is_file()


def test_published_limits(castro, tmp_path):
    path = tmp_path / "lat_2026_draco_ann_bb.ecsv"
    good("convert", castro, path, "--channel", "b")
    table = Table.read(path, format="ascii.ecsv")
    assert table["sigmav"] == pytest.approx(norm.ppf(0.95) * SIGMA, rel=1e-3)
    assert "limits, format published" in good("info", path)
    bad("limits can't be turned back", "convert", path, tmp_path / "x.fits")


def test_targets_files(tmp_path):
    roster = tmp_path / "mine.yaml"
    roster.write_text("mine: ['draco:ackermann2014_nfw']\nother: [ackermann2015_dsphs]\n")
    bad("several rosters", "convert", roster, tmp_path / "mine.ecsv")
    good("convert", roster, tmp_path / "mine.ecsv", "--roster", "mine")
    (draco,) = Targets.read(tmp_path / "mine.ecsv")
    assert draco.log10_jfactor == 18.83


def test_conversions_that_can_not_be(castro, tmp_path):
    out = tmp_path / "out"
    bad("photon yields, masses and channels", "convert", SED, out, "--to", "gloryduck")
    bad("dmgammapy run", "convert", SED, tmp_path / "x.h5")
    bad("go back to the SED file", "convert", castro, out, "--to", "gadf")
    bad("no format of that ends with '.xyz'", "convert", SED, tmp_path / "a.xyz")
    bad("--roster has no use here", "convert", SED, tmp_path / "a.fits", "--roster", "x")
    bad("--position is for castro cubes", "convert", SED, tmp_path / "a.fits", "--position", "1 2")
    bad("unknown format 'fitz'", "convert", SED, tmp_path / "a.fits", "--from", "fitz")
    (tmp_path / "a.fits").write_text("precious")
    bad("replace it with --overwrite", "convert", SED, tmp_path / "a.fits")
    assert (tmp_path / "a.fits").read_text() == "precious"


# ---- info ----------------------------------------------------------------------------------------


def test_info(castro, tmp_path):
    text = good("info", castro, SED)
    for line in ("target          draco", "channels        b, tau", "J treatment     none yet",
                 "log10 J         18.8 [GeV2 cm-5]", "limits at 0.95  4 found"):  # fmt: skip
        assert line in text.splitlines()
    assert "bin-by-bin SED likelihood, format fermipy" in text
    config = good("info", EXAMPLE_FOLDER / "config.yaml")
    assert "24, 6 to 10000 GeV" in config
    (tmp_path / "empty").mkdir()
    bad("a folder without results", "info", tmp_path / "empty")
    (tmp_path / "x.txt").write_text("just words\n")
    done = call("info", tmp_path / "x.txt", castro)
    assert done.exit_code == 2
    assert "not recognised. Tried" in done.stderr
    assert "draco" in done.stdout  # the others are told all the same


def test_info_of_reference_files(test_data):
    castro = good("info", test_data / "fermipy" / "castro.fits")
    assert "format fermipy-castro" in castro
    assert "rows     26" in castro
    master = test_data / "fermipy" / "dmpipe_example" / "config" / "master_dSphs.yaml"
    assert "configuration of dmpipe" in good("info", master)


# ---- targets and spectra -------------------------------------------------------------------------


def test_targets(tmp_path):
    rosters = good("targets").splitlines()
    assert [line for line in rosters if line.startswith("ackermann2015_dsphs")]
    table = read_ecsv(good("targets", "ackermann2015_dsphs", "--format", "ecsv"))
    assert len(table) == 15
    assert table["log10_jfactor"][list(table["name"]).index("draco")] == 18.83
    assert "draco  ackermann2014_nfw" in good("targets", "draco")
    path = tmp_path / "own.ecsv"
    good("targets", "ackermann2015_dsphs", "-o", path)
    assert len(Targets.read(path)) == 15
    bad("Did you mean ackermann2015_dsphs", "targets", "ackerman2015_dsphs")


def test_unknown_jfactors_are_named():
    done = call("targets", "pace2018_all")
    assert "Unknown for 14 of 44:" in done.stderr
    assert "virgo_I:pace2018_photoj_nfw: log10_jfactor_err" in done.stderr


def test_spectra():
    assert "dmfit" in good("spectra")
    assert good("spectra", "dmfit").splitlines()[3].split()[:2] == ["b", "6"]
    table = read_ecsv(good("spectra", "dmfit", "--channel", "b", "--channel", "tau", "--mass",
                           "100 GeV", "--quantity", "flux", "--energy", "1 GeV", "100 GeV",
                           "--n", "1", "--format", "ecsv"))  # fmt: skip
    # the numbers of photons in the docstring of read_spectra, there by another path
    assert (round(table["b"][0], 2), round(table["tau"][0], 2)) == (13.62, 2.23)
    done = call("spectra", "dmfit", "--channel", "t", "--mass", "100 GeV")
    assert "no spectrum at 100 GeV (below the threshold): t" in done.stderr
    bad("--channel and --energy need --mass", "spectra", "dmfit", "--channel", "b")
    bad("neither one of pppc4", "spectra", "pppc5")


# ---- simulate ------------------------------------------------------------------------------------

SIMULATE = ("simulate", SED, EXAMPLE_FOLDER / "sed_segue_1.fits", "--targets",
            "ackermann2015_dsphs", "--expectations", EXAMPLE_FOLDER / "truth.ecsv")  # fmt: skip


def test_simulate(tmp_path):
    out = tmp_path / "sims"
    good(*SIMULATE, "--n", 2, "--seed", 1, "--sigmav", "1e-25 cm3 s-1", "-o", out)
    names = [f"sed_{t}_000{i}.fits" for t in ("draco", "segue_1") for i in (0, 1)]
    assert sorted(p.name for p in out.iterdir()) == [*names, "truth.ecsv"]
    truth = Table.read(out / "truth.ecsv", format="ascii.ecsv")
    assert list(truth["realisation"]) == [0, 0, 1, 1]
    # what is expected without a signal is the sum of the given table
    given = Table.read(EXAMPLE_FOLDER / "truth.ecsv", format="ascii.ecsv")
    background = given["background"][given["target"] == "draco"].sum()
    assert truth["npred"][0] - truth["npred_signal"][0] == pytest.approx(background)
    # signals of equal sigmav are to each other as J
    ratio = truth["npred_signal"][1] / truth["npred_signal"][0]
    assert ratio == pytest.approx(10 ** (19.51 - 18.83), rel=1e-3)
    bad("replace it with --overwrite", *SIMULATE, "-o", out)
    again = tmp_path / "again"
    good(*SIMULATE, "--n", 1, "--seed", 1, "--sigmav", "1e-25 cm3 s-1", "-o", again, "-q")
    assert (again / names[0]).read_bytes() == (out / names[0]).read_bytes()


def test_wrong_simulations(tmp_path):
    out = tmp_path / "sims"
    stranger = tmp_path / "other.fits"
    shutil.copy(SED, stranger)
    bad("--sigmav: expected a cross-section", *SIMULATE, "--sigmav", "3", "-o", out)
    bad("Give it, --expectations, or take --power-law", "simulate", SED, "--targets",
        "ackermann2015_dsphs", "-o", out)  # fmt: skip
    bad(
        "nor that of the file is a target",
        "simulate",
        stranger,
        "--targets",
        _roster(tmp_path),
        "-o",
        out,
    )
    assert not out.exists()


def _roster(tmp_path):
    path = tmp_path / "test.yaml"
    path.write_text("test: ['segue_1:ackermann2014_nfw']\n")
    return path


# ---- convert-config ------------------------------------------------------------------------------


def test_convert_config(test_data, tmp_path):
    master = test_data / "fermipy" / "dmpipe_example" / "config" / "master_dSphs.yaml"
    out = tmp_path / "analysis.yaml"
    done = call("convert-config", master, "-o", out)
    assert (done.exit_code, done.stdout) == (0, f"Written: {out}\n")
    assert done.stderr.splitlines()[0] == "Not translated, or with another meaning here:"
    assert "mass grid" in good("info", out)
    bad("--overwrite", "convert-config", master, "-o", out)
    assert "rosters:" in good("convert-config", master)
    bad("no such configuration file", "convert-config", tmp_path / "none.yaml")
