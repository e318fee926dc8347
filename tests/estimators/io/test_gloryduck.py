"""Glory Duck tables: real ones against another combiner's limits, round trips, damage."""

import json

import astropy.units as u
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from dmgammapy.estimators import CastroMaps, LimitStatus, StackedDMLikelihood
from dmgammapy.estimators.io import read_gloryduck_channels
from dmgammapy.estimators.io.gloryduck import parse_name
from dmgammapy.modeling import JFactorPrior

WIDTHS = {"Segue1": 0.35, "UrsaMajorII": 0.42}  # dex, README of the reference data


@pytest.fixture
def tables(test_data):
    """The two real tables."""
    return [CastroMaps.read(test_data / "lklcom" / f"bb_{name}_IACT.txt") for name in WIDTHS]


def test_read(tables):
    castro = tables[0]
    assert (castro.meta.target, castro.meta.instrument) == ("Segue1", "IACT")
    assert castro.channels == ["b"]
    assert castro.meta.log10_jfactor == 19.36
    assert castro.meta.jfactor_method is None
    expected = [100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000]
    np.testing.assert_allclose(castro.masses.to_value("GeV"), expected, rtol=1e-12)
    # first and last number of the second line of the file
    strength = castro.sigmav_scan[0].to_value("cm3 s-1")
    assert strength[0, -1] == pytest.approx(1e-18, rel=1e-12)
    assert castro.delta_stat[0, 0, -1] == pytest.approx(3195830.6, rel=1e-12)


@pytest.mark.parametrize("treatment", ["fixed", "profile"])
def test_limits_of_lklcom(test_data, tables, treatment):
    """Stacked limits at a rise of 2.71 as lklcom 0.5.4 gives them."""
    expected = json.loads((test_data / "lklcom" / "expected.json").read_text())
    if treatment == "fixed":
        stack = StackedDMLikelihood(tables, method="fixed")
        key = "ul95_fixed_J"
    else:
        logj = {c.meta.target: c.meta.log10_jfactor for c in tables}
        priors = {name: JFactorPrior(logj[name], width) for name, width in WIDTHS.items()}
        stack = StackedDMLikelihood(tables, priors=priors)
        key = "ul95_J_profiled"
    limit = stack.run().upper_limit(delta_stat=2.71).quantity.to_value("cm3 s-1").ravel()
    np.testing.assert_allclose(limit, expected[key], rtol=5e-4)


def test_limits_of_one_table_by_spline(test_data, tables):
    """A cubic spline through the numbers of the file, in log10 sigmav."""
    for castro in tables:
        table = np.loadtxt(castro.meta.origin, skiprows=1)[::-1]
        x = np.log10(table[:, 0])
        limit = castro.upper_limit(delta_stat=2.71).quantity.to_value("cm3 s-1").ravel()
        for column, found in zip(table.T[1:], limit, strict=True):
            curve = CubicSpline(x, column)
            grid = np.linspace(x[0], x[-1], 400_001)
            best = min(curve(grid).min(), column.min())
            above = np.flatnonzero(curve(grid) - best < 2.71)[-1]
            root = brentq(lambda v, c=curve, b=best: c(v) - b - 2.71, grid[above], grid[above + 1])
            assert np.log10(found) == pytest.approx(root, abs=1e-4)


def test_write_gives_the_numbers_of_the_file(test_data, tables, tmp_path):
    for castro in tables:
        name = f"bb_{castro.meta.target}_IACT.txt"
        castro.write(tmp_path / name, format="gloryduck")
        original = (test_data / "lklcom" / name).read_text().split()
        written = (tmp_path / name).read_text().split()
        assert [float(word) for word in written] == [float(word) for word in original]
        back = CastroMaps.read(tmp_path / name)
        np.testing.assert_array_equal(back["stat_scan"].data, castro["stat_scan"].data)
        np.testing.assert_array_equal(back.norm_axis.center, castro.norm_axis.center)


