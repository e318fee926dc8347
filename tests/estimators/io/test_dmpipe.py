"""dmpipe's own likelihoods and limits, our export of its layout, damage."""

import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from dmgammapy.estimators import CastroMaps, LimitStatus, StackedDMLikelihood
from dmgammapy.estimators.io import read_dmpipe_limits
from dmgammapy.modeling import JFactorPrior

TARGET = "golden/dmlike_null_lgauss_like_00.fits"
STACK = "golden/stack_results_null_none.fits"
LIMITS = "golden/stack_limits_null_none.fits"
RISE = 2.705543454  # chi2.ppf(0.9, 1)
HDU_NAMES = dict(
    zip(
        ["e", "mu", "tau", "b", "t", "g", "W", "Z", "c", "u", "d", "s"],
        ["ee", "mumu", "tautau", "bb", "tt", "gg", "ww", "zz", "cc", "uu", "dd", "ss"],
        strict=True,
    )
)  # fmt: skip


@pytest.fixture
def masses(test_data):
    """Masses dmpipe has kept of the channels that lost some: those with a limit."""
    with np.load(test_data / "golden/dmpipe_null_none.npz") as numbers:
        names, every = list(numbers["channels"]), numbers["masses"]
        limits = {c: numbers["stack_ul95"][names.index(n)] for c, n in HDU_NAMES.items()}
    return {c: every[np.isfinite(limits[c])] * u.GeV for c in ("t", "W")}


def dmpipe_numbers(test_data, prior, name, channels):
    """What dmpipe found, array (channel, mass)."""
    with np.load(test_data / f"golden/dmpipe_null_{prior}.npz") as numbers:
        names = list(numbers["channels"])
        values = numbers[name][0] if name.startswith("single") else numbers[name]
        return values[[names.index(HDU_NAMES[c]) for c in channels]]


def upper_limit(norm, dloglike, interpolate):
    """95 % limit from one row of a file, in units of its reference."""
    rise = 2 * (dloglike.max() - dloglike)
    above = np.flatnonzero(rise <= RISE)[-1]
    curve = interpolate(norm, rise)
    return brentq(lambda x: curve(x) - RISE, norm[above], norm[above + 1])


def linear(norm, rise):
    return lambda x: np.interp(x, norm, rise)


def cubic(norm, rise):
    good = norm > 0
    spline = CubicSpline(np.log(norm[good]), rise[good])
    return lambda x: float(spline(np.log(x)))


# ---- dmpipe's files ------------------------------------------------------------------------------


def test_read_target(test_data, masses):
    castro = CastroMaps.read(test_data / TARGET, masses=masses, target="target_00")
    with np.load(test_data / "golden/truth.npz") as truth:
        observed, width = truth["log10J_obs"][0], truth["sigma_log10J"][0]
    assert castro.meta.log10_jfactor == pytest.approx(observed, abs=1e-12)
    assert castro.meta.prior.log10_jfactor == castro.meta.log10_jfactor
    assert (castro.meta.prior.err_low, castro.meta.prior.err_high) == (width, width)
    assert castro.meta.jfactor_method == "profile"
    assert (castro.meta.target, castro.meta.instrument) == ("target_00", "fermi-lat")
    assert castro.channels == list(HDU_NAMES)
    # the scan as in the file, behind the zero that was added
    with fits.open(test_data / TARGET) as hdus:
        row = hdus["BB"].data[0]
        norm, dloglike = row["norm_scan"][4], row["dloglike_scan"][4]
    np.testing.assert_allclose(castro.sigmav_scan[3, 4, 1:].value, 1e-26 * norm, rtol=1e-12)
    rise = castro.delta_stat[3, 4, 1:] - castro.delta_stat[3, 4, 1]
    np.testing.assert_allclose(rise, -2 * (dloglike - dloglike[0]), rtol=1e-9, atol=1e-9)


