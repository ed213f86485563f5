//! Repeated blocks: a function each, called where they stand, in a loop, or by `lax.scan` over their stacked parameters.

use super::{Function, plain, write_return};
use crate::EmitError;
use crate::blocks::{Blocks, Kind, Operand, Repetition};
use crate::dialect::ControlStyle;
use crate::module::Stack;
use crate::py::{Py, WIDTH, atom, call, index, line, statement, string};
use wootz_ir::Value;

/// How blocks are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// The dict that parameters are read from by name.
    pub(crate) container: &'static str,
    /// Whether blocks in a row become one `lax.scan`.
    pub(crate) stacked: bool,
}

impl Function<'_> {
    /// Writes a node that belongs to a block with the block's last one.
    pub(super) fn repeated(&mut self, at: usize, blocks: &Blocks, style: Style) -> Result<bool, EmitError> {
        let Some((kind, repetition)) = blocks.at(at) else { return Ok(false) };
        let last = kind.repetitions.last().is_some_and(|r| r.last == repetition.last);
        if at != repetition.last || (kind.carried.is_some() && !last) {
            return Ok(true);
        }
        let function = self.block_function(kind, style)?;
        match kind.carried {
            Some(carried) => self.loop_over(kind, &function, carried, style)?,
            None => self.call_block(kind, repetition, &function, style)?,
        }
        Ok(true)
    }

    /// Counts what a block reads; gives whether its node is one of a block.
    pub(super) fn count_repeated(&mut self, at: usize, blocks: &Blocks) -> bool {
        let Some((_, repetition)) = blocks.at(at) else { return false };
        if at == repetition.last {
            for value in &repetition.inputs {
                self.uses[value.index()] += 1;
                self.only_user[value.index()] = Some(at);
                self.last_user[value.index()].get_or_insert(at);
            }
            self.live[at] = true;
        }
        true
    }

    fn block_function(&mut self, kind: &Kind, style: Style) -> Result<String, EmitError> {
        let known = std::ptr::from_ref(&kind.body);
        if let Some(name) = self.block_functions.get(&known) {
            return Ok(name.clone());
        }
        let name = self.module.names.fresh(&kind.hint);
        self.names.reserve(&name);
        let mut inner = Function::new(self.module, &kind.body);
        inner.names.reserve("prefix");
        let held = kind.operands.iter().any(|o| matches!(o, Operand::Held(_)));
        let mut params: Vec<Py> = if held { vec![atom(style.container), atom("prefix")] } else { Vec::new() };
        for (value, operand) in kind.body.params().zip(&kind.operands) {
            match operand {
                Operand::Held(suffix) => {
                    inner.bind_param(value, index(atom(style.container), [key(suffix)]))?;
                }
                Operand::Argument { .. } => {
                    let name = inner.names.fresh("x");
                    params.push(atom(&name));
                    inner.bind_name(value, &name)?;
                }
            }
        }
        inner.nodes()?;
        let mut results = Vec::new();
        for value in kind.body.results() {
            results.push(inner.whole_code(*value)?);
        }
        let body = std::mem::take(&mut inner.body);
        let mut text = String::new();
        statement(&mut text, 0, "def ", &call(&name, params), ":");
        text.push_str(&body);
        let result = if results.len() == 1 { results.remove(0) } else { Py::Tuple(results) };
        write_return(&mut text, &result);
        self.module.add_function(text);
        self.block_functions.insert(known, name.clone());
        Ok(name)
    }

    /// `h = layer(params, "layers.0.", h)`.
    fn call_block(
        &mut self,
        kind: &Kind,
        repetition: &Repetition,
        function: &str,
        style: Style,
    ) -> Result<(), EmitError> {
        let args = self.arguments(kind, repetition, None)?;
        let code = call(function, with_container(kind, style, string(&repetition.prefix), args));
        let mut names = Vec::new();
        for value in &repetition.outputs {
            let hint = self.hints.get(value).cloned().unwrap_or_else(|| "h".to_owned());
            names.push(self.names.fresh(&hint));
        }
        let targets = names.join(", ");
        if targets.len() + function.len() + 8 <= WIDTH {
            statement(&mut self.body, 4, &format!("{targets} = "), &code, "");
        } else if targets.len() + 10 <= WIDTH {
            line(&mut self.body, 4, &format!("({targets}) = ("));
            statement(&mut self.body, 8, "", &code, "");
            line(&mut self.body, 4, ")");
        } else {
            line(&mut self.body, 4, "(");
            names.iter().for_each(|name| line(&mut self.body, 8, &format!("{name},")));
            statement(&mut self.body, 4, ") = ", &code, "");
        }
        self.site.clear();
        for (value, name) in repetition.outputs.iter().zip(names) {
            self.bind_name(*value, &name)?;
        }
        Ok(())
    }

    /// `for prefix in LAYERS: h = layer(params, prefix, h)`, or the same as a scan.
    fn loop_over(
        &mut self,
        kind: &Kind,
        function: &str,
        carried: usize,
        style: Style,
    ) -> Result<(), EmitError> {
        let first = &kind.repetitions[0];
        let output = kind.repetitions.last().map_or(first.inputs[carried], |r| r.outputs[0]);
        let hint = self.hints.get(&output).cloned().unwrap_or_else(|| "h".to_owned());
        let name = self.names.fresh(&hint);
        let start = self.whole_code(first.inputs[carried])?;
        let args = self.arguments(kind, first, Some((carried, atom(&name))))?;
        let prefixes = kind.repetitions.iter().map(|r| r.prefix.as_str());
        let suffixes: Vec<&str> = kind.operands.iter().filter_map(suffix).collect();
        let list = kind.hint.to_uppercase();
        let scan =
            style.stacked && self.module.dialect.control() == ControlStyle::Lax && !suffixes.is_empty();
        let stacks = if scan { self.stacks(kind) } else { None };
        if let Some((stem, stacks)) = stacks {
            self.module.stacked = true;
            self.module.stacks.extend(stacks);
            let suffixes = self.module.names_as(&format!("{list}_PARAMETERS"), suffixes.into_iter());
            let own = self.names.fresh("stacked");
            let key = format!("f{}", string(&format!("{stem}{{name}}")).flat());
            let entries = format!("{{name: {}[{key}] for name in {suffixes}}}", style.container);
            statement(&mut self.body, 4, &format!("{own} = "), &atom(entries), "");
            self.scan(function, kind, style, &name, (start, atom(own)), args);
            self.site.clear();
            return self.bind_name(output, &name);
        }
        let prefixes = self.module.names_as(&format!("{list}S"), prefixes);
        if !scan {
            statement(&mut self.body, 4, &format!("{name} = "), &start, "");
            let code = call(function, with_container(kind, style, atom("prefix"), args));
            line(&mut self.body, 4, &format!("for prefix in {prefixes}:"));
            statement(&mut self.body, 8, &format!("{name} = "), &code, "");
        } else {
            self.module.stacked = true;
            let suffixes = self.module.names_as(&format!("{list}_PARAMETERS"), suffixes.into_iter());
            let stacked = self.names.fresh("stacked");
            let container = style.container;
            line(&mut self.body, 4, &format!("{stacked} = {{"));
            line(
                &mut self.body,
                8,
                &format!("name: jnp.stack([{container}[prefix + name] for prefix in {prefixes}])"),
            );
            line(&mut self.body, 8, &format!("for name in {suffixes}"));
            line(&mut self.body, 4, "}");
            self.scan(function, kind, style, &name, (start, atom(stacked)), args);
        }
        self.site.clear();
        self.bind_name(output, &name)
    }

    /// `h, _ = lax.scan(lambda h, own: (layer(own, "", h), None), start, stacked)`.
    fn scan(
        &mut self,
        function: &str,
        kind: &Kind,
        style: Style,
        name: &str,
        (start, stacked): (Py, Py),
        args: Vec<Py>,
    ) {
        let mut args = with_container(kind, style, string(""), args);
        args[0] = atom("own");
        let step = Py::Tuple(vec![call(function, args), atom("None")]);
        let step = Py::Lambda(format!("{name}, own"), Box::new(step));
        let code = call("lax.scan", [step, start, stacked]);
        statement(&mut self.body, 4, &format!("{name}, _ = "), &code, "");
    }

    /// The stacks in which the blocks' parameters come in, and what their names begin with; nothing if something else reads a parameter or they may
    /// not be stacked.
    fn stacks(&self, kind: &Kind) -> Option<(String, Vec<Stack>)> {
        let first = kind.repetitions[0].prefix.trim_end_matches('.');
        let stem = format!("{}*.", first.trim_end_matches(|c: char| c.is_ascii_digit()));
        let mut stacks = Vec::new();
        for (i, operand) in kind.operands.iter().enumerate() {
            let Operand::Held(suffix) = operand else { continue };
            let members: Vec<String> =
                kind.repetitions.iter().map(|r| format!("{}{suffix}", r.prefix)).collect();
            let alike = |name: &String| self.module.stackable.get(name);
            let first = alike(&members[0])?;
            let same = members.iter().all(|name| alike(name) == Some(first));
            let alone = kind.repetitions.iter().all(|r| self.uses[r.inputs[i].index()] == 1);
            if !same || !alone {
                return None;
            }
            stacks.push(Stack { name: format!("{stem}{suffix}"), members });
        }
        Some((stem, stacks))
    }

    fn arguments(
        &mut self,
        kind: &Kind,
        repetition: &Repetition,
        carried: Option<(usize, Py)>,
    ) -> Result<Vec<Py>, EmitError> {
        let mut args = Vec::new();
        for (i, (value, operand)) in repetition.inputs.iter().zip(&kind.operands).enumerate() {
            match (operand, &carried) {
                (Operand::Held(_), _) => {}
                (_, Some((at, name))) if *at == i => args.push(name.clone()),
                _ => args.push(self.whole_code(*value)?),
            }
        }
        Ok(args)
    }

    fn bind_name(&mut self, value: Value, name: &str) -> Result<(), EmitError> {
        let out = self.out(value)?;
        self.values[value.index()] = Some(plain(atom(name), out));
        Ok(())
    }
}

fn suffix(operand: &Operand) -> Option<&str> {
    match operand {
        Operand::Held(suffix) => Some(suffix),
        Operand::Argument { .. } => None,
    }
}

fn with_container(kind: &Kind, style: Style, prefix: Py, args: Vec<Py>) -> Vec<Py> {
    let held = kind.operands.iter().any(|o| matches!(o, Operand::Held(_)));
    let own = if held { vec![atom(style.container), prefix] } else { Vec::new() };
    own.into_iter().chain(args).collect()
}

/// `f"{prefix}norm1.weight"`.
fn key(suffix: &str) -> Py {
    let quoted = string(suffix).flat().replace('{', "{{").replace('}', "}}");
    atom(format!("f\"{{prefix}}{}", &quoted[1..]))
}
