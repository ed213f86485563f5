//! A graph as a module.

use crate::blocks::Blocks;
use crate::function::{Function, Style, write_return};
use crate::module::{Module, Stack};
use crate::py::{Py, atom, index, line, statement, string};
use crate::update::{Updates, next_state};
use crate::{EmitError, Framework};
use hashbrown::HashMap;
use wootz_ir::ops::Control;
use wootz_ir::{DType, Graph, Node, Op, Region, Role, TensorType};

/// How source is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The framework.
    pub framework: Framework,
    /// Whether the program's function is compiled by the framework when it is first called (`jax.jit`, `torch.compile`,
    /// `mx.compile`). NumPy has nothing of the kind.
    pub jit: bool,
    /// Arguments of the framework's compiler, as Python source: `mode="max-autotune"`.
    pub jit_arguments: String,
    /// The device that PyTorch makes new tensors on; `None` is the CPU.
    pub device: Option<String>,
    /// Whether equal layers in a row become a loop of the framework over their stacked parameters: JAX's `lax.scan`. They are
    /// compiled once.
    pub stack_layers: bool,
}

impl Options {
    /// Plain source for a framework: not compiled, on its default device.
    pub fn new(framework: Framework) -> Options {
        Options { framework, jit: false, jit_arguments: String::new(), device: None, stack_layers: false }
    }
}

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The text of the file.
    pub text: String,
    /// The function that runs the program: `forward` or `step`.
    pub function: &'static str,
    /// Whether its first argument is a dict: parameters of `forward`, the state of `step`.
    pub held: bool,
    /// What that dict has stacked.
    pub stacks: Vec<Stack>,
}

/// Writes the module of a graph whose sizes are numbers and which has been through [`optimize`](crate::optimize).
pub fn emit(graph: &Graph, options: &Options) -> Result<Source, EmitError> {
    check_inputs(graph, options.framework)?;
    let mut module = Module::new(options.framework, options.device.clone());
    let updates = graph.outputs.iter().any(|o| o.alias.is_some());
    let (function, container) = if updates { ("step", "state") } else { ("forward", "params") };
    let held = graph.inputs.iter().any(|i| i.role != Role::Input);
    module.names.reserve(function);

    let found = Updates::of(graph, options);
    let blocks = Blocks::of(graph, &found, |input| input.role != Role::Input);
    let style = Style { container, stacked: options.stack_layers };
    LOOP_NAMES.iter().for_each(|name| module.names.reserve(name));
    if !updates {
        module.stackable = graph.inputs.iter().map(|input| (input.name.to_string(), 0)).collect();
    }
    let mut writer = Function::of_graph(&mut module, &graph.body, &found, blocks, Some(style));
    let mut arguments: Vec<String> = Vec::new();
    for (input, value) in graph.inputs.iter().zip(graph.body.params()) {
        if input.role == Role::Input {
            let name = writer.names.fresh(&input.name);
            writer.bind_param(value, atom(&name))?;
            arguments.push(name);
        } else {
            writer.bind_param(value, index(atom(container), [string(&input.name)]))?;
        }
    }
    let in_place = options.framework == Framework::Torch;
    for (i, (output, value)) in graph.outputs.iter().zip(graph.body.results()).enumerate() {
        if found.outputs.contains(&i) {
            continue;
        }
        writer.hint(*value, &output.name);
        if let (true, Some(input)) = (in_place, output.alias) {
            let param = graph.body.params().nth(input).expect("an alias is an input's position");
            writer.updates(*value, param);
        }
    }
    writer.nodes()?;
    let result = results(graph, &mut writer, updates, &found)?;
    let body = std::mem::take(&mut writer.body);

    let mut text = String::new();
    let what = if updates { Decorated::Step } else { Decorated::Function };
    decorate(&mut text, options, what, decides(&graph.body));
    let first = held.then(|| atom(container));
    let head =
        Py::Call(Box::new(atom(function)), first.into_iter().chain(arguments.iter().map(atom)).collect());
    statement(&mut text, 0, "def ", &head, ":");
    docstring(&mut text, graph);
    text.push_str(&body);
    write_return(&mut text, &result);
    check_stacked(&module, options)?;
    let summary = summary(&module, &head, updates, has_doubles(&graph.body));
    let stacks = std::mem::take(&mut module.stacks);
    Ok(Source { text: module.finish(&summary, &text)?, function, held, stacks })
}