def test_masses_of_the_first_channel_only(test_data, masses):
    """MASSES holds 13 masses; tt has lost four and ww one, without a trace."""
    with pytest.raises(ValueError, match=r"masses of t \(has 9, MASSES 13\), W \(has 12") as error:
        CastroMaps.read(test_data / TARGET)
    assert "dmlike_null_lgauss_like_00.fits" in str(error.value)
    castro = CastroMaps.read(test_data / TARGET, channels=["tautau", "b"])
    assert castro.channels == ["tau", "b"]
    castro = CastroMaps.read(test_data / TARGET, masses=masses)
    nothing = castro["status"].data[..., 0, 0] == LimitStatus.NO_INFORMATION
    expected = np.zeros((12, 13), dtype=bool)
    expected[castro.channels.index("t"), :4] = expected[castro.channels.index("W"), 0] = True
    np.testing.assert_array_equal(nothing, expected)
    assert any("no information for W at 10 GeV" in note for note in castro.meta.notes)
    with pytest.raises(ValueError, match=r"t \(has 9, given 8\)"):
        CastroMaps.read(test_data / TARGET, masses=masses | {"t": masses["t"][1:]})
    with pytest.raises(ValueError, match=r"masses are given for \['h'\]"):
        CastroMaps.read(test_data / TARGET, masses={"h": masses["t"]})


@pytest.mark.parametrize(
    ("name", "prior", "key", "tolerance"),
    # dmpipe interpolates the 25 points per decade linearly, which makes its limits too strong
    [(TARGET, "lgauss_like", "single", 3.5e-3), (STACK, "none", "stack", 1e-2)],
)
def test_limits_of_dmpipe(test_data, masses, name, prior, key, tolerance):
    castro = CastroMaps.read(test_data / name, masses=masses)
    expected = dmpipe_numbers(test_data, prior, f"{key}_ul95", castro.channels)
    limit = castro.sigmav_ul.quantity.to_value("cm3 s-1")[..., 0, 0]
    np.testing.assert_array_equal(np.isnan(limit), np.isnan(expected))
    ratio = (limit / expected)[np.isfinite(expected)]
    assert ratio.max() < 1 + tolerance
    assert ratio.min() > 1 - 1e-3
    ts = dmpipe_numbers(test_data, prior, f"{key}_ts", castro.channels).clip(0)
    found = castro.ts.data[..., 0, 0]
    np.testing.assert_allclose(found[np.isfinite(found)], ts[np.isfinite(found)], atol=0.01)


@pytest.mark.parametrize("name", [TARGET, STACK])
def test_limits_of_each_row(test_data, masses, name):
    """From the arrays of the file: our limits by a cubic spline, dmpipe's linearly."""
    castro = CastroMaps.read(test_data / name, masses=masses)
    prior, key = ("lgauss_like", "single") if name == TARGET else ("none", "stack")
    theirs = dmpipe_numbers(test_data, prior, f"{key}_ul95", castro.channels)
    limit = castro.sigmav_ul.quantity.to_value("cm3 s-1")[..., 0, 0]
    with fits.open(test_data / name) as hdus:
        for i, channel in enumerate(castro.channels):
            row = hdus[HDU_NAMES[channel]].data[0]
            rows = np.flatnonzero(np.isfinite(limit[i]))
            for j, norm, dloglike in zip(rows, row["norm_scan"], row["dloglike_scan"], strict=True):
                assert limit[i, j] == pytest.approx(
                    1e-26 * upper_limit(norm, dloglike, cubic), rel=1e-5
                )
                if key == "single":
                    assert theirs[i, j] == pytest.approx(
                        1e-26 * upper_limit(norm, dloglike, linear), rel=1e-6
                    )


def test_stack_file(test_data, masses):
    castro = CastroMaps.read(test_data / STACK, masses=masses)
    assert castro.meta.target is None
    assert castro.meta.log10_jfactor is None
    assert castro.meta.jfactor_method == "fixed"  # none in the file name
    # ln L at the best fit as dmpipe found it
    offset = dmpipe_numbers(test_data, "none", "stack_offset", castro.channels)
    known = np.isfinite(offset)
    # 0.01: between its grid points the likelihood is a bit better still
    np.testing.assert_allclose(
        castro["stat"].data[..., 0, 0][known], 2 * offset[known], rtol=0, atol=0.02
    )
    with pytest.raises(ValueError, match="does not say which target"):
        StackedDMLikelihood([castro])


