"""Slicing and stacking of `~dmgammapy.estimators.CastroMaps`."""

import astropy.units as u
import numpy as np
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap

from . import _kernels as kernels
from .castro_negative import negative_on_one_axis

__all__ = ["CastroSlicing", "axis_nodes"]


class CastroSlicing:
    """Mixin with the verbs of `~gammapy.estimators.FluxMaps` that pick and join."""

    def slice_by_idx(self, slices):
        """Slice by index.

        Parameters
        ----------
        slices : dict
            Axis name to int, slice or list of int, e.g. ``{"mass": slice(2, 5)}``. An int keeps
            its axis with one bin.

        Returns
        -------
        castro : `CastroMaps`
        """
        unknown = sorted(set(slices) - set(self.geom.axes.names))
        if unknown:
            raise ValueError(f"cannot slice along {unknown}; the axes are {self.geom.axes.names}.")
        index = {}
        for name, value in slices.items():
            picked = np.arange(self.geom.axes[name].nbin)[value]
            index[name] = np.atleast_1d(picked)
            if index[name].size == 0:
                raise ValueError(f"the slice {value} of the axis {name} is empty.")
        data = {}
        for name, m in self._data.items():
            axes, array = [], m.data
            for i, axis in enumerate(m.geom.axes):
                if axis.name in index:
                    array = np.take(array, index[axis.name], axis=array.ndim - 3 - i)
                    axis = _take_axis(axis, index[axis.name])
                axes.append(axis)
            data[name] = RegionNDMap(RegionGeom(None, axes=axes), array, unit=m.unit)
        return self.__class__(data, self.meta.model_copy(deep=True))

    def slice_by_coord(self, slices):
        """Slice by values: masses and channel names that are on the axes.

        Parameters
        ----------
        slices : dict
            E.g. ``{"channel": "b", "mass": [10, 100] * u.GeV}``.
        """
        index = {}
        for name, value in slices.items():
            if name not in self.geom.axes.names:
                raise ValueError(f"no axis {name!r}; the axes are {self.geom.axes.names}.")
            axis = self.geom.axes[name]
            if isinstance(axis, LabelMapAxis):
                values = [value] if isinstance(value, str) else list(value)
                labels = [str(x) for x in axis.center]
                missing = [v for v in values if v not in labels]
                if missing:
                    raise ValueError(f"{name} {missing} not among {labels}.")
                index[name] = [labels.index(v) for v in values]
            else:
                values = np.atleast_1d(u.Quantity(value, axis.unit)).to_value(axis.unit)
                centers = axis.center.value
                index[name] = []
                for v in values:
                    i = int(np.argmin(np.abs(centers - v)))
                    if not np.isclose(centers[i], v, rtol=1e-6, atol=0):
                        nearest = f"{centers[i]:.7g} {axis.unit}"
                        raise ValueError(
                            f"{name} {v:g} {axis.unit} is not a node; the nearest is {nearest}, of "
                            f"{len(centers)} from {centers[0]:g} to {centers[-1]:g} {axis.unit}."
                        )
                    index[name].append(i)
        return self.slice_by_idx(index)

    def slice_by_mass(self, mass_min, mass_max):
        """Keep the masses from ``mass_min`` to ``mass_max`` (both included)."""
        low, high = u.Quantity(mass_min), u.Quantity(mass_max)
        keep = np.flatnonzero((self.masses >= low) & (self.masses <= high))
        if keep.size == 0:
            raise ValueError(f"no mass between {low} and {high}; masses are {self.masses}.")
        return self.slice_by_idx({"mass": keep})

    def iter_by_axis(self, axis_name):
        """Iterate over one axis; each item keeps it with a single bin."""
        for i in range(self.geom.axes[axis_name].nbin):
            yield self.slice_by_idx({axis_name: i})

    @classmethod
    def from_stack(cls, maps, axis):
        """Put several results side by side along a new axis, e.g. targets or realisations.

        Parameters
        ----------
        maps : list of `CastroMaps`
            Same masses, channels, process.
        axis : `~gammapy.maps.LabelMapAxis` or `~gammapy.maps.MapAxis`
            One bin per result.

        Returns
        -------
        castro : `CastroMaps`
            Maps with the axes (mass, channel, ``axis``).
        """
        maps = list(maps)
        if len(maps) != axis.nbin:
            raise ValueError(f"{len(maps)} results do not fit an axis of {axis.nbin} bins.")
        first = maps[0]
        for m in maps[1:]:
            first.check_compatible(m)
            if m.meta.cl != first.meta.cl:
                raise ValueError(
                    f"limits at different confidence levels, {first.meta.cl:g} and {m.meta.cl:g}, "
                    "don't fit into one result; make them with the same cl."
                )
        if all("stat_scan" in m._data for m in maps):
            nodes = first.norm_axis.center
            if not all(
                len(m.norm_axis.center) == len(nodes)
                and np.allclose(m.norm_axis.center, nodes, rtol=1e-9)
                for m in maps
            ):
                maps = _on_one_norm_axis(maps)
            maps = negative_on_one_axis(maps)
            first = maps[0]
        names = [n for n in first.available_quantities if all(n in m._data for m in maps)]
        data = {}
        for name in names:
            geom = first._data[name].geom
            axes = [*geom.axes, axis]
            data[name] = RegionNDMap(
                RegionGeom(None, axes=axes),
                np.stack([m._data[name].data for m in maps]),
                unit=first._data[name].unit,
            )
        meta = first.meta.model_copy(update={"target": None, "prior": None})
        return cls(data, meta)


