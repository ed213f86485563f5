# Made by `cargo xtask gen` from crates/python; do not edit.
"""
The native half of the package `wootz`.
"""

from _typeshed import Incomplete, SupportsGetItem
from os import PathLike
from typing import Any, SupportsFloat, SupportsIndex, final
from typing_extensions import disjoint_base

__all__ = ["Caller", "DType", "Definition", "Dim", "Generated", "Graph", "HistFactoryDensity", "HistFactoryHistogram", "HistFactoryInference", "HistFactoryModel", "HistFactoryObjective", "HistFactoryPatchSet", "HistFactoryWorkspace", "Model", "Optimizer", "Params", "Profile", "Program", "Region", "Report", "Session", "Spec", "State", "Trace", "Training", "TransformerLayer", "Value", "as_array", "cache_clear", "cache_info", "cache_limit", "compile", "generate", "load", "save", "spec_of"]

@disjoint_base
class Caller:
    """
    Calls that were found right: what calls a program of another framework in little time. Python's class of such programs is made
    of it, and gives it `_call` for all other calls.
    """
    def __call__(self, /, *args, **inputs) -> Any: ...
    def __new__(cls, /, *_args, **_kwargs) -> Caller: ...
    def _recognise(self, /, function: Any, params: dict | None, inputs: SupportsGetItem[int, tuple[str, Any, Any]], kind: type) -> None:
        """
        Calls with these very parameters, and with arrays of this type and of these names, shapes and dtypes, go straight to the
        function. Raises `TypeError` for parameters that cannot be held weakly.
        """