def test_read_limits(test_data, masses):
    table = read_dmpipe_limits(test_data / LIMITS, masses=masses)
    assert table.colnames == ["channel", "mass", "sigmav", "sigmav_ul_0.68", "sigmav_ul_0.95"]
    for column, key in {
        "sigmav": "mle",
        "sigmav_ul_0.68": "ul68",
        "sigmav_ul_0.95": "ul95",
    }.items():
        expected = dmpipe_numbers(test_data, "none", f"stack_{key}", list(HDU_NAMES))
        expected = expected[np.isfinite(expected)]
        np.testing.assert_array_equal(table[column].to_value("cm3 s-1"), expected)
    top = table[table["channel"] == "t"]
    np.testing.assert_array_equal(top["mass"], masses["t"])
    with pytest.raises(ValueError, match=r"stack_limits.*masses of t \(has 9, MASSES 13\)"):
        read_dmpipe_limits(test_data / LIMITS)
    with pytest.raises(ValueError, match="use read_dmpipe_limits"):
        CastroMaps.read(test_data / LIMITS)
    with pytest.raises(ValueError, match="EE: missing column mles"):
        read_dmpipe_limits(test_data / STACK)


def test_names_of_dmpipe(test_data, tmp_path):
    """The folder is the target in dmpipe's tree, and the file name tells the prior."""
    folder = tmp_path / "dSphs" / "draco"
    folder.mkdir(parents=True)
    for name, target in {
        "dmlike_ack2016_point_lgauss_like.fits": "draco",
        "dmlike_ack2016_point_none_000003.fits": "draco",
        "dmlike_mine.fits": None,
    }.items():
        shutil.copyfile(test_data / TARGET, folder / name)
        assert CastroMaps.read(folder / name, channels="b").meta.target == target
    for name, method in {
        "results_dsphs_none.fits": "fixed",
        "results_dsphs_lgauss_like_000001.fits": "profile",
        "results_dsphs_lgauss.fits": "profile",
        "results.fits": None,
    }.items():
        shutil.copyfile(test_data / STACK, folder / name)
        castro = CastroMaps.read(folder / name, channels="b")
        assert castro.meta.jfactor_method == method
        notes = " ".join(castro.meta.notes)
        assert ("'lgauss' is not the Gaussian likelihood" in notes) == (
            name == "results_dsphs_lgauss.fits"
        )
        assert ("does not say how" in notes) == (name == "results.fits")
    castro = CastroMaps.read(folder / "results.fits", channels="b", jfactor_method="marginal")
    assert castro.meta.jfactor_method == "marginal"


# ---- export --------------------------------------------------------------------------------------


