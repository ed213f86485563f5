//! A Python module as it is being written: imports, constants, helper functions, functions of regions, the program.

use crate::dialect::{self, Dialect};
use crate::names::Names;
use crate::py::{Py, atom, index, line, size, statement, string};
use crate::{EmitError, Framework};
use hashbrown::HashMap;
use std::cell::RefCell;
use std::sync::Arc;
use wootz_ir::{HostTensor, Region};

/// What a region's function takes and gives.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Convention {
    /// The parameters by position; one result as it is, several as a tuple.
    Positional,
    /// For `lax.scan`: (carry, x, captures by position) → (carry, y).
    Scan {
        /// How many parameters are carried.
        carries: usize,
        /// How many are scanned over.
        xs: usize,
    },
    /// The parameters by position → (results, residuals); several of either as a tuple, residuals always.
    Forward {
        /// How many results come before the residuals.
        results: usize,
    },
    /// (residuals, cotangents), several cotangents as a tuple → a tuple with one an argument, `None` for integers.
    Backward {
        /// How many parameters are residuals.
        residuals: usize,
    },
    /// The parameters of a function with a derivative of its own by position, as in `Positional`.
    CustomVjp {
        /// Where the function itself is; the region is its derivative.
        primal: *const Region,
    },
}

/// Arrays that a program holds as one, of equal shape along a new first axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name in the dict of parameters or state: `layers.*.norm1.weight`.
    pub name: String,
    /// The names of what it is made of, in order.
    pub members: Vec<String>,
}

/// The parts of a module.
pub(crate) struct Module {
    pub(crate) framework: Framework,
    pub(crate) dialect: &'static dyn Dialect,
    /// Where arrays are made; `None` where the framework makes them unless told otherwise.
    pub(crate) device: Option<String>,
    pub(crate) names: Names,
    /// Helper functions used, with what they use.
    used: RefCell<Vec<&'static str>>,
    constants: Vec<(HostTensor, String, Py)>,
    /// Whether blocks in a row are stacked somewhere.
    pub(crate) stacked: bool,
    /// What comes in stacked.
    pub(crate) stacks: Vec<Stack>,
    /// Parameters that may come in stacked, with a number that is the same for those that may be in one stack.
    pub(crate) stackable: HashMap<String, usize>,
    /// Tuples of names.
    lists: Vec<(Vec<String>, String)>,
    /// Functions of regions, complete.
    functions: Vec<String>,
    /// Names of the functions of regions, by address; the regions are kept alive.
    regions: HashMap<(*const Region, Convention), (Arc<Region>, String)>,
}

impl Module {
    pub(crate) fn new(framework: Framework, device: Option<String>) -> Module {
        let dialect = dialect::of(framework);
        let mut names = Names::default();
        for (name, _) in dialect.helpers().iter().copied().flat_map(functions) {
            names.reserve(name);
        }
        Module {
            framework,
            dialect,
            device,
            names,
            used: RefCell::default(),
            constants: Vec::new(),
            stacked: false,
            stacks: Vec::new(),
            stackable: HashMap::new(),
            lists: Vec::new(),
            functions: Vec::new(),
            regions: HashMap::new(),
        }
    }

    /// Adds a helper function to the module.
    pub(crate) fn use_helper(&self, name: &'static str) {
        let mut used = self.used.borrow_mut();
        if !used.contains(&name) {
            used.push(name);
        }
    }

    /// The name of an array that the module holds, like `hint` if it is new.
    pub(crate) fn constant(&mut self, value: &HostTensor, hint: &str) -> Py {
        if let Some((_, name, _)) = self.constants.iter().find(|(known, _, _)| known == value) {
            return atom(name);
        }
        let name = self.names.fresh(hint);
        let code = self.dialect.constant(self, value);
        self.constants.push((value.clone(), name.clone(), code));
        atom(name)
    }

    /// The name of a tuple of the parameters' names, those of stacks in place of their members'.
    pub(crate) fn names_of<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> String {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            let name = self.place(name).map_or(name, |(stack, _)| stack);
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        self.names_as("PARAMETERS", all.iter().map(String::as_str))
    }

    /// The stack that something is in, and where.
    pub(crate) fn place(&self, name: &str) -> Option<(&str, usize)> {
        self.stacks.iter().find_map(|stack| {
            let at = stack.members.iter().position(|member| member == name)?;
            Some((stack.name.as_str(), at))
        })
    }

    /// What a dict has by a name: `gradients["layers.*.weight"][0]` if it is in a stack.
    pub(crate) fn held(&self, of: &str, name: &str) -> Py {
        let key = |name: &str| index(atom(of), [string(name)]);
        match self.place(name) {
            Some((stack, at)) => index(key(stack), [size(at)]),
            None => key(name),
        }
    }

