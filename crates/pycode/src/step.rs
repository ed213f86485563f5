//! A training step whose derivatives the framework takes: the loss as a function, and a step that differentiates it.

use crate::blocks::Blocks;
use crate::function::{Function, Style, write_return};
use crate::module::{Module, Stack};
use crate::program::{
    Decorated, LOOP_NAMES, check_inputs, check_stacked, decides, decorate, docstring, has_doubles, summary,
};
use crate::py::{Py, atom, call, index, keyword, line, method, statement, string};
use crate::update::{Updates, next_state};
use crate::{EmitError, Framework, Options, Source};
use hashbrown::HashMap;
use wootz_ir::{Graph, Output, Role};

/// A training step in two graphs, both of which have been through [`optimize`](crate::optimize).
#[derive(Clone, Debug)]
pub struct Step {
    /// Its first output is the loss.
    pub forward: Graph,
    /// The same inputs and then gradients; its outputs all take an input's place.
    pub update: Graph,
    /// (parameter, the input of `update` that is its gradient).
    pub gradients: Vec<(String, String)>,
}

const LOSS: &str = "compute_loss";

/// Writes the module of a training step, the derivatives left to the framework.
pub fn emit_step(step: &Step, options: &Options) -> Result<Source, EmitError> {
    if options.framework == Framework::Numpy {
        return Err(EmitError::Derivatives { framework: options.framework });
    }
    check_inputs(&step.forward, options.framework)?;
    // `torch.compile` traces no call of `torch.autograd.grad`: it compiles the loss, whose derivatives it writes itself, and the
    // optimizer is one fused kernel either way.
    let loss_alone = options.jit && options.framework == Framework::Torch;
    let whole = Options { jit: options.jit && !loss_alone, ..options.clone() };
    let mut module = Module::new(options.framework, options.device.clone());
    for name in ["step", LOSS, "value", "outputs"] {
        module.names.reserve(name);
    }
    LOOP_NAMES.iter().for_each(|name| module.names.reserve(name));
    let found = Updates::of(&step.update, &whole);
    module.stackable = stackable(&step.update, &found);
    let (reads_state, loss) = loss_function(&mut module, &step.forward, options)?;
    check_stacked(&module, options)?;
    let trained = module.names_of(step.gradients.iter().map(|(name, _)| name.as_str()));
    let mut compiled = String::new();
    if loss_alone {
        let decides = decides(&step.forward.body);
        decorate(&mut compiled, options, Decorated::Function, decides);
    }
    module.add_function(compiled + &loss);
    stack_states(&mut module, &found);
    let (arguments, update) = update_body(&mut module, step, &found, &whole)?;

    let mut text = String::new();
    let decides = [&step.forward, &step.update].iter().any(|graph| decides(&graph.body));
    decorate(&mut text, &whole, Decorated::Step, decides);
    let head = call("step", std::iter::once(atom("state")).chain(arguments.iter().map(atom)));
    statement(&mut text, 0, "def ", &head, ":");
    docstring(&mut text, &step.forward);
    let held = parameter(options.framework).flat();
    line(&mut text, 4, &format!("params = {{name: {held} for name in {trained}}}"));
    let own = [Some(atom("params")), reads_state.then(|| atom("state"))];
    let given: Vec<Py> = own.into_iter().flatten().chain(arguments.iter().map(atom)).collect();
    let others = if step.forward.outputs.len() > 1 { Others::Given } else { Others::None };
    differentiate(&mut text, options.framework, given, others);
    text.push_str(&update);
    let mut outputs = plain(&step.forward).map(|o| o.name.to_string());
    let loss = outputs.next().unwrap_or_default();
    let value = match options.framework {
        Framework::Torch => method(atom("value"), "detach", []),
        Framework::Numpy | Framework::Jax | Framework::Mlx => atom("value"),
    };
    let others = outputs.map(|name| {
        let output = index(atom("outputs"), [string(&name)]);
        let output =
            if options.framework == Framework::Torch { method(output, "detach", []) } else { output };
        (name, output)
    });
    let outputs = Py::Dict(std::iter::once((loss, value)).chain(others).collect());
    write_return(&mut text, &Py::Tuple(vec![atom("state"), outputs]));
    let doubles = has_doubles(&step.forward.body);
    let summary = summary(&module, &head, true, doubles);
    let stacks = std::mem::take(&mut module.stacks);
    Ok(Source { text: module.finish(&summary, &text)?, function: "step", held: true, stacks })
}