def assert_close(one, two):
    """Same numbers to 1e-12."""
    assert one.channels == two.channels
    np.testing.assert_allclose(one.masses, two.masses, rtol=1e-12)
    np.testing.assert_allclose(one.strength_scan, two.strength_scan, rtol=1e-12)
    np.testing.assert_allclose(one.delta_stat, two.delta_stat, rtol=1e-12, atol=1e-12)
    for name in ("stat", "ts", "status"):
        np.testing.assert_allclose(one[name].data, two[name].data, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(one.strength_ul.data, two.strength_ul.data, rtol=1e-9)
    for name in ("target", "instrument", "process", "jfactor_method", "cl"):
        assert getattr(one.meta, name) == getattr(two.meta, name)
    if one.meta.log10_jfactor is not None:
        assert one.meta.log10_jfactor == pytest.approx(two.meta.log10_jfactor, abs=1e-12)


@pytest.mark.parametrize("method", [None, "profile"])
def test_export(make_castro, tmp_path, method):
    castro = make_castro(
        channels=["b", "tau"], prior=JFactorPrior(19.36, 0.3), jfactor_method=method
    )
    castro["stat"].data += 123.4
    castro["stat_null"].data += 123.4
    castro.write(tmp_path / "a.fits", format="dmpipe")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert_close(castro, back)
    assert back.meta.prior.log10_jfactor == pytest.approx(19.36, abs=1e-12)
    assert back.meta.prior.err_low == 0.3
    with fits.open(tmp_path / "a.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "BB", "TAUTAU", "MASSES"]
        row = hdus["BB"].data[0]
        assert row["norm_scan"].shape == (3, 322)
        assert row["astro_value"] == pytest.approx(10**19.36)
        assert row["ref_sigmav"] == 1e-26
        assert row["prior_type"] == "lgauss_like"
        assert row["prior_applied"] == (method == "profile")
        assert hdus["MASSES"].data["channel"] == [4]
        # 1 sigma above the peak of 1: stat = 1, ln L = -1/2
        norm = row["norm_scan"][1]
        dloglike = np.interp(2.0, norm, row["dloglike_scan"][1])
        assert dloglike == pytest.approx(-0.5, abs=1e-3)


def test_export_of_a_stack_and_of_empty_masses(make_castro, tmp_path):
    castros = [make_castro(channels=["b", "t"], target=name) for name in ("draco", "segue_1")]
    data = {}
    for castro in castros:
        castro["status"].data[1, 0] = LimitStatus.NO_INFORMATION
        castro["stat_scan"].data[1, 0] = 0
        for name in ("norm", "norm_err", "norm_ul", "ts", "stat", "stat_null"):
            castro[name].data[1, 0] = np.nan
        data[castro.meta.target] = castro
    combined = StackedDMLikelihood(castros, method="fixed").run()
    combined.meta.instrument = "cta"
    combined.write(tmp_path / "a.fits", format="dmpipe")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert_close(combined, back)
    assert back["status"].data[1, 0].item() == LimitStatus.NO_INFORMATION
    assert back.meta.log10_jfactor is None


def test_export_of_dmpipes_own_file(test_data, tmp_path, masses):
    castro = CastroMaps.read(test_data / TARGET, channels=["b", "tau"], target="t0")
    castro.write(tmp_path / "a.fits", format="dmpipe")
    assert_close(castro, CastroMaps.read(tmp_path / "a.fits"))
    with fits.open(tmp_path / "a.fits") as ours, fits.open(test_data / TARGET) as theirs:
        for name in ours["BB"].columns.names:
            mine, own = ours["BB"].data[name][0], theirs["BB"].data[name][0]
            if name == "dloglike_offset":
                continue
            if name == "dloglike_scan":  # the zero that was added may be the new maximum
                mine = mine + ours["BB"].data["dloglike_offset"][0][:, None]
                own = own + theirs["BB"].data["dloglike_offset"][0][:, None]
            if name in ("norm_scan", "dloglike_scan"):
                mine = mine[:, 1:]
            if np.asarray(own).dtype.kind == "f":
                np.testing.assert_allclose(mine, own, rtol=1e-12, atol=1e-9)
            else:
                assert mine == own


def test_export_of_decay(make_castro, tmp_path):
    castro = make_castro(process="decay", log10_jfactor=18.0)
    castro.write(tmp_path / "a.fits", format="dmpipe")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert_close(castro, back)
    assert any("end at m instead of m / 2" in note for note in back.meta.notes)
    with fits.open(tmp_path / "a.fits") as hdus:
        assert hdus[1].name == "BB_DECAY"
        row = hdus[1].data[0]
        # the flux in units of that at tau = 1e26 s: a rate of 2e-26 / s is twice of it
        assert row["ref_tau"] == 1e26
        gamma = castro.strength_scan.to_value("s-1")[0]
        np.testing.assert_allclose(row["norm_scan"], gamma * 1e26, rtol=1e-12)
        assert hdus["MASSES"].data["channel"] == [104]


def test_limits_of_decay(tmp_path):
    """What dmpipe calls a limit on tau is the limit on the flux times ref_tau."""
    tau, limit = 1e26, np.array([0.5, 2.0])  # times the flux at ref_tau
    columns = [fits.Column(n, "D", array=[v]) for n, v in
               {"astro_value": 1e18, "ref_D": 1e17, "ref_tau": tau}.items()]  # fmt: skip
    columns += [fits.Column(n, "2D", dim="(2)", array=[v * tau]) for n, v in
                {"mles": 0 * limit, "ll_0.95": limit}.items()]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns, name="BB_DECAY")
    m = [fits.Column("masses", "2D", dim="(2)", array=[[10.0, 100.0]]),
         fits.Column("channel", "K", array=[104])]  # fmt: skip
    fits.HDUList(
        [fits.PrimaryHDU(), table, fits.BinTableHDU.from_columns(m, name="MASSES")]
    ).writeto(tmp_path / "dmlimits.fits")
    found = read_dmpipe_limits(tmp_path / "dmlimits.fits")
    assert found.colnames == ["channel", "mass", "gamma", "gamma_ul_0.95", "tau_ll_0.95"]
    np.testing.assert_allclose(found["tau_ll_0.95"].to_value("s"), tau / limit)
    assert found.meta["log10_jfactor"] == 18


def test_both_processes(make_castro, tmp_path):
    make_castro().write(tmp_path / "a.fits", format="dmpipe")
    make_castro(process="decay", log10_jfactor=18.0).write(tmp_path / "b.fits", format="dmpipe")
    with fits.open(tmp_path / "a.fits") as a, fits.open(tmp_path / "b.fits") as b:
        fits.HDUList([a[0], a[1], b[1], a[2]]).writeto(tmp_path / "c.fits")
    with pytest.raises(ValueError, match="both annihilation and decay; choose with process="):
        CastroMaps.read(tmp_path / "c.fits")
    for process in ("annihilation", "decay"):
        assert CastroMaps.read(tmp_path / "c.fits", process=process).process == process
    with pytest.raises(ValueError, match="no channel of 'decay'"):
        CastroMaps.read(tmp_path / "a.fits", process="decay")


def test_export_refuses_what_the_layout_cannot_say(make_castro, tmp_path):
    for castro, message in [
        (make_castro(channels=["b", "gamma"]), "no channel gamma"),
        (make_castro(jfactor_method="marginal"), "marginal"),
        (make_castro(prior=JFactorPrior(19.36, (0.2, 0.3))), "symmetric"),
    ]:
        with pytest.raises(ValueError, match=f"a.fits: .*{message}"):
            castro.write(tmp_path / "a.fits", format="dmpipe")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "applied", "has_prior", "note"),
    [
        ("lgauss_like", True, True, None),
        ("lgauss_log", False, True, None),
        ("lgauss", True, False, "'lgauss' is not the Gaussian likelihood.*It is applied"),
        ("lognorm", False, False, "'lognorm' is not.*not applied; give prior="),
    ],
)
def test_kinds_of_priors(make_castro, tmp_path, kind, applied, has_prior, note):
    path = tmp_path / "a.fits"
    method = "profile" if applied else None
    make_castro(prior=JFactorPrior(19.36, 0.3), jfactor_method=method).write(path, format="dmpipe")
    with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
        hdus[1].data["prior_type"] = kind
        hdus[1].header.remove("JMETHOD", ignore_missing=True)
        hdus.writeto(path, overwrite=True)
    castro = CastroMaps.read(path)
    assert (castro.meta.prior is not None) == has_prior
    assert castro.meta.jfactor_method == method
    if note:
        with pytest.raises(AssertionError, match=note):
            raise AssertionError(" ".join(castro.meta.notes))
    given = CastroMaps.read(path, prior=JFactorPrior(19.3, 0.1))
    assert given.meta.prior.err_low == 0.1


