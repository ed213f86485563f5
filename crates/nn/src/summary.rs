//! The summary table of a model: its blocks, their output types and parameter counts.

use crate::scope::Slot;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;
use wootz_ir::{Dim, Region, Role, TensorType, Value};

/// A call of a block, as noted while tracing.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) shared: bool,
    pub(crate) outputs: Vec<Value>,
}

/// A model's blocks in the order of their calls. Prints as a table with unknown dims shown by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The blocks, the model itself first.
    pub blocks: Vec<BlockSummary>,
    /// Elements of all parameters.
    pub parameters: Dim,
    /// Bytes of all parameters, if every size is known.
    pub parameter_bytes: Option<usize>,
    /// Elements of all state.
    pub state: Dim,
}

/// One call of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// The prefix of its parameters' names, without the last dot; empty for the model itself.
    pub path: String,
    /// The kind of block.
    pub kind: String,
    /// The outputs' types.
    pub outputs: Vec<TensorType>,
    /// Elements of its own parameters, those of its children not counted.
    pub parameters: Dim,
    /// True if the block was called before: its parameters are counted there.
    pub shared: bool,
}

impl Summary {
    pub(crate) fn new(records: &[Record], slots: &[Slot], traced: &Region) -> Summary {
        let total = |role: Role| {
            let of_role = slots.iter().filter(|s| s.role == role);
            sum(of_role.map(|s| traced.ty(s.value).shape.elements()))
        };
        let params = slots.iter().filter(|s| s.role == Role::Param);
        let parameter_bytes =
            params.clone().try_fold(0usize, |n, s| n.checked_add(traced.ty(s.value).bytes()?));
        let blocks = records.iter().map(|record| {
            let own = params.clone().filter(|s| !record.shared && parent(&s.name) == record.path);
            BlockSummary {
                path: record.path.clone(),
                kind: record.kind.clone(),
                outputs: record.outputs.iter().map(|v| traced.ty(*v).clone()).collect(),
                parameters: sum(own.map(|s| traced.ty(s.value).shape.elements())),
                shared: record.shared,
            }
        });
        Summary {
            blocks: blocks.collect(),
            parameters: total(Role::Param),
            parameter_bytes,
            state: total(Role::State),
        }
    }
}

fn sum(dims: impl Iterator<Item = Dim>) -> Dim {
    dims.fold(Dim::Const(0), |n, d| &n + &d)
}

fn parent(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(path, _)| path)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["block", "kind", "output", "parameters"]);
        for block in &self.blocks {
            let path = if block.path.is_empty() { "(model)" } else { &block.path };
            let outputs: Vec<String> = block.outputs.iter().map(TensorType::to_string).collect();
            let parameters = match (block.shared, block.parameters.is(0)) {
                (true, _) => "shared".to_owned(),
                (false, true) => String::new(),
                (false, false) => grouped(&block.parameters),
            };
            table.add_row([path, &block.kind, &outputs.join(", "), &parameters]);
        }
        if let Some(column) = table.column_mut(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        write!(f, "parameters: {}", grouped(&self.parameters))?;
        if let Some(bytes) = self.parameter_bytes {
            write!(f, " ({:.2} MiB)", bytes as f64 / (1 << 20) as f64)?;
        }
        if !self.state.is(0) {
            write!(f, "\nstate: {}", grouped(&self.state))?;
        }
        Ok(())
    }
}

/// A count with its digits in groups of three.
fn grouped(count: &Dim) -> String {
    let Some(n) = count.as_const() else { return count.to_string() };
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
