//! The text form of kernels and plans.

use crate::kernel::{AccKind, Address, Inst, InstOp, Kernel, Lanes, Reg, Stage};
use crate::{BufferId, Place, Plan, Rhs, Step, StepKind};
use std::fmt::{self, Display, Formatter, Write};
use wootz_ir::Op;
use wootz_ir::ops::Unary;

impl Display for Reg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl Display for BufferId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl AccKind {
    /// Every kind.
    pub const ALL: [AccKind; 8] = {
        use AccKind::*;
        [Sum, Prod, Max, Min, Any, All, ArgMax, ArgMin]
    };

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            AccKind::Sum => "sum",
            AccKind::Prod => "prod",
            AccKind::Max => "max",
            AccKind::Min => "min",
            AccKind::Any => "any",
            AccKind::All => "all",
            AccKind::ArgMax => "argmax",
            AccKind::ArgMin => "argmin",
        }
    }
}

impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("kernel(")?;
        for (i, arg) in self.args.iter().enumerate() {
            let access = if arg.write { "write" } else { "read" };
            write!(f, "{}a{i}: {} {access}", if i > 0 { ", " } else { "" }, arg.dtype)?;
        }
        let lanes = if self.lanes == Lanes::Grid { "grid" } else { "inner" };
        writeln!(f, ") grid {:?} lanes {lanes} {{", self.grid)?;
        for stage in &self.stages {
            self.write_stage(f, stage)?;
        }
        f.write_str("}")
    }
}

impl Kernel {
    fn write_stage(&self, f: &mut Formatter<'_>, stage: &Stage) -> fmt::Result {
        writeln!(f, "  stage {:?} {{", stage.loops)?;
        for inst in &stage.body {
            f.write_str("    ")?;
            self.write_inst(f, inst)?;
        }
        for acc in &stage.reduce {
            let dtype = self.regs[acc.out.0 as usize];
            writeln!(f, "    reduce {} {} -> {} : {dtype}", acc.kind.name(), acc.value, acc.out)?;
        }
        f.write_str("  }\n")
    }

    /// An instruction of this kernel as its text form has it.
    pub fn inst_text(&self, inst: &Inst) -> String {
        struct Line<'a>(&'a Kernel, &'a Inst);
        impl Display for Line<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.write_inst(f, self.1)
            }
        }
        Line(self, inst).to_string().trim_end().to_owned()
    }

    fn write_inst(&self, f: &mut Formatter<'_>, inst: &Inst) -> fmt::Result {
        if let Some(out) = inst.out {
            write!(f, "{out} = ")?;
        }
        match &inst.op {
            InstOp::Float(x) => write_float(f, x.0)?,
            InstOp::Int(x) => write!(f, "{x}")?,
            InstOp::Index(axis) => f.write_str(&self.loop_name(*axis as usize))?,
            InstOp::Load { arg, at, mask } => {
                write!(f, "load a{}[{}]", arg.0, self.address(at))?;
                if let Some(mask) = mask {
                    write!(f, " where {mask}")?;
                }
            }
            InstOp::Tile => f.write_str("tile")?,
            InstOp::Unary(Unary::Polygamma(order), x) => write!(f, "polygamma[order={order}] {x}")?,
            InstOp::Unary(op, x) => write!(f, "{} {x}", Op::Unary(*op).name())?,
            InstOp::Binary(op, x, y) => write!(f, "{} {x}, {y}", Op::Binary(*op).name())?,
            InstOp::Compare(op, x, y) => write!(f, "{} {x}, {y}", Op::Compare(*op).name())?,
            InstOp::Select(c, x, y) => write!(f, "select {c}, {x}, {y}")?,
            InstOp::Fma(x, y, z) => write!(f, "fma {x}, {y}, {z}")?,
            InstOp::Sigmoid(x) => write!(f, "sigmoid {x}")?,
            InstOp::Cast(x) => write!(f, "cast {x}")?,
            InstOp::Bitcast(x) => write!(f, "bitcast {x}")?,
            InstOp::Round(to, x) => write!(f, "round_{to} {x}")?,
            InstOp::Store { arg, at, value } => {
                write!(f, "store a{}[{}] = {value}", arg.0, self.address(at))?
            }
        }
        match inst.out {
            Some(out) => writeln!(f, " : {}", self.regs[out.0 as usize]),
            None => writeln!(f),
        }
    }

    fn loop_name(&self, axis: usize) -> String {
        match axis.checked_sub(self.grid.len()) {
            None => format!("g{axis}"),
            Some(i) => format!("i{i}"),
        }
    }

    fn address(&self, at: &Address) -> String {
        let mut out = String::new();
        for (axis, stride) in at.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
            let plus = if out.is_empty() { "" } else { " + " };
            let name = self.loop_name(axis);
            let _ =
                if *stride == 1 { write!(out, "{plus}{name}") } else { write!(out, "{plus}{stride}*{name}") };
        }
        if let Some(index) = at.index {
            let _ = write!(out, "{}{index}", if out.is_empty() { "" } else { " + " });
        }
        if at.offset != 0 || out.is_empty() {
            let _ = write!(out, "{}{}", if out.is_empty() { "" } else { " + " }, at.offset);
        }
        out
    }
}

