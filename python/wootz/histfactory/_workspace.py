"""Workspaces and patch sets."""

import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from wootz import _native
from wootz._errors import ModelError
from wootz.histfactory import _json
from wootz.histfactory._model import Model
from wootz.histfactory._results import (
    Fit,
    Hypotest,
    Prediction,
    Scan,
    Significance,
    TestStatistic,
    Toys,
    UpperLimit,
)

# What `Workspace.model` takes for the measurement's parameter of interest.
_MEASURED: Any = object()


def load(source: Any) -> Any:
    """Reads a workspace: a path, a mapping, or a `pyhf.Workspace`. A `pyhf.Model` becomes a `Model`, with its settings."""
    if isinstance(source, Workspace):
        return source
    if isinstance(source, str | os.PathLike):
        return Workspace(_native.HistFactoryWorkspace.read(os.fspath(source)))
    if isinstance(source, Mapping):
        return Workspace(_native.HistFactoryWorkspace.from_json(_json.text(source)))
    if hasattr(source, "spec") and hasattr(source, "main_model"):
        return _from_pyhf_model(source)
    raise ModelError(
        f"load takes a path, a mapping, a pyhf.Workspace or a pyhf.Model, not {type(source).__name__}"
    )


def workload(name: str, **sizes: int) -> "Workspace":
    """A workspace that ships with wootz: `simple`, `complex-8p`, `thu-like`, `stress`, or `scaling` with `bins` and `systematics`.

    Every call gives the same workspace.
    """
    if name == "scaling":
        return Workspace(_native.HistFactoryWorkspace.scaling(**sizes))
    return Workspace(_native.HistFactoryWorkspace.workload(name, **sizes))


def _from_pyhf_model(model: Any) -> Model:
    channels = model.spec["channels"]
    parameters = model.spec.get("parameters", [])
    config = {"poi": model.config.poi_name or "", "parameters": parameters}
    # A model has no observations; these are not used.
    counts = [{"name": c["name"], "data": [0.0] * len(c["samples"][0]["data"])} for c in channels]
    workspace = load(
        {
            "channels": channels,
            "measurements": [{"name": "measurement", "config": config}],
            "observations": counts,
            "version": "1.0.0",
        }
    )
    return workspace.model(
        modifier_settings=model.config.modifier_settings,
        clip_sample_data=model.main_model.clip_sample_data,
        clip_bin_data=model.main_model.clip_bin_data,
    )


