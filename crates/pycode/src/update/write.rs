//! Updates as statements: a fused kernel over lists, or a function of one parameter that is called in a loop.

use super::rule::{Adam, Fused, Rate, Sgd};
use super::{Group, Rule, Slot, Updates};
use crate::function::{Function, write_return};
use crate::names::identifier;
use crate::py::{Py, atom, call, index, infix, keyword, line, method, prefix, statement, string};
use crate::{EmitError, Framework};
use hashbrown::HashMap;
use wootz_ir::{DType, Graph, Region, Role};

/// Writes the updates of a step and what else changes in its state; `new` has what takes the places of other inputs, by their
/// positions.
pub(crate) fn next_state(
    writer: &mut Function<'_>,
    graph: &Graph,
    updates: &Updates,
    mut new: HashMap<usize, Py>,
) -> Result<(), EmitError> {
    let mut plans = Vec::new();
    for group in &updates.groups {
        plans.push(Plan::new(writer, group)?);
    }
    for (group, plan) in updates.groups.iter().zip(&plans) {
        if let Rule::Fused(fused) = &group.rule {
            let code = match fused {
                Fused::Adam(adam) => plan.adam(group, adam),
                Fused::Sgd(sgd) => plan.sgd(group, sgd),
            };
            statement(&mut writer.body, 4, "", &code, "");
        }
    }
    let mut entries = Vec::new();
    let mut all = true;
    for (i, input) in graph.inputs.iter().enumerate().filter(|(_, input)| input.role != Role::Input) {
        let held = index(atom("state"), [string(&input.name)]);
        match new.remove(&i).filter(|code| *code != held) {
            Some(code) => entries.push((input.name.to_string(), code)),
            None => all = false,
        }
    }
    let loops = updates.groups.iter().any(|group| matches!(group.rule, Rule::Function { .. }));
    if !all && (!entries.is_empty() || loops) {
        entries.insert(0, (String::new(), prefix("**", atom("state"))));
    }
    if !entries.is_empty() {
        statement(&mut writer.body, 4, "state = ", &Py::Dict(entries), "");
    }
    for (group, plan) in updates.groups.iter().zip(&plans) {
        if let Rule::Function { body, .. } = &group.rule {
            plan.looped(writer, group, body)?;
        }
    }
    Ok(())
}

/// A group with the expressions of what it reads.
struct Plan {
    /// The tuple of the parameters' names.
    names: String,
    /// What is read of a member's own, at each place: `gradients[name]`, or the members' expressions one by one.
    own: Vec<Own>,
    /// What all share.
    shared: Vec<Py>,
}

enum Own {
    /// The dict that has them by the parameters' names.
    Dict(String),
    Each(Vec<Py>),
}

impl Plan {
    fn new(writer: &mut Function<'_>, group: &Group) -> Result<Plan, EmitError> {
        let names = writer.module.names_of(group.members.iter().map(|m| m.name.as_str()));
        let (shared, fused) = match &group.rule {
            Rule::Fused(fused) => (fused.shared(), true),
            Rule::Function { shared, .. } => (shared.clone(), false),
        };
        let mut own = Vec::new();
        for place in 0..group.members.first().map_or(0, |m| m.own.len()) {
            let mut codes = Vec::new();
            for member in &group.members {
                codes.push(writer.settled(member.own[place])?);
            }
            let in_order = group.members.iter().zip(&codes);
            let gradient = |name: &str| writer.module.held("gradients", name);
            own.push(if in_order.clone().all(|(member, code)| *code == gradient(&member.name)) {
                Own::Dict("gradients".to_owned())
            } else if fused {
                Own::Each(codes)
            } else {
                let mut entries: Vec<(String, Py)> = Vec::new();
                for (member, code) in in_order {
                    match writer.module.place(&member.name) {
                        Some((stack, _)) => match entries.iter_mut().find(|(name, _)| name == stack) {
                            Some((_, Py::List(codes))) => codes.push(code.clone()),
                            _ => entries.push((stack.to_owned(), Py::List(vec![code.clone()]))),
                        },
                        None => entries.push((member.name.clone(), code.clone())),
                    }
                }
                for (_, code) in entries.iter_mut().filter(|(_, code)| matches!(code, Py::List(_))) {
                    // What is read of a stack's members one by one makes a stack again.
                    *code = call("jnp.stack", [code.clone()]);
                }
                let dict = writer.names.fresh("gradient_of");
                statement(&mut writer.body, 4, &format!("{dict} = "), &Py::Dict(entries), "");
                Own::Dict(dict)
            });
        }
        let shared = shared.into_iter().map(|v| writer.settled(v)).collect::<Result<_, _>>()?;
        Ok(Plan { names, own, shared })
    }

