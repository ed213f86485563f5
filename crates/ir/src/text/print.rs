//! Graphs to text.

use super::tensor;
use crate::{Attr, F64, Graph, Node, Region, Value};
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Write};
use std::sync::Arc;

/// The graph as text.
pub fn print(graph: &Graph) -> String {
    graph.to_string()
}

/// The region as text, after the regions its ops own.
pub fn print_region(region: &Region) -> String {
    region.to_string()
}

impl Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.owned(&self.body)?;
        printer.out.push_str("graph(");
        for (i, (value, input)) in self.body.params().zip(&self.inputs).enumerate() {
            let (comma, role) = (if i > 0 { ", " } else { "" }, input.role.name());
            let (ty, name) = (self.body.ty(value), Quoted(&input.name));
            write!(printer.out, "{comma}{value}: {ty} = {role} {name}")?;
        }
        printer.out.push_str(") {\n");
        printer.nodes(&self.body)?;
        printer.out.push_str("  return");
        for (i, (value, output)) in self.body.results().iter().zip(&self.outputs).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(printer.out, "{comma} {} = {value}", Quoted(&output.name))?;
            if let Some(input) = output.alias.and_then(|a| self.inputs.get(a)) {
                write!(printer.out, " alias {}", Quoted(&input.name))?;
            }
        }
        printer.out.push_str("\n}\n");
        f.write_str(&printer.out)
    }
}

impl Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer::default();
        printer.owned(self)?;
        let name = printer.fresh_name("main");
        printer.region(self, &name)?;
        f.write_str(&printer.out)
    }
}

#[derive(Default)]
struct Printer {
    out: String,
    /// Names of the regions printed so far, by address: a shared region is printed once.
    names: HashMap<*const Region, String>,
    taken: HashSet<String>,
}

impl Printer {
    /// Prints the regions that the ops of `region` own, innermost first.
    fn owned(&mut self, region: &Region) -> fmt::Result {
        for node in region.nodes() {
            if node.op.regions().is_empty() {
                continue;
            }
            for (attr, value) in node.op.attrs().0 {
                let Attr::Region(inner) = value else { continue };
                if self.names.contains_key(&Arc::as_ptr(&inner)) {
                    continue;
                }
                self.owned(&inner)?;
                let name = self.fresh_name(&attr);
                self.region(&inner, &name)?;
                self.names.insert(Arc::as_ptr(&inner), name);
            }
        }
        Ok(())
    }

    fn fresh_name(&mut self, hint: &str) -> String {
        let numbered = (1..).map(|i| format!("{hint}{i}"));
        let mut candidates = std::iter::once(hint.to_owned()).chain(numbered);
        let name = candidates.find(|n| !self.taken.contains(n)).expect("the candidates never end");
        self.taken.insert(name.clone());
        name
    }

    fn region(&mut self, region: &Region, name: &str) -> fmt::Result {
        write!(self.out, "region @{name}(")?;
        for (i, value) in region.params().enumerate() {
            write!(self.out, "{}{value}: {}", if i > 0 { ", " } else { "" }, region.ty(value))?;
        }
        self.out.push_str(") -> (");
        self.types(region, region.results().iter().copied())?;
        self.out.push_str(") {\n");
        self.nodes(region)?;
        self.out.push_str("  return");
        for (i, value) in region.results().iter().enumerate() {
            write!(self.out, "{} {value}", if i > 0 { "," } else { "" })?;
        }
        self.out.push_str("\n}\n");
        Ok(())
    }

    fn nodes(&mut self, region: &Region) -> fmt::Result {
        region.nodes().iter().try_for_each(|node| self.node(region, node))
    }

    fn node(&mut self, region: &Region, node: &Node) -> fmt::Result {
        self.out.push_str("  ");
        for (i, value) in node.outputs().enumerate() {
            write!(self.out, "{}{value}", if i > 0 { ", " } else { "" })?;
        }
        if node.outputs().len() > 0 {
            self.out.push_str(" = ");
        }
        self.out.push_str(node.op.name());
        let attrs = node.op.attrs().0;
        for (i, (name, value)) in attrs.iter().enumerate() {
            write!(self.out, "{}{name}=", if i > 0 { ", " } else { "[" })?;
            self.attr(value)?;
        }
        if !attrs.is_empty() {
            self.out.push(']');
        }
        for (i, value) in node.inputs.iter().enumerate() {
            write!(self.out, "{}{value}", if i > 0 { ", " } else { " " })?;
        }
        if node.outputs().len() > 0 {
            self.out.push_str(" : ");
            self.types(region, node.outputs())?;
        }
        if !node.site.is_unknown() {
            write!(self.out, " loc({})", Quoted(node.site.path()))?;
        }
        self.out.push('\n');
        Ok(())
    }

    fn types(&mut self, region: &Region, values: impl Iterator<Item = Value>) -> fmt::Result {
        for (i, value) in values.enumerate() {
            write!(self.out, "{}{}", if i > 0 { ", " } else { "" }, region.ty(value))?;
        }
        Ok(())
    }

    fn attr(&mut self, attr: &Attr) -> fmt::Result {
        match attr {
            Attr::Dim(d) => write!(self.out, "{d}"),
            Attr::Dims(shape) => write!(self.out, "{shape}"),
            Attr::Float(F64(x)) if x.is_finite() => write!(self.out, "{x:?}"),
            Attr::Float(F64(x)) => write!(self.out, "{:#018x}", x.to_bits()),
            Attr::Word(word) => write!(self.out, "{word}"),
            Attr::Tensor(t) => tensor::print(&mut self.out, t),
            Attr::Region(r) => {
                let name = self.names.get(&Arc::as_ptr(r)).expect("regions are printed before their owners");
                write!(self.out, "@{name}")
            }
        }
    }
}

/// A string literal.
struct Quoted<'s>(&'s str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