def test_write_of_different_grids(make_stacked, tmp_path):
    """Masses on their own lattices come to one grid; limits stay those of the Gaussian."""
    make_stacked(peak=0.5).write(tmp_path / "bb_Segue1_IACT.txt", format="gloryduck")
    back = CastroMaps.read(tmp_path / "bb_Segue1_IACT.txt")
    sigma = 1e-26 * back.masses.to_value("GeV") / 100
    limit = back.sigmav_ul.quantity.to_value("cm3 s-1").ravel()
    np.testing.assert_allclose(limit, sigma * (0.5 + np.sqrt(2.7055)), rtol=1e-4)
    np.testing.assert_allclose(back.ts.data.ravel(), 0.25, rtol=1e-3)


@pytest.mark.parametrize("lowest", [1e-30, 1.03e-30, 1.77e-30])
@pytest.mark.parametrize("method", ["fixed", "profile"])
def test_stack_of_any_grid(make_castro, tmp_path, lowest, method):
    """Grids that do not lie on the stack's own lattice, with a Gaussian likelihood."""
    path = tmp_path / "bb_Segue1_IACT.txt"
    grid = np.append(0, np.geomspace(lowest, 0.93e-22, 301))
    make_castro(peak=0, grid=grid).write(path, format="gloryduck")
    castro = CastroMaps.read(path, prior=JFactorPrior(19.36, 0.3))
    result = StackedDMLikelihood([castro], method=method).run()
    sigma = 1e-26 * castro.masses.to_value("GeV") / 100
    expected = np.sqrt(2.7055434)
    if method == "profile":
        # (s 10^y)^2 + (y / 0.3)^2 at its lowest y
        def rise(strength):
            y = np.linspace(-1, 0, 20_001)
            return ((strength * 10**y) ** 2 + (y / 0.3) ** 2).min() - 2.7055434

        expected = brentq(rise, 1, 10)
    limit = result.sigmav_ul.quantity.to_value("cm3 s-1").ravel()
    np.testing.assert_allclose(limit, sigma * expected, rtol=2e-4)


def test_write_keeps_zero_signal(make_castro, tmp_path):
    """A grid that begins at the peak: what lies below is not lost to the reader."""
    grid = np.append(0, np.geomspace(0.9e-26, 1e-24, 101))
    castro = make_castro(masses=[100] * u.GeV, peak=1.5, grid=grid)
    castro.write(tmp_path / "bb_Segue1_IACT.txt", format="gloryduck")
    back = CastroMaps.read(tmp_path / "bb_Segue1_IACT.txt")
    assert back.ts.data.item() == pytest.approx(1.5**2, rel=2e-3)
    assert back.ts.data.item() == pytest.approx(castro.ts.data.item(), rel=1e-9)
    assert back.meta.notes == [] or "TS is uncertain" in back.meta.notes[0]


def test_channels_in_one_go(make_castro, tmp_path):
    castro = make_castro(channels=["b", "tau", "gamma"])
    castro.write(tmp_path / "{channel}_{target}_IACT.txt", format="gloryduck")
    paths = [tmp_path / f"{c}_Segue1_IACT.txt" for c in ("bb", "tautau", "gammagamma")]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    back = read_gloryduck_channels(paths, prior=JFactorPrior(19.36, 0.3))
    assert back.channels == ["b", "tau", "gamma"]
    assert back.meta.prior.err_low == 0.3
    np.testing.assert_allclose(
        back.sigmav_ul.quantity.value, castro.sigmav_ul.quantity.value, rtol=1e-6
    )


