//! Ops that own regions: loops, branches and calls of functions of the module.

use super::{Function, atom_of, is_trivial, plain, write_return};
use crate::EmitError;
use crate::dialect::{ControlStyle, CustomVjp};
use crate::module::Convention;
use crate::py::{Py, atom, call, index, line, prefix, size, statement};
use std::sync::Arc;
use wootz_ir::ops::Control;
use wootz_ir::{HostTensor, Node, Region, Value};

impl Function<'_> {
    pub(super) fn control(&mut self, node: &Node, control: &Control) -> Result<(), EmitError> {
        let mut args = Vec::new();
        let loops = matches!(control, Control::While { .. } | Control::Scan { .. });
        for value in &node.inputs {
            let mut code = self.whole(*value)?.code;
            if loops && !is_trivial(&code) {
                // What a loop reads is computed once, before it.
                let name = self.names.fresh("v");
                self.assign(&name, &code);
                code = atom(name);
            }
            args.push(code);
        }
        let style = self.module.dialect.control();
        match control {
            Control::Call { body } => {
                let function = self.region_function(body, Convention::Positional, "block", node)?;
                self.bind_results(node, call(&function, args))
            }
            Control::CustomVjp { primal, forward, backward } => {
                let function = self.custom_vjp(primal, forward, backward, node)?;
                self.bind_results(node, call(&function, args))
            }
            Control::Cond { then, otherwise } => {
                let yes = self.region_function(then, Convention::Positional, "then", node)?;
                let no = self.region_function(otherwise, Convention::Positional, "otherwise", node)?;
                let predicate = args.remove(0);
                let code = match style {
                    ControlStyle::Python => {
                        let (yes, no) = (call(&yes, args.clone()), call(&no, args));
                        Py::Choice(Box::new(yes), Box::new(predicate), Box::new(no))
                    }
                    ControlStyle::Lax => {
                        call("lax.cond", [predicate, atom(yes), atom(no)].into_iter().chain(args))
                    }
                };
                self.bind_results(node, code)
            }
            Control::While { cond, body, carries } => {
                let test = self.region_function(cond, Convention::Positional, "goes_on", node)?;
                let step = self.region_function(body, Convention::Positional, "step", node)?;
                let captures = args.split_off(*carries);
                match style {
                    ControlStyle::Python => self.python_while(node, &test, &step, args, captures),
                    ControlStyle::Lax => {
                        let code = lax_while(&test, &step, args, captures);
                        self.bind_results(node, code)
                    }
                }
            }
            Control::Scan { body, carries, xs, length, reverse } => {
                let length = length.as_const().unwrap_or(0);
                let captures = args.split_off(carries + xs);
                let scanned = args.split_off(*carries);
                match style {
                    ControlStyle::Python => {
                        let step = self.region_function(body, Convention::Positional, "step", node)?;
                        self.python_scan(node, &step, (args, scanned, captures), length, *reverse)
                    }
                    ControlStyle::Lax => {
                        let convention = Convention::Scan { carries: *carries, xs: *xs };
                        let step = self.region_function(body, convention, "step", node)?;
                        self.lax_scan(node, &step, (args, scanned, captures), length, *reverse)
                    }
                }
            }
        }
    }

    /// The function of `primal` with its derivative, where the framework takes derivatives.
    fn custom_vjp(
        &mut self,
        primal: &Arc<Region>,
        forward: &Arc<Region>,
        backward: &Arc<Region>,
        node: &Node,
    ) -> Result<String, EmitError> {
        if !self.module.framework.differentiates() {
            return self.region_function(primal, Convention::Positional, "block", node);
        }
        let convention = Convention::CustomVjp { primal: Arc::as_ptr(primal) };
        if let Some(name) = self.module.region(backward, convention) {
            return Ok(name);
        }
        let results = primal.results().len();
        let residuals = forward.results().len() - results;
        let inner = self.region_function(primal, Convention::Positional, "function", node)?;
        let ahead = self.region_function(forward, Convention::Forward { results }, "function_fwd", node)?;
        let back =
            self.region_function(backward, Convention::Backward { residuals }, "function_bwd", node)?;
        let name = self.module.names.fresh("differentiable");
        self.names.reserve(&name);
        let functions = CustomVjp {
            name: &name,
            primal: &inner,
            forward: &ahead,
            backward: &back,
            arguments: primal.params().count(),
            results,
        };
        let text = self.module.dialect.custom_vjp(&functions).unwrap_or_default();
        self.module.add_region(backward, convention, &name, text);
        Ok(name)
    }

    /// `i, x = …; while test(i, x): i, x = step(i, x)`.
    fn python_while(
        &mut self,
        node: &Node,
        test: &str,
        step: &str,
        init: Vec<Py>,
        captures: Vec<Py>,
    ) -> Result<(), EmitError> {
        let names: Vec<String> = node.outputs().map(|v| self.fresh_for(v, "carry")).collect();
        let init = if init.len() == 1 { init[0].clone() } else { Py::Tuple(init) };
        self.assign_unpacked(&names, &init);
        let carry: Vec<Py> = names.iter().map(atom_of).chain(captures).collect();
        statement(&mut self.body, 4, "while ", &call(test, carry.clone()), ":");
        statement(&mut self.body, 8, &format!("{} = ", names.join(", ")), &call(step, carry), "");
        self.bind_names(node, &names)
    }

    /// A loop that writes a row of each result of the body that is not carried.
    fn python_scan(
        &mut self,
        node: &Node,
        step: &str,
        (init, scanned, captures): (Vec<Py>, Vec<Py>, Vec<Py>),
        length: usize,
        reverse: bool,
    ) -> Result<(), EmitError> {
        let carries = init.len();
        let hints = node.outputs().enumerate().map(|(i, v)| (v, if i < carries { "carry" } else { "rows" }));
        let names: Vec<String> = hints.map(|(v, hint)| self.fresh_for(v, hint)).collect();
        for (name, start) in names.iter().zip(&init) {
            self.assign(name, start);
        }
        let d = self.module.dialect;
        for (name, value) in names.iter().zip(node.outputs()).skip(carries) {
            let out = self.out(value)?;
            let zero = crate::literal::number(d.namespace(), &HostTensor::scalar(out.dtype, 0.0));
            let code = d.full(self.module, out.dtype, &out.dims, zero);
            self.assign(name, &code);
        }
        self.comment();
        let t = self.names.fresh("t");
        let range = call("range", [size(length)]);
        let range = if reverse { call("reversed", [range]) } else { range };
        statement(&mut self.body, 4, &format!("for {t} in "), &range, ":");
        let rows = scanned.into_iter().map(|x| index(x, [atom(&t)]));
        let args: Vec<Py> = names[..carries].iter().map(atom_of).chain(rows).chain(captures).collect();
        let targets: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| if i < carries { name.clone() } else { format!("{name}[{t}]") })
            .collect();
        statement(&mut self.body, 8, &format!("{} = ", targets.join(", ")), &call(step, args), "");
        self.bind_names(node, &names)
    }

    fn lax_scan(
        &mut self,
        node: &Node,
        step: &str,
        (init, scanned, captures): (Vec<Py>, Vec<Py>, Vec<Py>),
        length: usize,
        reverse: bool,
    ) -> Result<(), EmitError> {
        let carries = init.len();
        let function = match captures.is_empty() {
            true => atom(step),
            false => {
                let args = [atom("carry"), atom("x")].into_iter().chain(captures);
                Py::Lambda("carry, x".to_owned(), Box::new(call(step, args)))
            }
        };
        let mut args = vec![function, packed(init), packed(scanned.clone())];
        if scanned.is_empty() {
            args.push(crate::py::keyword("length", size(length)));
        }
        if reverse {
            args.push(crate::py::keyword("reverse", atom("True")));
        }
        let names: Vec<String> = node.outputs().map(|v| self.fresh_for(v, "carry")).collect();
        let group = |names: &[String]| match names {
            [] => "_".to_owned(),
            [name] => name.clone(),
            names => format!("({})", names.join(", ")),
        };
        let targets = format!("{}, {}", group(&names[..carries]), group(&names[carries..]));
        self.assign(&targets, &call("lax.scan", args));
        self.bind_names(node, &names)
    }

    fn fresh_for(&mut self, value: Value, hint: &str) -> String {
        if self.uses[value.index()] == 0 && hint == "unused" {
            return "_".to_owned();
        }
        let hint = self.hints.get(&value).cloned().unwrap_or_else(|| hint.to_owned());
        self.names.fresh(&hint)
    }

    /// Binds what a call gives: one value, or several by unpacking.
    fn bind_results(&mut self, node: &Node, code: Py) -> Result<(), EmitError> {
        if node.outputs().len() == 1 {
            let out = self.out(node.output())?;
            self.bind(node.output(), plain(code, out));
            return Ok(());
        }
        let used = |f: &Self, v: Value| f.uses[v.index()] > 0;
        let mut names = Vec::new();
        for value in node.outputs() {
            let hint = if used(self, value) { "h" } else { "unused" };
            names.push(self.fresh_for(value, hint));
        }
        self.assign_unpacked(&names, &code);
        self.bind_names(node, &names)
    }

    fn assign_unpacked(&mut self, names: &[String], code: &Py) {
        match code {
            // `i, x = a, b` needs no parentheses.
            Py::Tuple(items) if items.len() == names.len() && items.len() > 1 => {
                for (name, item) in names.iter().zip(items) {
                    self.assign(name, item);
                }
            }
            code => self.assign(&names.join(", "), code),
        }
    }

    fn bind_names(&mut self, node: &Node, names: &[String]) -> Result<(), EmitError> {
        for (value, name) in node.outputs().zip(names) {
            let out = self.out(value)?;
            self.values[value.index()] = Some(plain(atom(name), out));
        }
        Ok(())
    }

    /// The name of the function of a region, which is written unless it has been.
    fn region_function(
        &mut self,
        region: &Arc<Region>,
        convention: Convention,
        hint: &str,
        node: &Node,
    ) -> Result<String, EmitError> {
        if let Some(name) = self.module.region(region, convention) {
            return Ok(name);
        }
        // Blocks are named after the last word of where they came from.
        let place = node.site.path().rsplit('.').find(|part| !part.starts_with(|c: char| c.is_ascii_digit()));
        let hint = if hint == "block" { place.filter(|p| !p.is_empty()).unwrap_or(hint) } else { hint };
        let name = self.module.names.fresh(hint);
        self.names.reserve(&name);
        let mut inner = Function::new(self.module, region);
        let mut params = Vec::new();
        for value in region.params() {
            let name = inner.names.fresh("x");
            let out = inner.out(value)?;
            inner.values[value.index()] = Some(plain(atom(&name), out));
            params.push(name);
        }
        inner.nodes()?;
        let mut results = Vec::new();
        for value in region.results() {
            let integral =
                matches!(convention, Convention::Backward { .. }) && !region.ty(*value).dtype.is_float();
            results.push(if integral { atom("None") } else { inner.whole(*value)?.code });
        }
        let body = inner.body;
        let mut text = String::new();
        let (signature, prologue, result) = match convention {
            Convention::Positional => {
                let result = if results.len() == 1 { results.remove(0) } else { Py::Tuple(results) };
                (params.clone(), String::new(), result)
            }
            Convention::Scan { carries, xs } => scan_parts(&params, results, carries, xs),
            Convention::Forward { results: first } => {
                let residuals = results.split_off(first);
                (params.clone(), String::new(), Py::Tuple(vec![packed(results), Py::Tuple(residuals)]))
            }
            Convention::Backward { residuals } => backward_parts(&params, results, residuals),
            Convention::CustomVjp { .. } => unreachable!("written by `custom_vjp`"),
        };
        let head = Py::Call(Box::new(atom(&name)), signature.iter().map(atom_of).collect());
        statement(&mut text, 0, "def ", &head, ":");
        text.push_str(&prologue);
        text.push_str(&body);
        write_return(&mut text, &result);
        self.module.add_region(region, convention, &name, text);
        Ok(name)
    }
}