class Workspace:
    """What is written down of an analysis: channels with samples and modifiers, observations, measurements.

    `load` makes one. Editing gives a new workspace and leaves this one alone.
    """

    __module__ = "wootz.histfactory"

    def __init__(self, native: _native.HistFactoryWorkspace) -> None:
        self._native = native

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workspace) and self._native == other._native

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        bins = sum(n for _, n in self._native.channels)
        return f"<wootz.histfactory.Workspace: {len(self._native.channels)} channels, {bins} bins>"

    @property
    def channels(self) -> dict[str, int]:
        """The channels with their numbers of bins, in the workspace's order."""
        return dict(self._native.channels)

    @property
    def measurements(self) -> list[str]:
        """The measurements' names."""
        return self._native.measurements

    def model(
        self,
        measurement: str | None = None,
        poi: str | None = _MEASURED,
        modifier_settings: Mapping[str, Mapping[str, str]] | None = None,
        clip_sample_data: float | None = None,
        clip_bin_data: float | None = None,
    ) -> Model:
        """The model of a measurement (the first one by default).

        * `poi`: the parameter of interest; the measurement's by default, `None` for none.
        * `modifier_settings`: interpolation codes as pyhf takes them, `{"normsys": {"interpcode": "code4"}, "histosys": {"interpcode":
          "code4p"}}`. As in pyhf, a type that is left out of settings that are given gets `code1` or `code0`.
        * `clip_sample_data`, `clip_bin_data`: the least rate of a sample in a bin, and of a bin.
        """
        codes = {"normsys": "code4", "histosys": "code4p"}
        if modifier_settings is not None:
            codes = {"normsys": "code1", "histosys": "code0"}
            for kind, settings in modifier_settings.items():
                if kind not in codes or set(settings) - {"interpcode"}:
                    raise ModelError(
                        f"modifier_settings take an `interpcode` for normsys and histosys, not {kind}: {dict(settings)}"
                    )
                codes[kind] = settings.get("interpcode", codes[kind])
        measured = poi is _MEASURED
        native = self._native.model(
            measurement,
            None if measured else poi,
            measured,
            codes["normsys"],
            codes["histosys"],
            clip_sample_data,
            clip_bin_data,
        )
        return Model(native)

    def data(self, model: Model, include_auxdata: bool = True) -> np.ndarray:
        """The observed counts in the order of the model's bins, then its auxiliary data."""
        observed = self._native.observed(model._native)
        return np.concatenate([observed, model.config.auxdata]) if include_auxdata else observed

    @cached_property
    def _first(self) -> tuple[Model, np.ndarray]:
        model = self.model()
        return model, self.data(model)

    def fit(self, **options: Any) -> Fit:
        """`Model.fit` of the first measurement to the observed data."""
        model, data = self._first
        return model.fit(data, **options)

    def hypotest(self, mu: float, **options: Any) -> Hypotest:
        """`Model.hypotest` with the first measurement and the observed data."""
        model, data = self._first
        return model.hypotest(mu, data, **options)

    def significance(self, **options: Any) -> Significance:
        """`Model.significance` with the first measurement and the observed data."""
        model, data = self._first
        return model.significance(data, **options)

    def upper_limit(self, **options: Any) -> UpperLimit:
        """`Model.upper_limit` with the first measurement and the observed data."""
        model, data = self._first
        return model.upper_limit(data, **options)

    def scan(self, values: Iterable[float], **options: Any) -> Scan:
        """`Model.scan` with the first measurement and the observed data."""
        model, data = self._first
        return model.scan(values, data, **options)

    def toys(self, mu: float, **options: Any) -> Toys:
        """`Model.toys` with the first measurement and the observed data."""
        model, data = self._first
        return model.toys(mu, data, **options)

    def test_statistic(self, mu: float, **options: Any) -> TestStatistic:
        """`Model.test_statistic` with the first measurement and the observed data."""
        model, data = self._first
        return model.test_statistic(mu, data, **options)

    def asimov_data(self, mu: float, **options: Any) -> np.ndarray:
        """`Model.asimov_data` with the first measurement and the observed data."""
        model, data = self._first
        return model.asimov_data(mu, data, **options)

    def prefit(self) -> Prediction:
        """`Model.prefit` of the first measurement."""
        return self._first[0].prefit()

    def to_dict(self) -> dict:
        """The workspace as a JSON-like dict."""
        return json.loads(self.to_json())

    def to_json(self) -> str:
        """The workspace as JSON text."""
        return self._native.to_json()

    def digest(self, algorithm: str = "sha256") -> str:
        """pyhf's digest, by md5, sha1, sha256 or sha512."""
        return self._native.digest(algorithm)

    def summary(self) -> str:
        """What is in the workspace, as a table."""
        return self._native.summary()

    def prune(
        self,
        modifiers: Iterable[str] = (),
        modifier_types: Iterable[str] = (),
        samples: Iterable[str] = (),
        channels: Iterable[str] = (),
        measurements: Iterable[str] = (),
    ) -> "Workspace":
        """The workspace without these. Naming what is not there is an error."""
        names = [list(n) for n in (modifiers, modifier_types, samples, channels, measurements)]
        return Workspace(self._native.prune(*names))

    def rename(
        self,
        modifiers: Mapping[str, str] | None = None,
        samples: Mapping[str, str] | None = None,
        channels: Mapping[str, str] | None = None,
        measurements: Mapping[str, str] | None = None,
    ) -> "Workspace":
        """The workspace with other names (old name to new name). Naming what is not there is an error."""
        names = [dict(n or {}) for n in (modifiers, samples, channels, measurements)]
        return Workspace(self._native.rename(*names))

    def sorted(self) -> "Workspace":
        """The workspace with every list in the order of its names."""
        return Workspace(self._native.sorted())

    @staticmethod
    def combine(
        left: "Workspace", right: "Workspace", join: str = "none", merge_channels: bool = False
    ) -> "Workspace":
        """Two workspaces as one; modifiers of one name become correlated.

        `join` is what happens to things that both have: `"none"` (an error), `"outer"` (they must be equal), `"left outer"` or `"right
        outer"` (one side's is taken). `merge_channels` merges channels of one name sample by sample.
        """
        return Workspace(_native.HistFactoryWorkspace.combine(left._native, right._native, join, merge_channels))


class PatchSet:
    """Many signal hypotheses over one background-only workspace: `PatchSet.load(path or mapping)`."""

    __module__ = "wootz.histfactory"

    def __init__(self, native: _native.HistFactoryPatchSet) -> None:
        self._native = native
        description, labels, references, digests = native.metadata
        self.description: str = description
        self.labels: list[str] = labels
        self.references: dict[str, Any] = json.loads(references)
        self.digests: dict[str, str] = dict(digests)

    @staticmethod
    def load(source: str | os.PathLike | Mapping) -> "PatchSet":
        """Reads a patch set from a path or a mapping."""
        if isinstance(source, Mapping):
            return PatchSet(_native.HistFactoryPatchSet.from_json(_json.text(source)))
        return PatchSet(_native.HistFactoryPatchSet.read(os.fspath(source)))

    @property
    def patches(self) -> dict[str, tuple]:
        """The patches' names with their values, one a label."""
        return {name: tuple(json.loads(values)) for name, values in self._native.patches}

    def __len__(self) -> int:
        return len(self._native.patches)

    def verify(self, workspace: Workspace) -> None:
        """Checks that the patch set is for this workspace."""
        self._native.verify(workspace._native)

    def apply(self, workspace: Workspace, key: str | Iterable) -> Workspace:
        """The workspace with a patch, given by its name or its values, applied; `verify` comes first."""
        if isinstance(key, str):
            return Workspace(self._native.apply(workspace._native, key, None))
        return Workspace(self._native.apply(workspace._native, None, json.dumps(list(key))))