def test_channels_with_different_masses(make_castro, tmp_path):
    grid = np.append(0, np.geomspace(1e-32, 1e-22, 321))
    make_castro(grid=grid).write(tmp_path / "bb_Segue1_IACT.txt", format="gloryduck")
    make_castro(channels=["t"], masses=[1000, 3000] * u.GeV, grid=grid).write(
        tmp_path / "tt_Segue1_IACT.txt", format="gloryduck"
    )
    back = read_gloryduck_channels(sorted(tmp_path.iterdir()))
    assert back.channels == ["b", "t"]
    np.testing.assert_allclose(back.masses.value, [10, 100, 1000, 3000])
    nothing, found = LimitStatus.NO_INFORMATION, LimitStatus.FOUND
    expected = [[found, found, found, nothing], [nothing, nothing, found, found]]
    np.testing.assert_array_equal(back["status"].data[..., 0, 0], expected)
    assert any("no information for t at 10, 100 GeV" in note for note in back.meta.notes)


def test_constant_columns_hold_no_information(make_castro, tmp_path):
    castro = make_castro()
    castro.write(tmp_path / "WW_Segue1_IACT.txt", format="gloryduck", check_name=False)
    lines = (tmp_path / "WW_Segue1_IACT.txt").read_text().splitlines()
    words = [line.split() for line in lines]
    text = "\n".join(" ".join([w[0], "0", *w[2:]]) for w in words[1:])
    (tmp_path / "WW_Segue1_IACT.txt").write_text(f"{lines[0]}\n{text}\n")
    back = CastroMaps.read(tmp_path / "WW_Segue1_IACT.txt")
    assert back["status"].data.ravel().tolist() == [3, 0, 0]
    assert np.isnan(back.sigmav_ul.data.ravel()[0])


def test_decay(make_castro, tmp_path):
    castro = make_castro(process="decay", log10_jfactor=18.0)
    castro.write(tmp_path / "bb_Segue1_IACT.txt", format="gloryduck")
    back = CastroMaps.read(tmp_path / "bb_Segue1_IACT.txt", process="decay")
    assert back.tau_ll.unit == "s"
    np.testing.assert_allclose(back.gamma_ul.data, castro.gamma_ul.data, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bb_Segue1_IACT.txt", ("b", "Segue1", "IACT", None)),
        ("WW_Draco_Fermi-LAT_12.txt", ("W", "Draco", "Fermi-LAT", "12")),
        ("nu_e_Draco_IceCube.txt", ("nu_e", "Draco", "IceCube", None)),
        ("gg_LeoII_HAWC.txt.gz", ("g", "LeoII", "HAWC", None)),
    ],
)
def test_names(name, expected):
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    "name",
    ["Segue1_IACT.txt", "bb_Segue1.txt", "xx_Segue1_IACT.txt", "bb_a_b_c_d.txt", "bb__IACT.txt"],
)
def test_other_names_need_help(make_castro, tmp_path, name):
    with pytest.raises(ValueError, match="give channel=, target= and instrument="):
        parse_name(name)
    path = tmp_path / name
    make_castro().write(path, format="gloryduck", check_name=False)
    with pytest.raises(ValueError, match=name):
        CastroMaps.read(path)
    back = CastroMaps.read(path, channel="bb", target="segue_1", instrument="cta")
    assert (back.channels, back.meta.target, back.meta.instrument) == (["b"], "segue_1", "cta")


# ---- what can't be written -----------------------------------------------------------------------


def test_write_refuses_what_a_reader_would_get_wrong(make_castro, make_stacked, tmp_path):
    path = tmp_path / "bb_Segue1_IACT.txt"
    cases = [
        (make_castro(channels=["b", "tau"]), path, r"one channel.*\{channel\}"),
        (make_castro(jfactor_method="profile"), path, "treated"),
        (make_castro(log10_jfactor=None), path, "needs J"),
        (make_castro(target="segue_1"), path, "target= and"),
        (make_castro(), tmp_path / "tautau_Segue1_IACT.txt", "bb_Segue1_IACT.txt"),
        (make_castro(), tmp_path / "results.txt", "file name must tell"),
    ]
    for castro, target, message in cases:
        with pytest.raises(ValueError, match=message):
            castro.write(target, format="gloryduck")
    short = make_castro(per_mass=True, grid=np.append(0, np.geomspace(1e-29, 3.5e-26, 81)))
    with pytest.raises(ValueError, match="b, 10 GeV.*slice_by_mass"):
        short.write(path, format="gloryduck")
    assert list(tmp_path.iterdir()) == []