    /// The name, like `hint`, of a tuple of names.
    pub(crate) fn names_as<'n>(&mut self, hint: &str, names: impl Iterator<Item = &'n str>) -> String {
        let names: Vec<String> = names.map(str::to_owned).collect();
        if let Some((_, list)) = self.lists.iter().find(|(known, _)| *known == names) {
            return list.clone();
        }
        let list = self.names.fresh(hint);
        self.lists.push((names, list.clone()));
        list
    }

    /// Adds a function to the module.
    pub(crate) fn add_function(&mut self, text: String) {
        self.functions.push(text);
    }

    /// The name of the function of a region, if it has been written.
    pub(crate) fn region(&self, region: &Arc<Region>, convention: Convention) -> Option<String> {
        self.regions.get(&(Arc::as_ptr(region), convention)).map(|(_, name)| name.clone())
    }

    /// Adds the function of a region.
    pub(crate) fn add_region(
        &mut self,
        region: &Arc<Region>,
        convention: Convention,
        name: &str,
        text: String,
    ) {
        self.regions.insert((Arc::as_ptr(region), convention), (region.clone(), name.to_owned()));
        self.functions.push(text);
    }

    /// The whole module.
    pub(crate) fn finish(self, summary: &str, program: &str) -> Result<String, EmitError> {
        let mut body = String::new();
        let available: Vec<(&str, &str)> =
            self.dialect.helpers().iter().copied().flat_map(functions).collect();
        let mut helpers: Vec<&str> = self.used.borrow().clone();
        let mut next = 0;
        while next < helpers.len() {
            let text = available.iter().find(|(name, _)| *name == helpers[next]).map_or("", |(_, text)| text);
            // What a docstring speaks of is not called.
            let text = text.splitn(3, "\"\"\"").last().unwrap_or(text);
            for (name, _) in &available {
                if mentions(text, &format!("{name}(")) && !helpers.contains(name) {
                    helpers.push(name);
                }
            }
            next += 1;
        }
        for (_, text) in available.iter().filter(|(name, _)| helpers.contains(name)) {
            body.push_str(&self.localised(text.trim_end()));
            body.push_str("\n\n\n");
        }
        for function in &self.functions {
            body.push_str(function);
            body.push_str("\n\n");
        }
        body.push_str(program);
        // A constant may have become part of what reads it.
        let used: Vec<_> = self.constants.iter().filter(|(_, name, _)| reads(&body, name)).collect();
        let mut values = String::new();
        for (_, name, code) in &used {
            statement(&mut values, 0, &format!("{name} = "), code, "");
        }
        for (names, list) in &self.lists {
            let names = names.iter().map(|name| string(name)).collect();
            statement(&mut values, 0, &format!("{list} = "), &Py::Tuple(names), "");
        }
        let separator = if values.is_empty() { "" } else { "\n\n" };
        let body = format!("{values}{separator}{body}");
        let mut out = format!("\"\"\"{summary}\n\"\"\"\n\n");
        let wanted = self.dialect.imports().iter().filter(|(name, _)| mentions(&body, name));
        // Modules of the standard library come first, in a group of their own.
        let (own, standard): (Vec<_>, Vec<_>) =
            wanted.partition(|(name, _)| !matches!(*name, "array." | "base64." | "math." | "partial("));
        for group in [standard, own].iter().filter(|group| !group.is_empty()) {
            group.iter().for_each(|(_, import)| line(&mut out, 0, import));
            out.push('\n');
        }
        out.push_str(if values.is_empty() { "\n" } else { "" });
        out.push_str(&body);
        Ok(out)
    }

    /// A helper written for NumPy in the names of this framework.
    fn localised(&self, text: &str) -> String {
        let device = self.device.as_deref();
        match self.framework {
            Framework::Numpy => text.to_owned(),
            // Doubles are there if the caller has enabled them.
            Framework::Jax => replace_module(text, "np", "jnp")
                .replace("astype(jnp.float64)", "astype(jnp.promote_types(x.dtype, jnp.float32))"),
            Framework::Mlx => replace_module(text, "np", "mx").replace("mx.float64", "mx.float32"),
            Framework::Torch => {
                let text = replace_module(text, "np", "torch").replace(".astype(", ".to(");
                match device {
                    Some(device) => text.replace("device=None", &format!("device=\"{device}\"")),
                    None => text.replace(", device=None", ""),
                }
            }
        }
    }
}

/// The functions of a source text: (name, text).
fn functions(source: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut starts: Vec<usize> = source.match_indices("\ndef ").map(|(at, _)| at + 1).collect();
    if source.starts_with("def ") {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([source.len()]);
    let named = |(start, end): (usize, usize)| {
        let text = &source[start..end];
        (text["def ".len()..].split('(').next().unwrap_or(""), text.trim_end())
    };
    starts.iter().copied().zip(ends).map(named).collect()
}

/// Whether code uses a name that ends in `.` or `(`.
fn mentions(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"'))
    })
}

/// Whether code reads a name as a whole.
fn reads(code: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + name.len()..].starts_with(part))
}

fn replace_module(text: &str, from: &str, to: &str) -> String {
    let pattern = format!("{from}.");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&pattern) {
        let whole = !rest[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(&rest[..at]);
        out.push_str(if whole { to } else { from });
        out.push('.');
        rest = &rest[at + pattern.len()..];
    }
    out + rest
}
