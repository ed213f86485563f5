"""HistFactory statistical models: pyhf workspaces as compiled, differentiable programs.

    import wootz as wz

    ws = wz.histfactory.load("workspace.json")
    model = ws.model()
    data = ws.data(model)
    model.logpdf(model.config.suggested_init, data)
    fit = ws.fit()  # or model.fit(data)
    print(fit["mu"], fit.uncertainties["mu"], ws.hypotest(1.0).observed, ws.upper_limit().observed)

Arrays have pyhf's meaning and order, so that they can be exchanged with pyhf.
"""

from wootz.histfactory._model import Config, Model, ParameterSet
from wootz.histfactory._objective import Evaluation, Objective
from wootz.histfactory._results import (
    Fit,
    GoodnessOfFit,
    Hypotest,
    Impact,
    Interval,
    Prediction,
    Profile,
    Pull,
    Scan,
    Significance,
    TestStatistic,
    Toys,
    UpperLimit,
)
from wootz.histfactory._workspace import PatchSet, Workspace, load, workload

__all__ = [
    "Config",
    "Evaluation",
    "Fit",
    "GoodnessOfFit",
    "Hypotest",
    "Impact",
    "Interval",
    "Model",
    "Objective",
    "ParameterSet",
    "PatchSet",
    "Prediction",
    "Profile",
    "Pull",
    "Scan",
    "Significance",
    "TestStatistic",
    "Toys",
    "UpperLimit",
    "Workspace",
    "load",
    "workload",
]