def test_other_names_for_the_file(make_castro, tmp_path):
    castro = make_castro(target="segue_1", instrument="cta_north")
    path = tmp_path / "{channel}_{target}_{instrument}.txt"
    castro.write(path, format="gloryduck", target="segue1", instrument="CTA")
    assert [p.name for p in tmp_path.iterdir()] == ["bb_segue1_CTA.txt"]


# ---- damage --------------------------------------------------------------------------------------


def edit_words(line, column, word):
    def edit(rows):
        rows[line - 1][column - 1] = word
        return rows

    return edit


def drop(*lines):
    return lambda rows: [row for number, row in enumerate(rows, 1) if number not in lines]


def swap_lines(rows):
    rows[4], rows[5] = rows[5], rows[4]
    return rows


def negate(rows):
    return [rows[0], *([row[0], *(f"-{w}" for w in row[1:])] for row in rows[1:])]


DAMAGE = {
    "missing column": (lambda rows: [*rows[:9], rows[9][:-1], *rows[10:]], "line 10: expected 4"),
    "missing header": (lambda rows: rows[1:], "line 1: log10 of the J-factor"),
    "header of J itself": (edit_words(1, 1, "2.3e19"), "line 1: .*Is it J itself"),
    "nan": (edit_words(12, 3, "nan"), r"line 12, column 3 \(100 GeV\).*finite"),
    "infinite": (edit_words(12, 3, "inf"), "line 12, column 3 .*finite"),
    "nan strength": (edit_words(12, 1, "nan"), "line 12: the signal strength"),
    "garbage word": (edit_words(7, 2, "3.1x"), "line 7, column 2: '3.1x' is not a number"),
    "unsorted strengths": (swap_lines, r"line [56]: the signal strength .*out of order"),
    "ascending": (lambda rows: [rows[0], *rows[:0:-1]], "line 2: the first column must descend"),
    "duplicated row": (lambda rows: [*rows[:8], rows[7], *rows[8:]], "line [89]: .*comes twice"),
    "gap": (drop(20), "line (19|20): rows are missing between"),
    "unsorted masses": (edit_words(1, 3, "5"), "line 1: masses must ascend, but 10 is foll.* by 5"),
    "duplicated mass": (edit_words(1, 3, "10"), "line 1: masses must ascend, but 10 comes twice"),
    "negative mass": (edit_words(1, 2, "-10"), "line 1: masses must be positive"),
    "log10 sigmav": (
        lambda rows: [rows[0], *([str(np.log10(float(r[0]))), *r[1:]] for r in rows[1:])],
        "must be a number >= 0.*logarithm",
    ),
    "ln L": (negate, "line 2, column 2 .*best at the strongest"),
    "truncated line": (lambda rows: [*rows[:200], rows[200][:2]], "line 201: .*truncated"),
    "only a header": (lambda rows: rows[:1], "at least 4 signal strengths, got 0"),
    "cut above the best fit": (lambda rows: [rows[0], *rows[-150:]], "table end too early"),
    "two targets": (lambda rows: [*rows, *rows], r"line 32[0-9]: the signal strength"),
    "one column": (lambda rows: [row[:1] for row in rows], "line 1: expected log10 J and at least"),
    "blank line": (lambda rows: [*rows[:5], [], *rows[5:]], "line 6: expected 4 numbers.*got 0"),
    "comment": (lambda rows: [["#", "made", "by", "me"], *rows], "line 1, column 1: '#'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(make_castro, tmp_path, name):
    edit, message = DAMAGE[name]
    path = tmp_path / "bb_Segue1_IACT.txt"
    make_castro().write(path, format="gloryduck")
    rows = edit([line.split() for line in path.read_text().splitlines()])
    path.write_text("\n".join(" ".join(row) for row in rows) + "\n")
    with pytest.raises(ValueError, match=message) as error:
        CastroMaps.read(path, format="gloryduck")
    assert "bb_Segue1_IACT.txt" in str(error.value)


@pytest.mark.parametrize("n_lines", [640, 660, 750, 600, 500])
def test_cut_at_the_end_of_a_line(test_data, tables, tmp_path, n_lines):
    """Limits that the missing weak signals change are marked, or the file is refused."""
    lines = (test_data / "lklcom" / "bb_Segue1_IACT.txt").read_text().splitlines()
    path = tmp_path / "bb_Segue1_IACT.txt"
    path.write_text("\n".join(lines[:n_lines]) + "\n")
    if n_lines <= 600:
        with pytest.raises(ValueError, match=r"is so strong that stat would fall .*\(500 GeV\)"):
            CastroMaps.read(path)
        return
    cut = CastroMaps.read(path)
    full = tables[0].sigmav_ul.quantity.value.ravel()
    wrong = np.abs(cut.sigmav_ul.quantity.value.ravel() / full - 1) > 0.005
    stacked = StackedDMLikelihood([cut], method="fixed").run()
    for result in (cut, stacked):
        status = result["status"].data.ravel()
        assert (status[wrong] == LimitStatus.EXTRAPOLATED).all()
        assert (status == LimitStatus.FOUND).any()
    assert wrong.any() == (n_lines < 700)
    marked = cut["status"].data.ravel() == LimitStatus.EXTRAPOLATED
    masses = ", ".join(f"{m:g}" for m in cut.masses.value[marked])
    expected = f"limits rest on this extrapolation for b at {masses} GeV."
    assert (expected in cut.meta.notes) == marked.any()


def test_cut_inside_the_last_number(make_castro, tmp_path):
    path = tmp_path / "bb_Segue1_IACT.txt"
    make_castro().write(path, format="gloryduck")
    text = path.read_text()
    lines = text.splitlines()
    lines[-1] = lines[-1].rsplit(" ", 1)[0] + " 0.123456"
    path.write_text("\n".join(lines)[:-3])
    with pytest.raises(ValueError, match=f"line {len(lines)}: the last line has no end"):
        CastroMaps.read(path, format="gloryduck")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"\n \n", "empty"), (b"\xff\xfe\x00\x12", "nor a text file"),
     (b"darkmatter\n", "expected log10 J"), (b"SIMPLE  =   T", "this file is fits")],
)  # fmt: skip
def test_foreign_content(tmp_path, content, message):
    path = tmp_path / "bb_Segue1_IACT.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"bb_Segue1_IACT.*{message}"):
        CastroMaps.read(path, format="gloryduck")