/// A float that reads back to the same bits.
fn write_float(f: &mut Formatter<'_>, x: f64) -> fmt::Result {
    match x {
        x if x.is_nan() && x.to_bits() == f64::NAN.to_bits() => f.write_str("nan"),
        x if x.is_nan() => write!(f, "nan({:#x})", x.to_bits()),
        x => write!(f, "{x:?}"),
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan arena {} bytes {{", self.arena)?;
        for (i, buffer) in self.buffers.iter().enumerate() {
            let place = match buffer.place {
                Place::Input(n) => format!("input {n}"),
                Place::Output(n) => format!("output {n}"),
                Place::Arena(at) => format!("arena +{at}"),
                Place::Constant(n) => format!("constant {n}"),
                Place::Prepared(n) => format!("prepared {n}"),
            };
            writeln!(f, "  b{i}: {} × {} bytes, {place}", buffer.dtype, buffer.bytes)?;
        }
        for (title, steps) in [("prepare", &self.prepare), ("run", &self.steps)] {
            if !steps.is_empty() {
                writeln!(f, "  {title}:")?;
            }
            for step in steps {
                for line in step.to_string().lines() {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        f.write_str("}")
    }
}

fn list(buffers: &[BufferId]) -> String {
    buffers.iter().map(BufferId::to_string).collect::<Vec<_>>().join(", ")
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StepKind::Kernel { kernel, args } => write!(f, "({}) {kernel}", list(args))?,
            StepKind::Gemm(g) => {
                let rhs = match &g.rhs {
                    Rhs::Matrix(m) => m.buffer.to_string(),
                    Rhs::Packed(b) => format!("{b} packed"),
                };
                write!(f, "gemm {} [{}×{}×{}×{}] {}, {rhs}", g.dtype, g.batch, g.m, g.n, g.k, g.lhs.buffer)?;
                if let Some(out) = g.out {
                    write!(f, " -> {out}")?;
                }
                if let Some(e) = &g.epilogue {
                    write!(f, " then ({}) {}", list(&e.args), e.kernel)?;
                }
            }
            StepKind::PackRhs { k, n, rhs, out } => write!(f, "pack [{k}×{n}] {} -> {out}", rhs.buffer)?,
            StepKind::Copy { from, to, bytes } => write!(f, "copy {bytes} bytes {from} -> {to}")?,
            StepKind::Scatter(s) => {
                write!(f, "{:?} scatter {}, {} -> {}", s.kind, s.indices, s.updates, s.out)?
            }
            StepKind::Cumsum(s) => {
                let order = if s.reverse { " reversed" } else { "" };
                let own = if s.exclusive { " exclusive" } else { "" };
                let sizes = format!("{}×{}×{}", s.outer, s.count, s.inner);
                write!(f, "cumsum{order}{own} {} [{sizes}] {} -> {}", s.dtype, s.data, s.out)?
            }
            StepKind::Linalg(s) => {
                let (name, inputs) = (Op::Linalg(s.op).name(), list(&s.inputs));
                write!(f, "{name} {} [{}×{}×{}] {inputs} -> {}", s.dtype, s.batch, s.n, s.columns, s.out)?
            }
            StepKind::Segment(s) => write!(f, "segment {:?} {}, {} -> {}", s.kind, s.data, s.ids, s.out)?,
            StepKind::Control(c) => write!(f, "{c}")?,
        }
        if self.site.0.is_unknown() { Ok(()) } else { write!(f, "  // {}", self.site.0) }
    }
}

impl Display for crate::ControlStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use crate::ControlStep as C;
        match self {
            C::Call { body, inputs, outputs } => {
                write!(f, "call ({}) -> {} {}", list(inputs), list(outputs), body.plan)
            }
            C::Cond { predicate, then, otherwise, inputs, outputs } => {
                let (inputs, outputs) = (list(inputs), list(outputs));
                write!(
                    f,
                    "cond {predicate} ({inputs}) -> {outputs} then {} else {}",
                    then.plan, otherwise.plan
                )
            }
            C::While { cond, predicate, body, captures, outputs, .. } => {
                let (carry, captures) = (list(outputs), list(captures));
                write!(
                    f,
                    "while {predicate} carry {carry} captures {captures} cond {} body {}",
                    cond.plan, body.plan
                )
            }
            C::Scan { body, length, reverse, carry, .. } => {
                let order = if *reverse { " reversed" } else { "" };
                write!(f, "scan {length} steps{order} carry {} body {}", list(carry), body.plan)
            }
        }
    }
}
