"""Build the bundled tables of dmgammapy/targets/data from the sdist that carries them.

    python tools/build_targets.py [--archive PATH] [--output DIR]

The tables of the literature come from the sdist dmsky 0.2.5, downloaded with pip unless its archive
is given. The output is the same, byte for byte, on every run; README.md there is written by hand.
The script needs an installed dmgammapy (pip install -e .).

dmsky gives J with a few digits, made from two decimals of log10 J. The logarithm is recovered as
the shortest number that gives back J with all digits that dmsky prints.
"""

import argparse
import math
from pathlib import Path

import astropy.units as u
import yaml
from _download import add_archive_argument, read_members

from dmgammapy.targets import Target
from dmgammapy.targets.io.dmsky import resolve, target_fields
from dmgammapy.targets.io.ecsv import write_ecsv
from dmgammapy.utils import atomic_path

OUTPUT = Path(__file__).resolve().parents[1] / "dmgammapy" / "targets" / "data"

DMSKY = {
    "name": "dmsky",
    "version": "0.2.5",
    "sha256": "7b47fb0827af116f9aa9b901f94dd7bf8d8b3c0593eb97ac34b6cd5066dce525",
}
TARGETS = "dmsky/data/targets/"
ROSTERS = "dmsky/data/rosters/roster.yaml"
DEFAULT = "default"
NOT_TARGETS = ("defaults.yaml", "isotropic/default.yaml", "clusters/default.yaml")
LEFT_OUT = [("smc", "gnfw")]  # repeats the numbers of Bootes I
# the others have a kind and a title in dmsky
GALAXIES = {"lmc": "LMC", "smc": "SMC"}
# key, value in dmsky, right value: 18 arcmin from Carina II (Torrealba et al. 2018)
CORRECTIONS = {"carina_III": ("dec", "57.8997", "-57.8997")}
PLACEHOLDER_PROFILES = "geringer-sameth2015"  # dmsky says that they are not correct

# file and reference by the beginning of a version
ACKERMANN2012 = "Ackermann et al. 2012, Phys. Rev. D 86, 022002, arXiv:1205.2739"
ACKERMANN2013 = "Ackermann et al. 2013, Phys. Rev. D 88, 082002, arXiv:1305.5597"
SOURCES = {
    DEFAULT: (DEFAULT, None),
    "ackermann2012": ("galactic", ACKERMANN2012),
    "ackermann2013": ("galactic", ACKERMANN2013),
    "ackermann2014": (
        "ackermann2014",
        "Ackermann et al. 2014, Phys. Rev. D 89, 042001, arXiv:1310.0828",
    ),
    "ackermann2016_photoj": (
        "albert2017",
        "Albert et al. 2017, Astrophys. J. 834, 110, arXiv:1611.03184",
    ),
    "geringer-sameth2015": (
        "geringer-sameth2015",
        "Geringer-Sameth, Koushiappas & Walker 2015, Astrophys. J. 801, 74, arXiv:1408.0002",
    ),
    "koposov2018": (
        "koposov2018",
        "Koposov et al. 2018, Mon. Not. R. Astron. Soc. 479, 5343, arXiv:1804.06430",
    ),
    "martinez2015": (
        "martinez2015",
        "Martinez 2015, Mon. Not. R. Astron. Soc. 451, 2524, arXiv:1309.2641",
    ),
    "pace2018": (
        "pace2018",
        "Pace & Strigari 2019, Mon. Not. R. Astron. Soc. 482, 3480, arXiv:1802.06811",
    ),
    "simon2015": ("simon2015", "Simon et al. 2015, Astrophys. J. 808, 95, arXiv:1504.02889"),
}

ROSTERS_HEADER = """\
# Rosters of dmsky 0.2.5, made by tools/build_targets.py: names of targets and of other rosters.
# Prefixes: + or none adds what is new, ++ adds, - takes off all occurrences, -- the last one.
"""


def shortest_log10(text):
    """The shortest log10, of two decimals at least, that gives back a printed number."""
    digits = len(text.lower().partition("e")[0].replace(".", "").lstrip("+-"))
    number = float(text)
    for decimals in range(2, 16):
        value = round(math.log10(number), decimals)
        if f"{10**value:.{digits - 1}e}" == f"{number:.{digits - 1}e}":
            return value
    raise ValueError(f"no logarithm gives back {text}")


def source_of(version):
    """File and reference of a version."""
    (name,) = [start for start in SOURCES if version.startswith(start)]
    return SOURCES[name]


def read_versions(contents):
    """Properties by target and version, as texts."""
    library = {}
    for path, content in contents.items():
        if not path.startswith(TARGETS) or path.removeprefix(TARGETS) in NOT_TARGETS:
            continue
        for name, versions in yaml.load(content, yaml.BaseLoader).items():
            known = library.setdefault(name, {})
            twice = set(known) & set(versions)
            if twice:
                raise ValueError(f"{path}: {name} has {', '.join(twice)} in another file too")
            known.update(versions)
    for key in LEFT_OUT:
        del library[key[0]][key[1]]
    for name, (key, wrong, right) in CORRECTIONS.items():
        if library[name][DEFAULT][key] != wrong:
            raise ValueError(f"{name}: {key} is not {wrong} any more; check the correction")
        library[name][DEFAULT][key] = right
    return library


def make_target(name, version, versions):
    """One target with everything that its version and its defaults say."""
    properties, base = resolve(versions, version, name)
    if base is not None:
        raise ValueError(f"{name}:{version}: no base {base}")
    if version.startswith(PLACEHOLDER_PROFILES):
        properties["profile"] = {"type": properties["profile"]["type"]}
    properties.pop("references", None)  # those of the defaults are not those of J
    fields = target_fields(properties, f"{name}:{version}")
    if fields.get("log10_jfactor") is not None:
        fields["log10_jfactor"] = shortest_log10(properties["j_integ"])
    if fields.get("extension") is not None:
        # four digits give back the two decimals of the logarithm
        fields["extension"] = float(f"{fields['extension'].value:.4g}") * u.deg
    if name in GALAXIES:
        fields |= {"kind": "galaxy", "title": GALAXIES[name]}
    return Target(name=name, version=version, reference=source_of(version)[1], **fields)


def format_rosters(text):
    """Rosters as YAML with one item per line."""
    rosters = yaml.safe_load(text)
    lines = [ROSTERS_HEADER]
    for name, items in rosters.items():
        lines += [f"{name}:\n", *(f"- {yaml.safe_dump(item).splitlines()[0]}\n" for item in items)]
    return "".join(lines)


def main():
    """Build the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_archive_argument(parser, DMSKY["name"], DMSKY["version"])
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR")
    arguments = parser.parse_args()
    contents = read_members(
        DMSKY["name"], DMSKY["version"], [f"{TARGETS}*", ROSTERS],
        archive=arguments.archive, sha256=DMSKY["sha256"],
    )  # fmt: skip
    arguments.output.mkdir(parents=True, exist_ok=True)
    tables = {}
    library = read_versions(contents)
    for name in sorted(library):
        for version in sorted(library[name]):
            target = make_target(name, version, library[name])
            tables.setdefault(source_of(version)[0], []).append(target)
    for name, targets in sorted(tables.items()):
        targets.sort(key=lambda target: (target.version, target.name))
        path = arguments.output / f"{name}.ecsv"
        with atomic_path(path, overwrite=True) as temporary:
            write_ecsv(targets, temporary)
        print(f"{path.name}: {len(targets)} targets")
    path = arguments.output / "rosters.yaml"
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(format_rosters(contents[ROSTERS]), encoding="utf-8")


if __name__ == "__main__":
    main()