    /// `[state[name] for name in PARAMETERS]`.
    fn list(&self, of: &str, slot: &Slot) -> Py {
        atom(format!("[{of}[{}] for name in {}]", slot.key(), self.names))
    }

    /// The list of the gradients.
    fn gradients(&self) -> Py {
        match self.own.first() {
            Some(Own::Dict(dict)) => self.list(dict, &Slot::default()),
            Some(Own::Each(codes)) => Py::List(codes.clone()),
            None => Py::List(Vec::new()),
        }
    }

    /// A learning rate, the last of what is shared if it is no number.
    fn rate(&self, lr: Rate) -> Py {
        match lr {
            Rate::Number(lr) => number(lr),
            Rate::Value(_) => self.shared.last().expect("a rate that is a value is shared").clone(),
        }
    }

    /// `torch._fused_sgd_(…)`.
    fn sgd(&self, group: &Group, sgd: &Sgd) -> Py {
        let held = |slot: usize| self.list("state", &group.slots[slot]);
        let velocities = sgd.momentum.map_or_else(|| Py::List(Vec::new()), |_| held(1));
        let flag = |yes: bool| atom(if yes { "True" } else { "False" });
        let settings = [
            ("weight_decay", number(sgd.weight_decay)),
            ("momentum", number(sgd.momentum.unwrap_or(0.0))),
            ("lr", self.rate(sgd.lr)),
            ("dampening", number(0.0)),
            ("nesterov", flag(sgd.nesterov)),
            ("maximize", flag(false)),
            ("is_first_step", flag(false)),
        ];
        let settings = settings.map(|(name, value)| keyword(name, value));
        call("torch._fused_sgd_", [held(0), self.gradients(), velocities].into_iter().chain(settings))
    }

    /// `torch._fused_adamw_(…)`.
    fn adam(&self, group: &Group, adam: &Adam) -> Py {
        let held = |slot: usize| self.list("state", &group.slots[slot]);
        // The kernels of other devices read float32 counts.
        let count = match adam.dtype {
            DType::F32 => self.shared[0].clone(),
            _ => method(self.shared[0].clone(), "float", []),
        };
        let counts = infix(Py::List(vec![count]), "*", call("len", [atom(&self.names)]));
        let lists = [
            held(0),
            self.gradients(),
            held(adam.moments.0),
            held(adam.moments.1),
            Py::List(Vec::new()),
            counts,
        ];
        let settings = [
            ("lr", self.rate(adam.lr)),
            ("beta1", number(adam.betas.0)),
            ("beta2", number(adam.betas.1)),
            ("weight_decay", number(adam.weight_decay)),
            ("eps", number(adam.eps)),
            ("amsgrad", atom("False")),
            ("maximize", atom("False")),
        ];
        let settings = settings.map(|(name, value)| keyword(name, value));
        let function = if adam.coupled { "torch._fused_adam_" } else { "torch._fused_adamw_" };
        call(function, lists.into_iter().chain(settings))
    }

