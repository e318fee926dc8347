"""Models of the simulated LAT region: catalog sources, diffuse emission, dark matter."""

import sys
import tempfile
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from gammapy.catalog import SourceCatalog4FGL
from gammapy.maps import Map, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    SkyModel,
    TemplateSpatialModel,
    create_fermi_isotropic_diffuse_model,
)

from dmgammapy.targets import Targets
from dmgammapy.utils import atomic_path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from _download import read_members

FERMIPY = {
    "name": "fermipy",
    "version": "1.4.3",
    "sha256": "8bb2537481cafd256484f1e747a92dac2e0cf3e6eedb4a7a172ef6aa36d879ef",
}
CATALOG = "fermipy/data/catalogs/gll_psc_v35.fit"  # 4FGL-DR4
GALACTIC = "gll_iem_v07.fits"
ISOTROPIC = "iso_P8R3_SOURCE_V3_v1.txt"


def default_cache():
    """Folder of what is made once: catalog and region."""
    return Path(tempfile.gettempdir()) / "dmgammapy-lat-region"


def find_catalog(catalog=None, cache=None):
    """Path of the 4FGL-DR4 catalog.

    ``catalog`` is the catalog itself, an sdist of fermipy or the folder of an unpacked one. Without
    it, the copy in the cache folder is taken, or the sdist is downloaded (82 MB).
    """
    cache = default_cache() if cache is None else Path(cache)
    if catalog is not None and Path(catalog).suffix in (".fit", ".fits"):
        return Path(catalog)
    path = cache / Path(CATALOG).name
    if catalog is not None or not path.exists():
        contents = read_members(**FERMIPY, members=[CATALOG], archive=catalog)
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            Path(temporary).write_bytes(contents[CATALOG])
    return path


def catalog_sources(path, geom, margin, number):
    """Point sources of the catalog: those inside the region by separation, then those around.

    Returns
    -------
    models : list of `~gammapy.modeling.models.SkyModel`
    skipped : list of str
        Extended sources within the same area.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units, headers and masked errors of the catalog
        return _catalog_sources(path, geom, margin, number)


def _catalog_sources(path, geom, margin, number):
    catalog = SourceCatalog4FGL(path)
    positions = catalog.positions
    image = geom.to_image()
    n = int(round(margin / geom.pixel_scales[0].to_value("deg")))
    near = np.flatnonzero(image.pad(n, axis_name=None).contains(positions))
    separation = positions.separation(geom.center_skydir).deg
    outside = ~image.contains(positions)
    models, skipped = [], []
    for i in sorted(near, key=lambda i: (outside[i], separation[i])):
        if len(models) == number:
            break
        source = catalog[i]
        if not source.is_pointlike:
            skipped.append(source.name)
            continue
        spatial = PointSpatialModel.from_position(source.position)
        models.append(SkyModel(source.spectral_model(), spatial, name=source.name))
    if len(models) < number:
        raise ValueError(
            f"{path}: {number} point sources are asked for within {margin} deg of the region at "
            f"{geom.center_skydir.to_string()}, only {len(models)} are there; ask for fewer"
        )
    return models, skipped


def galactic(data, geom, margin, path):
    """Galactic template around the region times a norm; the template is written to ``path``.

    The map of the whole sky won't do: Gammapy cuts the exposure out around the template's centre,
    in pixels, and in a local projection that misses a region far from the Galactic centre, with
    predicted counts of 0 and no word.
    """
    sky = Map.read(Path(data) / "lat" / GALACTIC)
    width = geom.width.max().to_value("deg") + 2 * margin + 4
    local = WcsGeom.create(
        skydir=geom.center_skydir, width=width, binsz=0.5, proj="TAN", frame=geom.frame,
        axes=[sky.geom.axes["energy_true"]],
    )  # fmt: skip
    values = sky.interp_by_coord(local.get_coord(), values_scale="log")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"{GALACTIC}: no values in some pixels around {geom.center_skydir}")
    template = Map.from_geom(local, data=values, unit=sky.unit)
    with atomic_path(path, overwrite=True) as temporary:
        template.write(temporary)
    spatial = TemplateSpatialModel(template, normalize=False, filename=str(path))
    return SkyModel(PowerLawNormSpectralModel(), spatial, name="galactic")


def isotropic(data):
    """Isotropic spectrum times a norm; the table holds reconstructed events: no PSF, no edisp."""
    path = Path(data) / "lat" / ISOTROPIC
    model = create_fermi_isotropic_diffuse_model(path)
    return SkyModel(
        model.spectral_model,
        ConstantSpatialModel(),
        name="isotropic",
        apply_irf={"exposure": True, "psf": False, "edisp": False},
    )


def dark_matter(position, mass, channel, sigmav):
    """Target and its sky model: Draco where it is, or its J at another position.

    ``position`` is a name of the roster or a `~astropy.coordinates.SkyCoord`.
    """
    roster = Targets.read_roster("ackermann2015_dsphs")
    if isinstance(position, str):
        target = roster[position]
    else:
        target = roster["draco"].copy(name="elsewhere", position=position.icrs)
    (model,) = target.to_models(mass, channel, sigmav=u.Quantity(sigmav, "cm3 s-1"))
    return target, model