/// Parameters that are updated as one where they are stacked: those of a group, and those that nothing updates.
fn stackable(update: &Graph, found: &Updates) -> HashMap<String, usize> {
    let grouped = found
        .groups
        .iter()
        .enumerate()
        .flat_map(|(i, group)| group.members.iter().map(move |member| (member.name.clone(), i + 1)));
    let replaced: Vec<usize> = update.outputs.iter().filter_map(|output| output.alias).collect();
    let still = update
        .inputs
        .iter()
        .enumerate()
        .filter(|(i, input)| input.role == Role::Param && !replaced.contains(i));
    still.map(|(_, input)| (input.name.to_string(), 0)).chain(grouped).collect()
}

/// What is held for stacked parameters is stacked too.
fn stack_states(module: &mut Module, found: &Updates) {
    let mut stacks = Vec::new();
    for group in &found.groups {
        let members: Vec<&str> = group.members.iter().map(|member| member.name.as_str()).collect();
        for stack in module.stacks.iter().filter(|stack| members.contains(&stack.members[0].as_str())) {
            for slot in group.slots.iter().skip(1) {
                let named = |name: &String| format!("{}{name}{}", slot.before, slot.after);
                let members = stack.members.iter().map(named).collect();
                stacks.push(Stack { name: named(&stack.name), members });
            }
        }
    }
    module.stacks.extend(stacks);
}

/// `def compute_loss(params, x, y)`: the loss, and a dict of everything else. Tells whether it reads the state.
fn loss_function(
    module: &mut Module,
    forward: &Graph,
    options: &Options,
) -> Result<(bool, String), EmitError> {
    let none = Updates::default();
    let blocks = Blocks::of(forward, &none, |input| input.role == Role::Param);
    let style = Style { container: "params", stacked: options.stack_layers };
    let mut writer = Function::of_graph(module, &forward.body, &none, blocks, Some(style));
    let mut arguments = Vec::new();
    for (input, value) in forward.inputs.iter().zip(forward.body.params()) {
        match input.role {
            Role::Input => {
                let name = writer.names.fresh(&input.name);
                writer.bind_param(value, atom(&name))?;
                arguments.push(name);
            }
            Role::Param => writer.bind_param(value, index(atom("params"), [string(&input.name)]))?,
            Role::State => writer.bind_param(value, index(atom("state"), [string(&input.name)]))?,
        }
    }
    for (output, value) in forward.outputs.iter().zip(forward.body.results()) {
        if forward.outputs.len() > 1 {
            writer.hint(*value, &output.name);
        }
    }
    writer.nodes()?;
    let mut results = Vec::new();
    for (output, value) in forward.outputs.iter().zip(forward.body.results()) {
        results.push((output.name.to_string(), writer.result(*value)?));
    }
    let others = results.split_off(1);
    let loss = results.remove(0).1;
    let body = std::mem::take(&mut writer.body);
    let reads_state = forward.inputs.iter().zip(forward.body.params()).any(|(input, value)| {
        input.role == Role::State && forward.body.nodes().iter().any(|n| n.inputs.contains(&value))
    });
    let own = [Some(atom("params")), reads_state.then(|| atom("state"))];
    let mut text = String::new();
    let head = call(LOSS, own.into_iter().flatten().chain(arguments.iter().map(atom)));
    statement(&mut text, 0, "def ", &head, ":");
    line(
        &mut text,
        4,
        match others.is_empty() {
            true => "\"\"\"The loss.\"\"\"",
            false => "\"\"\"The loss, and a dict of what else the forward pass gives.\"\"\"",
        },
    );
    text.push_str(&body);
    let result = if others.is_empty() { loss } else { Py::Tuple(vec![loss, Py::Dict(others)]) };
    write_return(&mut text, &result);
    Ok((reads_state, text))
}