    /// `for name in PARAMETERS: state[name], state[exp_avg] = update(state[name], gradients[name], state[exp_avg])`.
    fn looped(&self, writer: &mut Function<'_>, group: &Group, body: &Region) -> Result<(), EmitError> {
        let function = self.function(writer, group, body)?;
        statement(&mut writer.body, 4, "for name in ", &atom(&self.names), ":");
        let mut held = Vec::new();
        for (i, slot) in group.slots.iter().enumerate() {
            let key = if i == 0 { "name".to_owned() } else { writer.names.fresh(&slot.hint()) };
            if i > 0 {
                line(&mut writer.body, 8, &format!("{key} = {}", slot.key()));
            }
            held.push(index(atom("state"), [atom(key)]));
        }
        let own = self.own.iter().map(|own| match own {
            Own::Dict(dict) => index(atom(dict), [atom("name")]),
            Own::Each(_) => unreachable!("what a loop reads is in a dict"),
        });
        let targets: Vec<String> = held.iter().map(Py::flat).collect();
        let args = arguments(held.clone(), own.collect(), self.shared.clone());
        statement(&mut writer.body, 8, &format!("{} = ", targets.join(", ")), &call(&function, args), "");
        Ok(())
    }

    /// The function of one parameter's update.
    fn function(&self, writer: &mut Function<'_>, group: &Group, body: &Region) -> Result<String, EmitError> {
        let in_place = writer.module.framework == Framework::Torch;
        let name = writer.module.names.fresh("update");
        writer.names.reserve(&name);
        let mut inner = Function::new(writer.module, body);
        let hints = group.slots.iter().enumerate();
        let held: Vec<String> = hints
            .map(|(i, slot)| inner.names.fresh(&if i == 0 { "param".to_owned() } else { slot.hint() }))
            .collect();
        let own: Vec<String> = self.own.iter().map(|_| inner.names.fresh("gradient")).collect();
        let shared: Vec<String> = self
            .shared
            .iter()
            .map(|code| match code {
                Py::Atom(name) if identifier(name) == *name => inner.names.fresh(name),
                _ => inner.names.fresh("scalar"),
            })
            .collect();
        let params: Vec<_> = body.params().collect();
        for (param, name) in params.iter().zip(held.iter().chain(&own).chain(&shared)) {
            inner.bind_param(*param, atom(name))?;
        }
        for ((result, param), name) in body.results().iter().zip(&params).zip(&held) {
            if held.len() > 1 {
                inner.hint(*result, &format!("new_{name}"));
            }
            if in_place {
                inner.updates(*result, *param);
            }
        }
        inner.nodes()?;
        let mut results = Vec::new();
        for result in body.results() {
            results.push(inner.result(*result)?);
        }
        let statements = std::mem::take(&mut inner.body);
        let mut text = String::new();
        let atoms = |names: &[String]| names.iter().map(atom).collect::<Vec<Py>>();
        let head = call(&name, arguments(atoms(&held), atoms(&own), atoms(&shared)));
        statement(&mut text, 0, "def ", &head, ":");
        line(&mut text, 4, "\"\"\"What takes the places of a parameter and of what is kept for it.\"\"\"");
        text.push_str(&statements);
        let result = if results.len() == 1 { results.remove(0) } else { Py::Tuple(results) };
        write_return(&mut text, &result);
        writer.module.add_function(text);
        Ok(name)
    }
}

fn number(x: f64) -> Py {
    atom(format!("{x:?}"))
}

/// The parameter, what it has of its own, its states, what all share.
fn arguments(mut held: Vec<Py>, own: Vec<Py>, shared: Vec<Py>) -> Vec<Py> {
    let states = held.split_off(1);
    held.into_iter().chain(own).chain(states).chain(shared).collect()
}

impl Slot {
    /// The key in the state, as an expression of the parameter's `name`.
    fn key(&self) -> String {
        let escaped = |text: &str| {
            let quoted = string(text).flat().replace('{', "{{").replace('}', "}}");
            quoted[1..quoted.len() - 1].to_owned()
        };
        if *self == Slot::default() {
            return "name".to_owned();
        }
        format!("f\"{}{{name}}{}\"", escaped(&self.before), escaped(&self.after))
    }

    fn hint(&self) -> String {
        identifier(&format!("{}{}", self.before, self.after))
    }
}
