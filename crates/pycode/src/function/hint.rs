//! What values are called, and which of them need no line of their own.

use wootz_ir::ops::ReduceKind;
use wootz_ir::{Node, Op};

/// Ops whose place in the source says nothing: they go where they are used, whichever block that is.
pub(super) fn is_light(op: &Op) -> bool {
    match op {
        Op::Movement(_) | Op::Cast(_) | Op::Source(_) => true,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Ternary(_)
        | Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::Dot(_)
        | Op::Gather(_)
        | Op::Scatter(_)
        | Op::Segment(_)
        | Op::Cumsum(_)
        | Op::Linalg(_)
        | Op::Random(_)
        | Op::Composite(_)
        | Op::Control(_) => false,
    }
}

/// What to call a node's result.
pub(super) fn hint(node: &Node) -> &'static str {
    match &node.op {
        Op::Dot(_) | Op::Control(_) => "h",
        Op::Composite(_) => "h",
        Op::Binary(_) | Op::Ternary(_) => "t",
        Op::Compare(_) => "mask",
        Op::Reduce(op) => match op.kind {
            ReduceKind::Sum => "total",
            ReduceKind::Prod => "product",
            ReduceKind::Max => "largest",
            ReduceKind::Min => "smallest",
            ReduceKind::Any | ReduceKind::All => "mask",
        },
        Op::Gather(_) => "rows",
        Op::Random(_) => "bits",
        Op::Unary(_) | Op::Cast(_) | Op::Movement(_) | Op::Source(_) => match node.op.name() {
            "cast" | "constant" | "reshape" | "transpose" | "broadcast" | "slice" | "pad" | "concat"
            | "reverse" => "v",
            name => name,
        },
        Op::ArgReduce(_) | Op::Scatter(_) | Op::Segment(_) | Op::Linalg(_) | Op::Cumsum(_) => node.op.name(),
    }
}