/// The names of the inputs, and the statements of the update.
fn update_body(
    module: &mut Module,
    step: &Step,
    found: &Updates,
    options: &Options,
) -> Result<(Vec<String>, String), EmitError> {
    let update = &step.update;
    let gradients: HashMap<&str, &str> =
        step.gradients.iter().map(|(param, gradient)| (gradient.as_str(), param.as_str())).collect();
    let mut writer = Function::of_graph(module, &update.body, found, Blocks::default(), None);
    let mut arguments = Vec::new();
    for (input, value) in update.inputs.iter().zip(update.body.params()) {
        let code = match (input.role, gradients.get(&*input.name)) {
            (Role::Input, Some(param)) => writer.module.held("gradients", param),
            (Role::Input, None) => {
                let name = writer.names.fresh(&input.name);
                arguments.push(name.clone());
                atom(name)
            }
            (Role::Param | Role::State, _) => writer.module.held("state", &input.name),
        };
        writer.bind_param(value, code)?;
    }
    let left = |i: &usize| !found.outputs.contains(i);
    let outputs: Vec<usize> = (0..update.outputs.len()).filter(left).collect();
    for i in &outputs {
        let (output, value) = (&update.outputs[*i], update.body.results()[*i]);
        writer.hint(value, &output.name);
        if let (Framework::Torch, Some(input)) = (options.framework, output.alias) {
            let param = update.body.params().nth(input).expect("an alias is an input's position");
            writer.updates(value, param);
        }
    }
    writer.nodes()?;
    let mut new: HashMap<usize, Py> = HashMap::new();
    // What the model itself changes comes out of the forward pass.
    for output in &step.forward.outputs {
        if let Some(input) = output.alias {
            new.insert(input, index(atom("outputs"), [string(&output.name)]));
        }
    }
    for i in outputs {
        let code = writer.result(update.body.results()[i])?;
        new.extend(update.outputs[i].alias.map(|input| (input, code)));
    }
    next_state(&mut writer, update, found, new)?;
    Ok((arguments, std::mem::take(&mut writer.body)))
}

/// A parameter as the loss is differentiated by it.
fn parameter(framework: Framework) -> Py {
    let held = index(atom("state"), [atom("name")]);
    match framework {
        Framework::Torch => method(method(held, "detach", []), "requires_grad_", []),
        Framework::Numpy | Framework::Jax | Framework::Mlx => held,
    }
}

/// Whether the loss function gives more than the loss.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Others {
    None,
    Given,
}

/// `(value, outputs), gradients = jax.value_and_grad(compute_loss, has_aux=True)(params, x, y)`.
fn differentiate(text: &mut String, framework: Framework, given: Vec<Py>, others: Others) {
    let of = |function: &str, more: Vec<Py>, given: Vec<Py>| {
        Py::Call(Box::new(call(function, std::iter::once(atom(LOSS)).chain(more))), given)
    };
    let values = match others {
        Others::None => "value",
        Others::Given => "value, outputs",
    };
    let with_gradients = match others {
        Others::None => "value, gradients = ",
        Others::Given => "(value, outputs), gradients = ",
    };
    match framework {
        Framework::Torch => {
            line(text, 4, "with torch.enable_grad():");
            statement(text, 8, &format!("{values} = "), &call(LOSS, given), "");
            let params = call("list", [method(atom("params"), "values", [])]);
            let zeros = keyword("materialize_grads", atom("True"));
            let grads = call("torch.autograd.grad", [atom("value"), params, zeros]);
            statement(text, 4, "gradients = ", &call("dict", [call("zip", [atom("params"), grads])]), "");
        }
        Framework::Jax => {
            let aux = (others == Others::Given).then(|| keyword("has_aux", atom("True")));
            let code = of("jax.value_and_grad", aux.into_iter().collect(), given);
            statement(text, 4, with_gradients, &code, "");
        }
        Framework::Mlx => {
            let code = of("mx.value_and_grad", Vec::new(), given);
            statement(text, 4, with_gradients, &code, "");
        }
        Framework::Numpy => unreachable!("NumPy was refused above"),
    }
}

/// The outputs that take no input's place.
fn plain(forward: &Graph) -> impl Iterator<Item = &Output> {
    forward.outputs.iter().filter(|o| o.alias.is_none())
}