@final
class DType:
    """
    An element type. Indexing it with a shape gives the type of a tensor: `wz.f32[32, 784]`, `wz.f32["B", 784]`, `wz.f32[()]`.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __getitem__(self, shape: Any, /) -> Spec: ...
    def __hash__(self, /) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(cls, /, name: str) -> DType:
        """
        The element type of this name: `f32`.
        """
    def __repr__(self, /) -> str: ...
    @property
    def is_float(self, /) -> bool:
        """
        Whether it is a floating-point type.
        """
    @property
    def itemsize(self, /) -> int:
        """
        Bytes of one element.
        """
    @property
    def name(self, /) -> str:
        """
        The name: `f32`.
        """

@final
class Definition:
    """
    What is compiled: a graph, and the initial values of its parameters and state.
    """
    def __new__(cls, /, graph: Graph) -> Definition:
        """
        The definition of a graph without initial values.
        """
    @property
    def graph(self, /) -> Graph:
        """
        The graph.
        """
    @property
    def is_step(self, /) -> bool:
        """
        Whether it is a training step that can be taken apart.
        """
    @property
    def summary(self, /) -> str | None:
        """
        The blocks of a model as a table.
        """

@final
class Dim:
    """
    A symbolic size: `wz.dim("B")`, and what arithmetic makes of it.
    """
    def __add__(self, other: object, /) -> Dim: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __floordiv__(self, other: object, /) -> Dim: ...
    def __hash__(self, /) -> int: ...
    def __index__(self, /) -> int: ...
    def __mul__(self, other: object, /) -> Dim: ...
    def __new__(cls, /, name: str) -> Dim:
        """
        The size called `name`.
        """
    def __radd__(self, other: object, /) -> Dim: ...
    def __repr__(self, /) -> str: ...
    def __rmul__(self, other: object, /) -> Dim: ...
    def __rsub__(self, other: object, /) -> Dim: ...
    def __sub__(self, other: object, /) -> Dim: ...

@final
class Generated:
    """
    A program as the source of a module.
    """
    @property
    def function(self, /) -> str:
        """
        The function that runs the program.
        """
    @property
    def held(self, /) -> bool:
        """
        Whether its first argument is a dict of parameters or state.
        """
    @property
    def inputs(self, /) -> list[tuple[str, str, Spec]]:
        """
        (name, role, type) of every input.
        """
    @property
    def outputs(self, /) -> list[tuple[str, bool, Spec]]:
        """
        (name, whether it updates the state, type) of every output.
        """
    @property
    def source(self, /) -> str:
        """
        The text of the module.
        """
    @property
    def stacks(self, /) -> list[tuple[str, list[str]]]:
        """
        (name, names of its members) of what that dict has stacked.
        """
    @property
    def stages(self, /) -> list[tuple[str, float]]:
        """
        Seconds of each stage, in order.
        """
    @property
    def wide(self, /) -> bool:
        """
        Whether anything in it has 64 bits.
        """

@final
class Graph:
    """
    A graph: named inputs to named outputs. Prints as text, which `Graph.parse` reads back.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __len__(self, /) -> int:
        """
        The number of nodes, those of nested regions not counted.
        """
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    def grad(self, /, output: SupportsIndex, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        The gradient of output `output` by the inputs `wrt`, after the graph's own outputs.
        """
    def hessian(self, /, output: SupportsIndex, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        Gradient and second derivatives of output `output` by the inputs `wrt`.
        """
    @property
    def inputs(self, /) -> list[tuple[str, str, Spec]]:
        """
        (name, role, type) of every input.
        """
    def jacfwd(self, /, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        Jacobians of all float outputs by forward mode.
        """
    def jacrev(self, /, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        Jacobians of all float outputs by reverse mode.
        """
    def jvp(self, /, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        The Jacobian-vector product: takes a tangent for each input in `wrt`.
        """
    @property
    def outputs(self, /) -> list[tuple[str, Spec]]:
        """
        (name, type) of every output.
        """
    @staticmethod
    def parse(text: str) -> Graph:
        """
        The graph that a text describes.
        """
    def vjp(self, /, wrt: SupportsGetItem[int, SupportsIndex]) -> Graph:
        """
        The vector-Jacobian product: takes a cotangent for each float output.
        """
    def vmap(self, /, in_axes: SupportsGetItem[int, SupportsIndex | None], out_axes: SupportsGetItem[int, SupportsIndex | None], size: Any) -> Graph:
        """
        The graph over a new axis of a size.
        """

@final
class HistFactoryDensity:
    """
    A model's log-density and its derivatives. Threads may use it at once: each borrows compiled programs of its own.
    """
    def __new__(cls, /, model: HistFactoryModel, by_parameters: bool, templates: SupportsGetItem[int, str], recomputed: bool) -> HistFactoryDensity:
        """
        The log-density of a model, to be differentiated by the parameters, if so wanted, and these templates.
        """
    def gradients(self, /, parameters: Any, data: Any) -> tuple[float, list[Incomplete]] | None:
        """
        The same and its derivatives, one array each.
        """
    def logpdf(self, /, parameters: Any, data: Any) -> float | None:
        """
        The log-density at a point, given as dense `float64` vectors of the right lengths; `None` if they are anything else.
        """

@final
class HistFactoryHistogram:
    """
    A histogram of soft shares. Threads may use it at once: each borrows compiled programs of its own.
    """
    def __new__(cls, /, bins: SupportsIndex, mode: str, clip: bool) -> HistFactoryHistogram:
        """
        `mode` is `kde` or `sigmoid`; with `clip` the outer bins reach to infinity.
        """
    def contents(self, /, x: Any, weights: Any | None, edges: SupportsGetItem[int, SupportsFloat | SupportsIndex], h: SupportsFloat | SupportsIndex, scale: SupportsFloat | SupportsIndex) -> Incomplete:
        """
        The contents for events and weights of float32 or float64.
        """
    def derivatives(self, /, x: Any, weights: Any | None, edges: SupportsGetItem[int, SupportsFloat | SupportsIndex], h: SupportsFloat | SupportsIndex, scale: SupportsFloat | SupportsIndex, cotangent: SupportsGetItem[int, SupportsFloat | SupportsIndex], needs: tuple[bool, bool, bool]) -> tuple[Any | None, Any | None, float | None]:
        """
        The derivatives of the sum of `cotangent` times the contents: by the events, by the weights, by the bandwidth; each if it is needed.
        """

@final
class HistFactoryInference:
    """
    Inference with a model. Threads may use it at once: each borrows compiled programs of its own.
    """
    def __new__(cls, /, model: HistFactoryModel, threads: SupportsIndex | None) -> HistFactoryInference:
        """
        Inference with this model; programs are compiled when they are first used.
        """
    def asimov_data(self, /, mu: SupportsFloat | SupportsIndex, data: Incomplete, options: Incomplete) -> Incomplete:
        """
        Expected data at fitted parameters.
        """
    def covariance(self, /, parameters: Incomplete, data: Incomplete, moving: SupportsGetItem[int, bool]) -> Incomplete:
        """
        The covariance at these parameters, of those marked.
        """
    def fit(self, /, data: Incomplete, options: Incomplete) -> dict:
        """
        A fit.
        """
    def goodness_of_fit(self, /, fit: Incomplete, data: Incomplete) -> tuple[float, int, float | None]:
        """
        χ², degrees of freedom, p-value.
        """
    def hypotest(self, /, mu: SupportsFloat | SupportsIndex, data: Incomplete, name: str, options: Incomplete) -> tuple[dict, str | None]:
        """
        An asymptotic test of a value, and advice.
        """
    def interval(self, /, index: SupportsIndex, sigmas: SupportsFloat | SupportsIndex, fit: Incomplete, data: Incomplete, options: Incomplete) -> tuple[float | None, float | None]:
        """
        Both ends of a parameter's interval.
        """
    def prediction(self, /, at: tuple[Incomplete, SupportsGetItem[int, SupportsFloat | SupportsIndex]] | None) -> dict:
        """
        Yields at parameters with a covariance; without any, those before a fit.
        """
    def profile(self, /, index: SupportsIndex, values: SupportsGetItem[int, SupportsFloat | SupportsIndex], fit: Incomplete, data: Incomplete, options: Incomplete, progress: Any | None) -> Incomplete:
        """
        −2 ln λ of a parameter at each value.
        """
    def pulls(self, /, fit: Incomplete, data: Incomplete) -> list[tuple[float, float] | None]:
        """
        Pull and constraint of each parameter that has them.
        """
    def ranking(self, /, fit: Incomplete, data: Incomplete, options: Incomplete, progress: Any | None) -> list[tuple[int, tuple[float, float], tuple[float, float] | None]]:
        """
        Impacts, the largest first: position, impacts after and before the fit.
        """
    def scan(self, /, values: SupportsGetItem[int, SupportsFloat | SupportsIndex], data: Incomplete, level: SupportsFloat | SupportsIndex, name: str, options: Incomplete, progress: Any | None) -> tuple[list[tuple[dict, str | None]], dict]:
        """
        Tests at several values, each with advice, and the limits between them.
        """
    def significance(self, /, data: Incomplete, options: Incomplete) -> dict:
        """
        The significance of a discovery.
        """
    def test_statistic(self, /, name: str, mu: SupportsFloat | SupportsIndex, data: Incomplete, options: Incomplete) -> tuple[dict, str | None]:
        """
        A test statistic with its two fits, and advice.
        """
    def toys(self, /, mu: SupportsFloat | SupportsIndex, data: Incomplete, toys: SupportsIndex, seed: SupportsIndex, threads: SupportsIndex | None, name: str, options: Incomplete, progress: Any | None) -> dict:
        """
        A test by toys.
        """
    def upper_limit(self, /, data: Incomplete, level: SupportsFloat | SupportsIndex, name: str, options: Incomplete, progress: Any | None) -> dict:
        """
        An upper limit. As everywhere `progress` is called with the number of steps done.
        """

@final
class HistFactoryModel:
    """
    A model.
    """
    def check(self, /, parameters: Incomplete, data: Incomplete | None) -> None:
        """
        Raises what is wrong with these arrays: a wrong length, a number that is not finite, a negative count.
        """
    def check_rates(self, /, parameters: Incomplete) -> None:
        """
        Raises `NegativeRateError` if a rate is negative at these parameters.
        """
    def config(self, /) -> dict:
        """
        What the arrays mean, as a dict.
        """
    def fit_graph(self, /, templates: SupportsGetItem[int, str], recomputed: bool, max_evaluations: SupportsIndex) -> Graph:
        """
        A fit as a graph, with these templates as inputs.
        """
    def graph(self, /, name: str, templates: SupportsGetItem[int, str], recomputed: bool) -> Graph:
        """
        A graph of the model by name: `rates`, `sample_rates`, `expected_data` or `logpdf`, with these templates as inputs.
        """
    def hypotest_graph(self, /, name: str, templates: SupportsGetItem[int, str], recomputed: bool, max_evaluations: SupportsIndex, warm: bool) -> Graph:
        """
        An asymptotic test by a statistic's name as a graph, with these templates as inputs.
        """
    def modifier_slice(self, /, name: str, channel: str, sample: str, modifier: str | None) -> tuple[int, int] | None:
        """
        Where a modifier of a channel's sample stands in a template; without a name, whichever there is.
        """
    def nominal_slice(self, /, channel: str, sample: str) -> tuple[int, int] | None:
        """
        Where a sample of a channel stands in the template `nominal`.
        """
    def statistic_graph(self, /, name: str, templates: SupportsGetItem[int, str], recomputed: bool, max_evaluations: SupportsIndex, warm: bool) -> Graph:
        """
        A test statistic by name as a graph, with these templates as inputs.
        """
    def template(self, /, name: str) -> Incomplete:
        """
        The values of a template.
        """

@final
class HistFactoryObjective:
    """
    An objective of a model as a function of some of its templates. Fits start where those of the last call ended.
    """
    def __new__(cls, /, model: HistFactoryModel, templates: SupportsGetItem[int, str], recomputed: bool, kind: str, mu: SupportsFloat | SupportsIndex, level: SupportsFloat | SupportsIndex, sigmas: SupportsFloat | SupportsIndex | None, index: SupportsIndex, counts: SupportsGetItem[int, SupportsFloat | SupportsIndex] | None) -> HistFactoryObjective:
        """
        `kind` is `q0`, `z0`, `cls` (of `mu`), `upper_limit` (at `level`), `parameter` or `uncertainty` (of the parameter `index`); `sigmas` says
        which CLs or limit: expected, this many standard deviations from the median, or `None` for observed.
        """
    def evaluate(self, /, templates: SupportsGetItem[int, Incomplete], options: Incomplete) -> dict:
        """
        The objective for these templates (in the order of those given to the constructor) as a dict: `value`, `statistic`, `mu_hat`, the fitted parameters
        `free` and `conditional`, and `gradients`, one array a template.
        """
    def reset(self, /) -> None:
        """
        Forgets where fits ended.
        """

@final
class HistFactoryPatchSet:
    """
    A set of patches.
    """
    def apply(self, /, workspace: HistFactoryWorkspace, name: str | None, values: str | None) -> HistFactoryWorkspace:
        """
        The workspace with the patch of this name, or of these values (JSON text), applied.
        """
    @staticmethod
    def from_json(text: bytes) -> HistFactoryPatchSet:
        """
        Reads JSON text.
        """
    @property
    def metadata(self, /) -> tuple[str, list[str], str, list[tuple[str, str]]]:
        """
        Description, labels, references and digests, the last two as JSON text and pairs.
        """
    @property
    def patches(self, /) -> list[tuple[str, str]]:
        """
        Name and values (as JSON text) of each patch.
        """
    @staticmethod
    def read(path: str | PathLike[str]) -> HistFactoryPatchSet:
        """
        Reads a file.
        """
    def verify(self, /, workspace: HistFactoryWorkspace) -> None:
        """
        Checks the digests.
        """

@final
class HistFactoryWorkspace:
    """
    A workspace.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    @property
    def channels(self, /) -> list[tuple[str, int]]:
        """
        The channels with their numbers of bins, in the workspace's order.
        """
    @staticmethod
    def combine(left: HistFactoryWorkspace, right: HistFactoryWorkspace, join: str, merge_channels: bool) -> HistFactoryWorkspace:
        """
        Two workspaces as one.
        """
    def digest(self, /, algorithm: str) -> str:
        """
        pyhf's digest.
        """
    @staticmethod
    def from_json(text: bytes) -> HistFactoryWorkspace:
        """
        Reads JSON text.
        """
    @property
    def measurements(self, /) -> list[str]:
        """
        The measurements' names.
        """
    def model(self, /, measurement: str | None, poi: str | None, measured_poi: bool, normsys: str, histosys: str, clip_sample_data: SupportsFloat | SupportsIndex | None, clip_bin_data: SupportsFloat | SupportsIndex | None) -> HistFactoryModel:
        """
        The model of a measurement. `poi` is a name or `None`, unless `measured_poi`.
        """
    def observed(self, /, model: HistFactoryModel) -> Incomplete:
        """
        The observed counts in the order of a model's bins.
        """
    def prune(self, /, modifiers: SupportsGetItem[int, str], modifier_types: SupportsGetItem[int, str], samples: SupportsGetItem[int, str], channels: SupportsGetItem[int, str], measurements: SupportsGetItem[int, str]) -> HistFactoryWorkspace:
        """
        The workspace without these.
        """
    @staticmethod
    def read(path: str | PathLike[str]) -> HistFactoryWorkspace:
        """
        Reads a file.
        """
    def rename(self, /, modifiers: dict[str, str], samples: dict[str, str], channels: dict[str, str], measurements: dict[str, str]) -> HistFactoryWorkspace:
        """
        The workspace with other names.
        """
    @staticmethod
    def scaling(bins: SupportsIndex, systematics: SupportsIndex) -> HistFactoryWorkspace:
        """
        The generated workspace of this many bins and systematics.
        """
    def sorted(self, /) -> HistFactoryWorkspace:
        """
        The workspace with its lists in the order of names.
        """
    def summary(self, /) -> str:
        """
        What is in it, as a table.
        """
    def to_json(self, /) -> str:
        """
        The workspace as JSON text.
        """
    @staticmethod
    def workload(name: str) -> HistFactoryWorkspace:
        """
        The shipped workload of this name.
        """

@final
class Model:
    """
    A model. Using one object in two places shares its parameters.
    """
    @staticmethod
    def accuracy() -> Model:
        """
        The share of examples whose highest score is the label's.
        """
    @staticmethod
    def activation(name: str, axis: SupportsIndex, slope: SupportsFloat | SupportsIndex) -> Model:
        """
        The activation of this name; `axis` for (log-)softmax, `slope` for leaky ReLU.
        """
    @staticmethod
    def class_loss(scores: str, reduction: str, class_weights: SupportsGetItem[int, SupportsFloat | SupportsIndex] | None) -> Model:
        """
        A loss of class scores: `scores` is `logits`, `log_probabilities` or `probabilities`.
        """
    @staticmethod
    def dropout(rate: SupportsFloat | SupportsIndex) -> Model:
        """
        Dropout.
        """
    @staticmethod
    def flatten(start: SupportsIndex, end: SupportsIndex) -> Model:
        """
        Makes the axes from `start` to `end` one.
        """
    @staticmethod
    def identity() -> Model:
        """
        Gives its input.
        """
    @property
    def inputs(self, /) -> list[str]:
        """
        The names of the inputs.
        """
    @property
    def kind(self, /) -> str:
        """
        The kind of block: `Linear`.
        """
    @staticmethod
    def layer_norm(sizes: SupportsGetItem[int, SupportsIndex], eps: SupportsFloat | SupportsIndex, weight: bool, bias: bool) -> Model:
        """
        Normalisation over last axes of these sizes.
        """
    @staticmethod
    def linear(inputs: SupportsIndex, outputs: SupportsIndex, bias: bool, weight_init: Any | None, bias_init: Any | None) -> Model:
        """
        A fully connected layer.
        """
    @staticmethod
    def mlp(sizes: SupportsGetItem[int, SupportsIndex]) -> Model:
        """
        A multi-layer perceptron.
        """
    @staticmethod
    def mse(reduction: str) -> Model:
        """
        The squared error.
        """
    @staticmethod
    def multihead_attention(width: SupportsIndex, heads: SupportsIndex, dropout: SupportsFloat | SupportsIndex, bias: bool, causal: bool, cross: bool, mask: bool) -> Model:
        """
        Attention with several heads.
        """
    @property
    def outputs(self, /) -> list[str]:
        """
        The names of the outputs.
        """
    @staticmethod
    def positional_embedding(positions: SupportsIndex, width: SupportsIndex) -> Model:
        """
        Learnt vectors of positions, added.
        """
    @staticmethod
    def python(kind: str, inputs: SupportsGetItem[int, str], forward: Any) -> Model:
        """
        A block whose ops `forward(trace, values) -> (output names, values)` adds.
        """
    @staticmethod
    def rms_norm(sizes: SupportsGetItem[int, SupportsIndex], eps: SupportsFloat | SupportsIndex | None, weight: bool) -> Model:
        """
        Division by the root mean square over last axes of these sizes.
        """
    @staticmethod
    def sequential(blocks: SupportsGetItem[int, Model], output: str | None) -> Model:
        """
        Blocks one after another; `output` names the output.
        """
    @staticmethod
    def tied_embedding(rows: SupportsIndex, width: SupportsIndex, padding: SupportsIndex | None, weight_init: Any | None) -> tuple[Model, Model]:
        """
        A table of vectors, and the linear layer that shares it.
        """
    def trace(self, /, inputs: SupportsGetItem[int, tuple[str, Spec]], training: bool) -> Definition:
        """
        Traces the model on inputs of these types.
        """
    def with_dtype(self, /, dtype: DType) -> Model:
        """
        The same model with parameters of another dtype.
        """

@final
class Optimizer:
    """
    How parameters are changed by their gradients. `lr` is a number, `"input"`, or `("state", number)`.
    """
    @staticmethod
    def adam(lr: Any, betas: tuple[SupportsFloat | SupportsIndex, SupportsFloat | SupportsIndex], eps: SupportsFloat | SupportsIndex, weight_decay: SupportsFloat | SupportsIndex, decoupled: bool) -> Optimizer:
        """
        Adam; AdamW if the weight decay is decoupled.
        """
    @staticmethod
    def sgd(lr: Any, momentum: SupportsFloat | SupportsIndex, dampening: SupportsFloat | SupportsIndex, nesterov: bool, weight_decay: SupportsFloat | SupportsIndex) -> Optimizer:
        """
        Stochastic gradient descent.
        """

@final
class Params:
    """
    A model's parameters: a mapping of names to arrays, shared by any number of programs. Arrays that it gives are read-only;
    assign to change one.
    """
    def __contains__(self, name: str, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __new__(cls, /, tensors: Any) -> Params:
        """
        Copies a mapping of names to arrays.
        """
    def __repr__(self, /) -> str: ...
    def __setitem__(self, name: str, array: Any, /) -> None: ...
    def items(self, /) -> list[tuple[str, Any]]:
        """
        (name, array) of every parameter.
        """
    def keys(self, /) -> list[str]:
        """
        The names, in order.
        """
    def values(self, /) -> list[Any]:
        """
        The arrays, in order.
        """

@final
class Profile:
    """
    Where the time of a program's runs went, step by step. Prints as a table.
    """
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    def chrome_trace(self, /, path: str | PathLike[str]) -> None:
        """
        Writes the timeline of the runs as a file for Perfetto or Chrome's about:tracing.
        """
    @property
    def runs(self, /) -> int:
        """
        The number of runs.
        """
    @property
    def seconds(self, /) -> float:
        """
        The mean time of a run in seconds.
        """
    @property
    def steps(self, /) -> list:
        """
        The steps, those that took longest first, each a dict: `kind`, `detail`, `site`, `flops`, `bytes`, `calls` (a run),
        `seconds` (the mean), `fastest` (seconds), `share` (of a run), `limit` ("memory" or "arithmetic") and `roofline` (the
        least time that this machine's limits allow over the fastest), the last two `None` where nothing is known.
        """

@final
class Program:
    """
    A compiled program: immutable, shared by any number of threads.
    """
    def __call__(self, /, *args, **inputs) -> Any:
        """
        Runs once on arrays given by name: `program(params, x=images)` gives a dict of arrays, and `step(state, x=images, y=labels)`
        the next state and a dict of arrays.
        """
    def __repr__(self, /) -> str: ...
    @property
    def definition(self, /) -> Graph:
        """
        The graph before the passes, for these shapes: the one to differentiate.
        """
    @property
    def graph(self, /) -> Graph:
        """
        The graph after the passes.
        """
    def init(self, /, seed=0) -> Any:
        """
        Initial parameters, or the initial state of a program that updates it.
        """
    @property
    def inputs(self, /) -> dict:
        """
        The types of the inputs given at every run, by name.
        """
    @property
    def outputs(self, /) -> dict:
        """
        The types of the outputs, by name.
        """
    def positional(self, /, inputs: SupportsGetItem[int, Any]) -> list:
        """
        Runs on the inputs in order, without parameters; gives the outputs in order.
        """
    def prepare(self, /, params: Params, consume: bool = False) -> None:
        """
        Does now what a first run would do with the parameters (packing weights). With `consume`, parameters that only this needs
        are given up.
        """
    def profile(self, /, *args, runs: SupportsIndex = 20, **inputs) -> Any:
        """
        Runs `runs` times (and once before) and tells where the time went: `program.profile(params, x=images)` gives a `Profile`;
        `step.profile(state, x=images, y=labels)` makes as many steps and gives the state after them and a `Profile`.
        """
    def report(self, /) -> Report:
        """
        What compiling cost and what the program consists of: stages, kernels, memory.
        """
    def session(self, /, params: Any | None = None) -> Session:
        """
        A session over parameters: memory and names bound once, for many runs.
        """
    def source(self, /) -> str:
        """
        The generated code, or the plan.
        """
    def state(self, /, tensors: Any) -> State:
        """
        The state made of these tensors (a mapping of names to arrays).
        """

@final
class Region:
    """
    A closed piece of a graph, for ops that own one.
    """
    def __str__(self, /) -> str: ...
    def graph(self, /, inputs: SupportsGetItem[int, str], outputs: SupportsGetItem[int, str]) -> Graph:
        """
        A graph around the region, with these names for inputs and outputs. All inputs are given at every run.
        """
    @property
    def results(self, /) -> list[Spec]:
        """
        The results' types.
        """

@final
class Report:
    """
    What compiling a program cost, and what it consists of. Prints as a table.
    """
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    @property
    def arena(self, /) -> int:
        """
        Bytes of the arena of a run.
        """
    @property
    def kernels(self, /) -> list[tuple[str, str, str, int, int]]:
        """
        (kind, detail, site, FLOPs, bytes) of each kernel of a run.
        """
    @property
    def prepared(self, /) -> int:
        """
        Bytes made of the parameters when they are prepared.
        """
    @property
    def stages(self, /) -> list[tuple[str, float]]:
        """
        Seconds of each stage of this compilation, in order.
        """

@final
class Session:
    """
    Memory and names bound once, for many runs of one program over the same parameters.
    """
    def __call__(self, /, **inputs) -> dict:
        """
        Sets inputs, runs, and gives the outputs as a dict of read-only arrays.
        """
    def __getitem__(self, name: str, /) -> Any:
        """
        An output of the last run, read-only. The next run leaves it as it is.
        """
    def run(self, /) -> None:
        """
        Runs on what the inputs hold.
        """
    def set(self, /, **inputs) -> None:
        """
        Copies arrays into the inputs of these names.
        """

@final
class Spec:
    """
    The type of a tensor: element type and shape.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(cls, /, dtype: DType, shape: Any) -> Spec:
        """
        A tensor of this element type and shape.
        """
    def __repr__(self, /) -> str: ...
    @property
    def dtype(self, /) -> DType:
        """
        The element type.
        """
    @property
    def shape(self, /) -> tuple:
        """
        The sizes of the axes: numbers, or `Dim` where they are unknown.
        """

@final
class State:
    """
    The state of a training run: parameters, moments, counters, keys. A mapping of names to read-only arrays. A step consumes
    it and gives the next one, in the same memory.
    """
    def __contains__(self, name: str, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    @property
    def consumed(self, /) -> bool:
        """
        Whether a step has taken the state.
        """
    def items(self, /) -> list[tuple[str, Any]]:
        """
        (name, array) of every tensor.
        """
    def keys(self, /) -> list[str]:
        """
        The names, in order.
        """
    @property
    def params(self, /) -> Params:
        """
        The trained parameters, for inference. They share the state's memory until the next step, which then works on a copy.
        """
    def values(self, /) -> list[Any]:
        """
        The arrays, in order.
        """

@final
class Trace:
    """
    A graph under construction.
    """
    def __new__(cls, /, around: Trace | None = None) -> Trace:
        """
        `around` is the trace of the function or block that this one is traced in.
        """
    def adopt(self, /, value: Value) -> Value:
        """
        The value in this trace: one of an enclosing trace is taken in as a capture.
        """
    def broadcast(self, /, operands: SupportsGetItem[int, Value], site: str) -> list[Value]:
        """
        Brings two or three values to one shape by NumPy's rules.
        """
    def broadcast_to(self, /, operand: Value, shape: Any, site: str) -> Value:
        """
        Brings a value to a shape by NumPy's rules.
        """
    def call(self, /, name: str, model: Model, operands: SupportsGetItem[int, Value], site: str) -> list[Value]:
        """
        Calls a child block of the model being traced. `site` is the user's line.
        """
    def captures(self, /) -> list[Value]:
        """
        Values of enclosing traces that were referred to so far.
        """
    def constant(self, /, array: Any, site: str) -> Value:
        """
        Adds a constant.
        """
    def finish(self, /, results: SupportsGetItem[int, Value], captures: SupportsGetItem[int, Value]) -> Region:
        """
        Ends the trace: a region whose parameters are the trace's and then one for each of `captures`, which must include all
        that were referred to.
        """
    def inline(self, /, graph: Graph, operands: SupportsGetItem[int, Value], site: str) -> list[Value]:
        """
        Adds a graph's ops; gives its outputs. `site` is the user's line, for ops whose place is not known more closely.
        """
    def op(self, /, name: str, operands: SupportsGetItem[int, Value], attrs: dict | None, site: str) -> list[Value]:
        """
        Adds the op called `name` in the text form. `site` is the user's line.
        """
    def param(self, /, spec: Spec) -> Value:
        """
        Adds a parameter. Parameters come before ops.
        """
    def parameter(self, /, name: str, shape: Any, init: Any) -> Value:
        """
        A parameter of the block being traced.
        """
    def random_key(self, /) -> Value:
        """
        A key for random numbers of the model being traced.
        """
    def scalar(self, /, dtype: DType, number: Any, site: str) -> Value:
        """
        Adds a scalar constant: a number converted to the dtype.
        """
    def set_state(self, /, name: str, value: Value) -> None:
        """
        Gives a state of the block being traced its next value.
        """
    def state_value(self, /, name: str, spec: Spec, init: Any) -> Value:
        """
        The present value of a state of the block being traced.
        """
    def training(self, /) -> bool | None:
        """
        Whether a model is being traced for training. `None` in a plain function.
        """

@final
class Training:
    """
    A training step: model, loss, optimizer.
    """
    def __new__(cls, /, model: Model, loss: Model, optimizer: Optimizer, metrics: SupportsGetItem[int, Model], outputs: bool, clip_norm: SupportsFloat | SupportsIndex | None) -> Training: ...
    def trace(self, /, inputs: SupportsGetItem[int, tuple[str, Spec]]) -> Definition:
        """
        Traces the step on inputs of these types.
        """

@final
class TransformerLayer:
    """
    The configuration of a transformer's layer.
    """
    def __new__(cls, /, width: SupportsIndex, heads: SupportsIndex, feedforward: SupportsIndex, dropout: SupportsFloat | SupportsIndex, activation: str, eps: SupportsFloat | SupportsIndex, norm_first: bool, bias: bool, causal: bool) -> TransformerLayer: ...
    def model(self, /) -> Model:
        """
        One layer.
        """
    def stack(self, /, count: SupportsIndex, norm: bool | None) -> Model:
        """
        Layers one after another, then a normalisation (by default where they normalise first).
        """
    def transformer(self, /, vocabulary: SupportsIndex, context: SupportsIndex, layers: SupportsIndex, tied: bool) -> Model:
        """
        A decoder-only transformer.
        """

@final
class Value:
    """
    A value of a graph under construction.
    """
    @property
    def dtype(self, /) -> DType:
        """
        Its element type.
        """
    @property
    def index(self, /) -> int:
        """
        Its number in the trace.
        """
    @property
    def shape(self, /) -> tuple:
        """
        Its shape.
        """
    @property
    def spec(self, /) -> Spec:
        """
        Its type, with all that is known of symbolic sizes by now.
        """
    @property
    def trace(self, /) -> Trace:
        """
        The trace it belongs to.
        """

def as_array(array: Any) -> Any:
    """
    Anything array-like as a NumPy array, without a copy where that is possible.
    """

def cache_clear() -> None:
    """
    Forgets every compiled graph.
    """

def cache_info() -> tuple[int, int, int, int]:
    """
    Compiled graphs in the cache: (hits, misses, size, limit).
    """

def cache_limit(limit: SupportsIndex) -> None:
    """
    Sets how many compiled graphs are kept.
    """

def compile(definition: Definition, shapes: dict[str, SupportsGetItem[int, SupportsIndex]], backend: str, optimize: str, threads, nan_check: bool) -> Program:
    """
    Compiles a definition for inputs of these shapes.
    """

def generate(definition: Definition, shapes: dict[str, SupportsGetItem[int, SupportsIndex]], framework: str, optimize: str, jit: bool, jit_arguments: str, device: str | None, differentiate: bool, stack_layers: bool) -> Generated:
    """
    Writes the source of a definition for inputs of these shapes; `differentiate`: the derivatives of a training step are left to
    the framework; `stack_layers`: equal layers in a row are one loop of the framework's.
    """

def load(path: str | PathLike[str]) -> Any:
    """
    Reads a safetensors file: `State` if a state was saved, otherwise `Params`.
    """

def save(path: str | PathLike[str], contents: Any) -> None:
    """
    Writes tensors to `path` as safetensors. A reader sees the old file or the new one, never a part.
    """

def spec_of(array: Any) -> Spec:
    """
    The type of anything array-like.
    """