# ---- damage --------------------------------------------------------------------------------------


def remove_hdu(name):
    return lambda hdus: hdus.pop(name)


def remove_column(name):
    def edit(hdus):
        table = hdus["TAUTAU"]
        kept = [c for c in table.columns if c.name != name]
        new = fits.BinTableHDU.from_columns(fits.ColDefs(kept), name="TAUTAU")
        hdus[hdus.index_of("TAUTAU")] = new

    return edit


def change(column, function, name="TAUTAU"):
    """Replace a column, its shape included, by a function of its single row."""

    def edit(hdus):
        table = hdus[name]
        values = np.asarray(function(np.array(table.data[column][0])))[None]
        columns = []
        for old in table.columns:
            if old.name != column:
                columns.append(old)
                continue
            dim = "(" + ",".join(str(n) for n in reversed(values.shape[1:])) + ")"
            dim = dim if values.ndim > 1 else None
            form = f"{values.size}D"
            columns.append(fits.Column(column, form, unit=old.unit, dim=dim, array=values))
        hdus[hdus.index_of(name)] = fits.BinTableHDU.from_columns(columns, name=name)

    return edit


def put(index, value):
    def function(values):
        values[index] = value
        return values

    return function


def unit(column, text, name="TAUTAU"):
    def edit(hdus):
        hdus[name].columns[column].unit = text

    return edit


