"""HistFactory statistical models: pyhf workspaces as compiled, differentiable programs.

    import wootz as wz

    ws = wz.histfactory.load("workspace.json")
    model = ws.model()
    data = ws.data(model)
    model.logpdf(model.config.suggested_init, data)

Arrays have pyhf's meaning and order, so that they can be exchanged with pyhf.
"""

from wootz.histfactory._model import Config, Model, ParameterSet
from wootz.histfactory._workspace import PatchSet, Workspace, load, workload

__all__ = ["Config", "Model", "ParameterSet", "PatchSet", "Workspace", "load", "workload"]
