"""Target files of dmsky."""

import astropy.units as u
import pytest

from dmgammapy.targets import Targets

FILE = """
mine:
  default:
    title: 'My dwarf'
    type: dwarf
    ra: 150.25
    dec: -10.5
    distance: 80.
    dsigma: 5
    abs_mag: -4.1
    references: ['2015ApJ', '2016ApJ']
  first_nfw:
    j_integ: 1e18
    j_sigma: 0.25
    d_integ: 2.5E+17
    d_sigma: [0.1, 0.2]
    extension: -0.5
    extsigma: 0.3
    profile: {type: NFW, rs: 0.27, rhos: 2.64e+08, rmax: 1.0, units: msun_kpc3_kpc, gamma: 1.2}
  first_point:
    base: first_nfw
    extension: 0
    profile: {type: PointSource}
  vague:
    j_integ: .nan
    j_sigma: .nan
    distance: 90
    extension: .nan
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_versions_and_defaults(write):
    targets = Targets.read(write(FILE))
    assert [target.key for target in targets] == [
        "mine:first_nfw",
        "mine:first_point",
        "mine:vague",
    ]
    first = targets["mine:first_nfw"]
    # PyYAML takes 1e18 for a text
    assert first.log10_jfactor == pytest.approx(18, abs=1e-14)
    assert first.log10_jfactor_err == 0.25
    assert first.dfactor.to_value("GeV cm-2") == pytest.approx(2.5e17, rel=1e-12)
    assert first.log10_dfactor_err == (0.1, 0.2)
    assert first.position.ra.deg == 150.25
    assert first.position.dec.deg == -10.5
    assert first.distance == 80 * u.kpc
    assert first.distance_err == 5 * u.kpc
    assert first.extension.to_value("deg") == pytest.approx(10**-0.5, rel=1e-12)
    assert first.extension_err_dex == 0.3
    assert first.title == "My dwarf"
    assert first.kind == "dwarf"
    assert first.reference == "2015ApJ; 2016ApJ"
    assert first.profile == {
        "type": "NFW",
        "rs": "0.27 kpc",
        "rhos": "2.64e+08 solMass / kpc3",
        "rmax": "1 kpc",
        "gamma": 1.2,
    }


def test_base(write):
    point = Targets.read(write(FILE))["mine:first_point"]
    assert point.log10_jfactor == pytest.approx(18)
    assert point.distance == 80 * u.kpc
    assert point.extension == 0 * u.deg
    assert point.extension_err_dex is None
    # nested properties are merged, as in dmsky
    assert point.profile["type"] == "PointSource"
    assert point.profile["rs"] == "0.27 kpc"


def test_nan_is_unknown(write):
    vague = Targets.read(write(FILE))["mine:vague"]
    assert vague.missing() == ("log10_jfactor", "log10_jfactor_err")
    assert vague.extension is None
    assert vague.distance == 90 * u.kpc
    with pytest.raises(ValueError, match="target mine: no log10_jfactor in version vague"):
        vague.to_models("100 GeV", "b")


def test_bundled_positions_fill_in(write):
    text = "draco:\n  mine: {j_integ: 5e18, j_sigma: 0.1}\n"
    draco = Targets.read(write(text))["draco"]
    assert draco.position.ra.deg == 260.05167
    assert draco.distance == 76 * u.kpc
    assert draco.title == "Draco"
    # the file comes first
    text = "draco:\n  mine: {j_integ: 5e18, distance: 80, ra: 10, dec: 20}\n"
    draco = Targets.read(write(text))["draco"]
    assert draco.distance == 80 * u.kpc
    assert draco.position.ra.deg == 10


def test_base_may_be_bundled(write):
    text = "draco:\n  wide: {base: ackermann2014_nfw, j_sigma: 0.5}\n"
    draco = Targets.read(write(text))["draco"]
    assert draco.log10_jfactor == 18.83
    assert draco.log10_jfactor_err == 0.5
    assert draco.extension.to_value("deg") == pytest.approx(10**-0.59, rel=1e-3)


def test_only_defaults(write):
    targets = Targets.read(write("a:\n  default: {ra: 1, dec: 2}\n"))
    assert [target.key for target in targets] == ["a:default"]


def test_degrees_or_logarithms(write):
    text = "a:\n  {}: {{j_integ: 1e18, extension: {}}}\n"
    sizes = [
        Targets.read(write(text.format("v", value)))["a"].extension.to_value("deg")
        for value in ("-1", "0", "0.25")
    ]
    assert sizes == pytest.approx([0.1, 0, 0.25], rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("j_integ: 0", "mine.yaml, a:v, j_integ: expected a positive number in GeV2 cm-5, got 0"),
        ("j_integ: 18.8", "log10_jfactor must be the log10 of the value in .* got 1.27416"),
        ("d_integ: 18.8", "log10_dfactor must be the log10 of the value in .* got 1.27416"),
        ("j_integ: 1e36", "between 5 and 35, got 36"),
        ("j_integ: -1e18", "a:v, j_integ: expected a positive number"),
        ("j_integ: .inf", "a:v, j_integ: expected a finite number"),
        ("j_integ: 1e18 GeV2", "a:v, j_integ: expected a number, got '1e18 GeV2'"),
        ("j_integ: true", "a:v, j_integ: expected a number"),
        ("j_integ: [1e18]", "a:v, j_integ: expected a number"),
        ("j_sigma: -0.1", "a:v, j_sigma: a width must not be negative, got -0.1"),
        ("j_sigma: [0.1, 0.2, 0.3]", "a:v, j_sigma: expected a width or"),
        ("j_sigma: 1e17", "a:v: target a: log10_jfactor_err must be a width in dex"),
        ("d_integ: 0", "a:v, d_integ: expected a positive number in GeV cm-2"),
        ("ra: 10", "a:v: there is ra but not dec"),
        ("dec: 10", "a:v: there is dec but not ra"),
        ("{ra: 10, dec: .nan}", "a:v: only one of ra and dec is a number"),
        ("{ra: 10, dec: 100}", "a:v: ra must lie within"),
        ("distance: 0", "a:v: target a: distance must be positive"),
        ("distance: far", "a:v, distance: expected a number"),
        ("profile: [NFW]", "a:v, profile: expected its type and parameters"),
        ("profile: {type: NFW, units: furlongs}", "a:v, profile: unknown units 'furlongs'"),
        ("profile: {type: NFW, rs: big}", "a:v, profile > rs: expected a number"),
        ("j_integr: 1e18", "a:v: unknown key 'j_integr'; did you mean 'j_integ'?"),
        ("distanc: 1e18", "a:v: unknown key 'distanc'; did you mean 'distance'?"),
        ("base: w", "a:v: the base 'w' is neither in the file nor bundled"),
        ("base: v", "a: versions are based in a circle: v"),
    ],
)
def test_invalid_values(write, text, message):
    path = write(f"a:\n  v: {text if text.startswith('{') else '{' + text + '}'}\n")
    with pytest.raises(ValueError, match=message) as error:
        Targets.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  v:\n", "mine.yaml, a:v: expected properties, got None"),
        ("a: {}\n", "mine.yaml, a: expected versions with properties"),
        ("a:\n  v: 1e18\n", "mine.yaml, a:v: expected properties, got '1e18'"),
        ("a:\n  v: {j_integ: 1e18, j_si", "mine.yaml, line 2: not valid YAML, perhaps cut off"),
        ("a:\n  v:\n    j_integ: 1e18\n   j_sigma: 1\n", "line 4: not valid YAML"),
        ("a:\n  v: {j_integ: 1e18}\na:\n  w: {j_integ: 1}\n", "line 3: a stands on line 1 already"),
        ("a:\n  v: {j_integ: 1}\n  v: {j_integ: 2}\n", "line 3: a > v stands on line 2 already"),
        ("a:\n  v:\n    j_sigma: 1\n    j_sigma: 2\n", "line 4: a > v > j_sigma stands on line 3"),
        ("a:\n  v: {j_integ: 1e18}\nb: 3\n", "mine.yaml, b: expected versions of a target"),
        ("a:\n  v: {base: w}\n  w: {base: v}\n", "based in a circle: v > w"),
        ("? [a, b]\n: {v: {j_integ: 1}}\n", "line 1: a key must be a plain text"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_damaged_files(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=message) as error:
        Targets.read(path)
    assert str(path) in str(error.value)


def test_not_a_text_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00draco")
    with pytest.raises(ValueError, match="mine.yaml: not a text file"):
        Targets.read(path)


def test_numbers_as_names(write):
    with pytest.raises(ValueError, match="name of a target must be a text"):
        Targets.read(write("5:\n  v: {j_integ: 1e18}\n"))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mine.txt", {}, "can't tell the format from the name"),
        ("mine.yaml", {"format": "dmskyy"}, "unknown format 'dmskyy'; known are dmsky"),
        ("mine.yaml", {"roster": "r"}, "roster='r' has no use for the format dmsky"),
        ("mine.yaml", {"format": "ecsv"}, "line 1: expected '# %ECSV 1.0'"),
        ("mine.yaml", {"format": "roster"}, "mine: expected a list|roster mine: expected a list"),
        ("mine.yaml", {"format": "dmpipe"}, "mine: expected a list of versions"),
    ],
)
def test_formats(write, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        Targets.read(write(FILE, name), **arguments)
    assert len(Targets.read(write(FILE, name), format="dmsky")) == 3


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.yaml: no such file"):
        Targets.read(tmp_path / "absent.yaml")


@pytest.mark.parametrize("key", ["j_err", "uncertainty", "jerr"])
def test_a_width_of_another_name_is_not_lost_silently(write, key, caplog):
    text = f"a:\n  v: {{j_integ: 1e18, {key}: 0.4, luminosity: 3, references: x}}\n"
    assert Targets.read(write(text))["a"].log10_jfactor_err is None
    (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert f"the key {key!r} is not used; widths of J and D are called" in record.getMessage()