def swap_points(values):
    values[:, [5, 6]] = values[:, [6, 5]]
    return values


def two_rows(hdus):
    table = hdus["TAUTAU"]
    table.data = np.concatenate([table.data, table.data])


def rename(hdus):
    hdus["TAUTAU"].name = "XX"


def double_hdu(hdus):
    copy = hdus["TAUTAU"].copy()
    copy.name = "TAU+TAU-"
    hdus.insert(2, copy)


def image(hdus):
    hdus[hdus.index_of("TAUTAU")] = fits.ImageHDU(np.zeros((3, 3)), name="TAUTAU")


DAMAGE = {
    "missing masses": (remove_hdu("MASSES"), "no HDU MASSES; found PRIMARY, BB, TAUTAU"),
    "no channels": (
        lambda hdus: (hdus.pop("BB"), hdus.pop("TAUTAU")), "the file holds no channel",
    ),
    "missing scan": (remove_column("norm_scan"), "HDU TAUTAU: missing column norm_scan"),
    "missing offset": (remove_column("dloglike_offset"), "HDU TAUTAU: missing column 'dloglike_of"),
    "missing J": (remove_column("astro_value"), "HDU TAUTAU: missing column 'astro_value'"),
    "missing reference": (remove_column("ref_sigmav"), "HDU TAUTAU: missing column 'ref_sigmav'"),
    "missing prior width": (remove_column("prior_sigma"), "TAUTAU: missing column 'prior_sigma'"),
    "missing prior flag": (remove_column("prior_applied"), "missing column 'prior_applied'"),
    "wrong shape": (change("norm_scan", lambda v: v[:, :100]), "do not fit each other"),
    "flat shape": (change("dloglike_scan", lambda v: v[0]), "dloglike_scan' must have 3 dim"),
    "lost mass": (
        lambda hdus: [change(c, lambda v: v[1:])(hdus) for c in
                      ("norm_scan", "dloglike_scan", "dloglike_offset")],
        r"masses of tau \(has 2, MASSES 3\)",
    ),
    "nan": (change("dloglike_scan", put((1, 7), np.nan)), r"mass 1 \(100 GeV\), point 7.*finite"),
    "nan norm": (change("norm_scan", put((1, 7), np.nan)), "norm_scan, mass 1, point 7"),
    "nan offset": (change("dloglike_offset", put(1, np.nan)), "dloglike_offset of mass 1 is nan"),
    "negative norm": (change("norm_scan", put((1, 0), -1.0)), "mass 1, point 0: .*>= 0"),
    "unsorted norms": (change("norm_scan", swap_points), "mass 0, point 6: .*out of order"),
    "duplicated norms": (
        change("norm_scan", lambda v: np.where(np.arange(v.shape[1]) == 6, v[:, 5:6], v)),
        "mass 0, point 6: .*comes twice",
    ),
    "gap": (
        lambda hdus: [change(c, lambda v: np.delete(v, slice(40, 45), axis=1))(hdus) for c in
                      ("norm_scan", "dloglike_scan")],
        "mass 0, point 40: rows are missing",
    ),
    "sign": (change("dloglike_scan", lambda v: -v), r"HDU TAUTAU: .*can't be positive.*-ln L"),
    "one row shifted": (
        change("norm_scan", lambda v: v * np.linspace(1, 2, v.shape[1]) ** [[0], [0], [1]]),
        "HDU TAUTAU: its signal strengths are not those of",
    ),
    "other number of points": (
        lambda hdus: [change(c, lambda v: v[:, :-3])(hdus) for c in
                      ("norm_scan", "dloglike_scan")],
        "HDU TAUTAU: 319 signal strengths, but 322 in .*HDU BB",
    ),
    "unsorted masses": (
        change("masses", lambda v: v[[1, 0, 2]], "MASSES"), "MASSES: masses must ascend, but 100",
    ),
    "duplicated mass": (change("masses", put(1, 10.0), "MASSES"), "MASSES: .*10 comes twice"),
    "negative mass": (change("masses", put(0, -10.0), "MASSES"), "MASSES: masses must be positive"),
    "wrong mass unit": (unit("masses", "cm", "MASSES"), "column 'masses' has the unit 'cm'"),
    "garbage unit": (unit("ref_sigmav", "furlong"), "ref_sigmav': 'furlong' is not a unit"),
    "wrong unit": (unit("ref_sigmav", "s"), "column 'ref_sigmav' has the unit 's'"),
    "zero reference": (change("ref_sigmav", lambda v: v * 0), "ref_sigmav must be positive"),
    "log10 J": (
        lambda hdus: [change("astro_value", lambda v: np.array(19.36), n)(hdus) for n in
                      ("BB", "TAUTAU")],
        "astro_value: log10 of the J-factor",
    ),
    "two targets": (
        change("astro_value", lambda v: 2 * v), "HDU TAUTAU: astro_value is .* two targets mixed",
    ),
    "two priors": (change("prior_sigma", lambda v: 2 * v), "HDU TAUTAU: prior is .*two targets"),
    "prior of a ratio": (
        lambda hdus: [change("prior_mean", lambda v: np.array(1.0), n)(hdus) for n in
                      ("BB", "TAUTAU")],
        "the prior must be that of J itself",
    ),
    "negative width": (change("prior_sigma", lambda v: -v), "prior_sigma not negative"),
    "two rows": (two_rows, "HDU TAUTAU: expected one row, got 2"),
    "unknown channel": (rename, "HDU XX: Unknown channel 'xx'"),
    "duplicated channel": (double_hdu, "the channel tau comes twice"),
    "image": (image, "HDU TAUTAU: expected a binary table"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(make_castro, tmp_path, name):
    edit, message = DAMAGE[name]
    path = tmp_path / "dmlike.fits"
    make_castro(channels=["b", "tau"], prior=JFactorPrior(19.36, 0.3)).write(path, format="dmpipe")
    with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
        edit(hdus)
        hdus.writeto(path, overwrite=True)
    with pytest.raises(ValueError, match=message) as error:
        CastroMaps.read(path, format="dmpipe")
    assert "dmlike.fits" in str(error.value)


def test_truncated(make_castro, tmp_path):
    path = tmp_path / "dmlike.fits"
    make_castro().write(path, format="dmpipe")
    content = path.read_bytes()
    for fraction in (0.1, 0.6, 0.95):
        path.write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(ValueError, match=r"dmlike\.fits: .*(damaged|no channel)"):
            CastroMaps.read(path, format="dmpipe")


LIMIT_DAMAGE = {
    "missing limits": (
        lambda hdus: [remove_column(n)(hdus) for n in ("ul_0.68", "ul_0.95")], "no column ul_<CL>",
    ),
    "missing best fit": (remove_column("mles"), "HDU TAUTAU: missing column mles"),
    "missing masses": (remove_hdu("MASSES"), "no HDU MASSES"),
    "nan": (change("ul_0.95", put(3, np.nan)), "TAUTAU, column ul_0.95: expected 13 numbers"),
    "negative": (change("ul_0.95", put(3, -1.0)), "TAUTAU, column ul_0.95: expected 13 numbers"),
    "wrong shape": (change("ul_0.95", lambda v: v[:5]), "TAUTAU, column ul_0.95: expected 13"),
    "unsorted": (change("masses", lambda v: v[::-1], "MASSES"), "MASSES: masses must ascend"),
    "duplicated": (change("masses", lambda v: v[[0, 0, *range(2, 13)]], "MASSES"), "comes twice"),
    "wrong unit": (unit("masses", "s", "MASSES"), "column 'masses' has the unit 's'"),
    "two rows": (two_rows, "HDU TAUTAU: expected one row, got 2"),
    "unknown channel": (rename, "HDU XX: Unknown channel"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMIT_DAMAGE)
def test_damaged_limits(test_data, tmp_path, name):
    edit, message = LIMIT_DAMAGE[name]
    path = tmp_path / "dmlimits.fits"
    with fits.open(test_data / LIMITS, memmap=False, lazy_load_hdus=False) as hdus:
        for lost in ("TT", "WW"):
            hdus.pop(lost)
        edit(hdus)
        hdus.writeto(path)
    with pytest.raises(ValueError, match=message) as error:
        read_dmpipe_limits(path)
    assert "dmlimits.fits" in str(error.value)