/// None for nothing, a value as it is, several as a tuple.
fn packed(mut values: Vec<Py>) -> Py {
    match values.len() {
        0 => atom("None"),
        1 => values.remove(0),
        _ => Py::Tuple(values),
    }
}

fn lax_while(test: &str, step: &str, init: Vec<Py>, captures: Vec<Py>) -> Py {
    let several = init.len() > 1;
    let wrapped = |function: &str| {
        if !several && captures.is_empty() {
            return atom(function);
        }
        let carry = if several { prefix("*", atom("carry")) } else { atom("carry") };
        let args = std::iter::once(carry).chain(captures.iter().cloned());
        Py::Lambda("carry".to_owned(), Box::new(call(function, args)))
    };
    call("lax.while_loop", [wrapped(test), wrapped(step), packed(init)])
}

/// Parameters, unpacking and result of the derivative of a function.
fn backward_parts(params: &[String], results: Vec<Py>, residuals: usize) -> (Vec<String>, String, Py) {
    let mut prologue = String::new();
    if residuals > 0 {
        let names = params[..residuals].join(", ");
        let names = if residuals == 1 { format!("({names},)") } else { names };
        line(&mut prologue, 4, &format!("{names} = residuals"));
    }
    let cotangent = match &params[residuals..] {
        [one] => one.clone(),
        several => {
            line(&mut prologue, 4, &format!("{} = cotangents", several.join(", ")));
            "cotangents".to_owned()
        }
    };
    (vec!["residuals".to_owned(), cotangent], prologue, Py::Tuple(results))
}

/// Parameters, unpacking and result of a function for `lax.scan`.
fn scan_parts(
    params: &[String],
    mut results: Vec<Py>,
    carries: usize,
    xs: usize,
) -> (Vec<String>, String, Py) {
    let mut prologue = String::new();
    let mut group = |names: &[String], packed: &str| match names {
        [] => "_".to_owned(),
        [name] => name.clone(),
        names => {
            line(&mut prologue, 4, &format!("{} = {packed}", names.join(", ")));
            packed.to_owned()
        }
    };
    let mut signature =
        vec![group(&params[..carries], "carry"), group(&params[carries..carries + xs], "row")];
    if signature[0] == "_" && signature[1] == "_" {
        signature[1] = "__".to_owned();
    }
    signature.extend_from_slice(&params[carries + xs..]);
    let ys = results.split_off(carries);
    (signature, prologue, Py::Tuple(vec![packed(results), packed(ys)]))
}