/// Whether the framework has the dtypes of all inputs.
pub(crate) fn check_inputs(graph: &Graph, framework: Framework) -> Result<(), EmitError> {
    for (i, (input, value)) in graph.inputs.iter().zip(graph.body.params()).enumerate() {
        let dtype = graph.input_type(i).dtype;
        if framework.has(dtype) {
            continue;
        }
        let user = graph.body.nodes().iter().find(|node| node.inputs.contains(&value));
        let of = user.map_or_else(String::new, |node| format!(" of `{}`", node.op.name()));
        let op = format!("{} `{}`{of}", input.role.name(), input.name);
        let site = user.map_or_else(Default::default, |node| node.site.clone());
        return Err(EmitError::DType { framework, dtype, op, site });
    }
    Ok(())
}

/// What loops over parameters and blocks count with.
pub(crate) const LOOP_NAMES: [&str; 3] = ["name", "prefix", "own"];

/// Whether layers are stacked if they were to be.
pub(crate) fn check_stacked(module: &Module, options: &Options) -> Result<(), EmitError> {
    match (options.stack_layers, options.framework) {
        (true, Framework::Jax) if !module.stacked => Err(EmitError::NothingToStack),
        (false, _) | (true, Framework::Jax) => Ok(()),
        (true, framework) => Err(EmitError::Stacking { framework }),
    }
}

/// The dict of outputs; of a step, the next state and the dict of the other outputs.
fn results(
    graph: &Graph,
    writer: &mut Function<'_>,
    updates: bool,
    found: &Updates,
) -> Result<Py, EmitError> {
    let mut outputs = Vec::new();
    let mut new: HashMap<usize, Py> = HashMap::new();
    for (i, (output, value)) in graph.outputs.iter().zip(graph.body.results()).enumerate() {
        if found.outputs.contains(&i) {
            continue;
        }
        let code = writer.result(*value)?;
        match output.alias {
            Some(input) => {
                let kept = code == index(atom("state"), [string(&graph.inputs[input].name)]);
                let code = if kept || found.groups.is_empty() { code } else { writer.settle(code) };
                new.insert(input, code);
            }
            // What is read of the state is read before it changes.
            None if updates => outputs.push((output.name.to_string(), writer.settle(code))),
            None => outputs.push((output.name.to_string(), code)),
        }
    }
    if !updates {
        return Ok(Py::Dict(outputs));
    }
    next_state(writer, graph, found, new)?;
    Ok(Py::Tuple(vec![atom("state"), Py::Dict(outputs)]))
}

/// Whether what a region runs depends on values, which MLX compiles nothing of.
pub(crate) fn decides(region: &Region) -> bool {
    region.nodes().iter().any(|node| {
        matches!(&node.op, Op::Control(Control::Cond { .. } | Control::While { .. }))
            || node.op.regions().into_iter().any(|r| decides(r))
    })
}

/// What stands below decorators.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decorated {
    /// What only computes.
    Function,
    /// A step, which takes its state's memory.
    Step,
}