def axis_nodes(axis):
    """Nodes of a `~gammapy.maps.MapAxis` without the rounding of its logarithms."""
    values = [float(f"{x:.13g}") for x in axis.center.value]
    return u.Quantity(values, axis.unit)


def _take_axis(axis, index):
    """The bins ``index`` of an axis."""
    if isinstance(axis, LabelMapAxis):
        return LabelMapAxis([str(axis.center[i]) for i in index], name=axis.name)
    if axis.node_type == "edges" and (np.diff(index) == 1).all():
        return MapAxis.from_edges(
            axis.edges[index[0] : index[-1] + 2], name=axis.name, interp=axis.interp
        )
    return MapAxis.from_nodes(axis_nodes(axis)[index], name=axis.name, interp=axis.interp)


def _on_one_norm_axis(maps):
    """Bring the scans of results to one norm axis; every other quantity stays as it is.

    Norms are relative to the reference of each result. Where a scan ends before the common axis
    does, it goes on along its last slope in log10, which counts as extrapolated.
    """
    step = min(m._native_step for m in maps)
    nodes = [np.log10(axis_nodes(m.norm_axis).value[1:]) for m in maps]
    low = int(np.floor(min(n[0] for n in nodes) / step + 1e-6))
    high = int(np.ceil(max(n[-1] for n in nodes) / step - 1e-6))
    common = step * np.arange(low, high + 1)
    norm_axis = MapAxis.from_nodes(np.append(0.0, 10.0**common), name="norm", interp="lin")
    out = []
    for m, own in zip(maps, nodes, strict=True):
        scan = m._data["stat_scan"]
        values = np.moveaxis(scan.data[..., 0, 0], scan.geom.axes.index_data("norm"), -1)
        rows = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
        zero, rows = rows[:, 0].copy(), np.ascontiguousarray(rows[:, 1:])
        inside = common <= own[-1] + 1e-9
        new = np.empty((len(rows), len(common)))
        targets = np.broadcast_to(np.minimum(common, own[-1]), new.shape).copy()
        kernels.resample(own, rows, zero, targets, new)
        slope = (rows[:, -1] - rows[:, -2]) / (own[-1] - own[-2])
        new[:, ~inside] = rows[:, -1:] + slope[:, None] * (common[~inside] - own[-1])
        whole = np.concatenate([zero[:, None], new], axis=1).reshape(*values.shape[:-1], -1)
        data = dict(m._data)
        geom = RegionGeom(None, axes=[norm_axis, *m.geom.axes])
        data["stat_scan"] = RegionNDMap(geom, whole[..., None, None], unit=scan.unit)
        if "norm_extrapolated" in data:
            last = data["norm_extrapolated"]
            data["norm_extrapolated"] = RegionNDMap(
                last.geom, np.minimum(last.data, 10.0 ** own[-1]), unit=last.unit
            )
        out.append(type(m)(data, m.meta))
    return out