def test_channels_that_do_not_belong_together(make_castro, tmp_path):
    for name, options in {
        "bb_Segue1_IACT": {},
        "tautau_Segue1_IACT": {"channels": ["tau"], "log10_jfactor": 19.1},
        "WW_Draco_IACT": {"channels": ["W"], "target": "Draco"},
        "tt_Segue1_IACT": {"channels": ["t"], "grid": np.append(0, np.geomspace(1e-29, 1e-22, 99))},
        "bb_Segue1_IACT_2": {},
    }.items():
        make_castro(**options).write(tmp_path / f"{name}.txt", format="gloryduck")
    first = tmp_path / "bb_Segue1_IACT.txt"
    for name, message in {
        "tautau_Segue1_IACT": "log10_jfactor is 19.1, but 19.36",
        "WW_Draco_IACT": "target is 'Draco', but 'Segue1'",
        "tt_Segue1_IACT": "signal strengths differ",
        "bb_Segue1_IACT_2": "channel b comes twice",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            read_gloryduck_channels([first, tmp_path / f"{name}.txt"])
        assert name in str(error.value)
    with pytest.raises(ValueError, match="at least one file"):
        read_gloryduck_channels([])
    with pytest.raises(TypeError, match="channel"):
        read_gloryduck_channels([first], channel="b")