pub(crate) fn decorate(out: &mut String, options: &Options, what: Decorated, decides: bool) {
    let updates = what == Decorated::Step;
    let donates = updates && options.framework == Framework::Jax;
    let mut arguments: Vec<&str> = Vec::new();
    arguments.extend(donates.then_some("donate_argnums=0"));
    arguments.extend((!options.jit_arguments.is_empty()).then_some(options.jit_arguments.as_str()));
    let arguments = arguments.join(", ");
    let decorator = match (options.framework, arguments.is_empty()) {
        (Framework::Numpy, _) => None,
        (Framework::Jax, true) => Some("@jax.jit".to_owned()),
        (Framework::Jax, false) => Some(format!("@partial(jax.jit, {arguments})")),
        (Framework::Torch, true) => Some("@torch.compile".to_owned()),
        (Framework::Torch, false) => Some(format!("@torch.compile({arguments})")),
        (Framework::Mlx, _) => (!decides).then(|| "@mx.compile".to_owned()),
    };
    if let (true, Some(decorator)) = (options.jit, decorator) {
        line(out, 0, &decorator);
    }
    if updates && options.framework == Framework::Torch {
        // The derivatives are in the source.
        line(out, 0, "@torch.no_grad()");
    }
}

/// What comes in and what goes out.
pub(crate) fn docstring(out: &mut String, graph: &Graph) {
    let entry = |name: &str, ty: &TensorType| format!("{name}: {ty}");
    let inputs = (0..graph.inputs.len()).filter(|i| graph.inputs[*i].role == Role::Input);
    let inputs: Vec<String> = inputs.map(|i| entry(&graph.inputs[i].name, graph.input_type(i))).collect();
    let outputs = (0..graph.outputs.len()).filter(|i| graph.outputs[*i].alias.is_none());
    let outputs: Vec<String> = outputs.map(|i| entry(&graph.outputs[i].name, graph.output_type(i))).collect();
    let flat = format!("\"\"\"{} -> {}\"\"\"", inputs.join(", "), outputs.join(", "))
        .replace("\"\"\" ->", "\"\"\"->");
    if flat.chars().count() + 4 <= crate::py::WIDTH {
        line(out, 4, &flat);
        return;
    }
    line(out, 4, "\"\"\"Takes and gives:");
    line(out, 0, "");
    for input in &inputs {
        line(out, 4, input);
    }
    for output in &outputs {
        line(out, 4, &format!("-> {output}"));
    }
    line(out, 4, "\"\"\"");
}

pub(crate) fn summary(module: &Module, head: &Py, updates: bool, doubles: bool) -> String {
    let framework = module.framework;
    let language = match framework {
        Framework::Numpy => "NumPy",
        Framework::Jax => "JAX",
        Framework::Torch => "PyTorch",
        Framework::Mlx => "MLX",
    };
    let head = head.flat();
    let (what, held) = match updates {
        true => (
            "A training step",
            "`state` and the results are dicts of arrays by name; a step gives the next state and the losses.",
        ),
        false => ("A model", "Parameters and results are dicts of arrays by name."),
    };
    let needs = match framework {
        Framework::Jax if doubles => {
            "\n\nIt computes in float64: enable that before this is imported,\n`jax.config.update(\"jax_enable_x64\", True)`."
        }
        Framework::Numpy | Framework::Jax | Framework::Torch | Framework::Mlx => "",
    };
    let stacks = module.stacks.first().map_or_else(String::new, |stack| {
        let (name, members) = (&stack.name, &stack.members);
        let last = if members.len() > 2 { ",\nand so on" } else { "" };
        format!(
            "\n\nWhat equal layers hold comes in stacked along a new first axis:\n`{name}` is\n`{}`, `{}`{last}.",
            members[0], members[1]
        )
    });
    format!("{what} for {language}, written by wootz: {head}.\n\n{held}{stacks}{needs}")
}

/// Whether any value in a region has 64 bits, which JAX has to be told of.
pub fn has_64_bits(region: &Region) -> bool {
    has(region, &[DType::F64, DType::I64])
}

pub(crate) fn has_doubles(region: &Region) -> bool {
    has(region, &[DType::F64])
}

fn has(region: &Region, dtypes: &[DType]) -> bool {
    let is = |v| dtypes.contains(&region.ty(v).dtype);
    let inside = |node: &Node| node.op.regions().into_iter().any(|r| has(r, dtypes));
    region.params().any(is) || region.nodes().iter().any(|n| n.outputs().any(is) || inside(n))
}
