//! Epilogues that products apply while their results are in registers.

use wootz_ir::ops::{Binary, Unary};
use wootz_ir::{DType, F64};
use wootz_plan::kernel::{Address, ArgId, Inst, InstOp, Reg};
use wootz_plan::{BufferId, GemmStep, Kernel};

/// max(0, scale · product + addend + bias), without the parts that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Direct {
    pub(super) scale: Option<Number>,
    /// A matrix; it may be the one that the result is stored to.
    pub(super) addend: Option<BufferId>,
    /// A row.
    pub(super) bias: Option<BufferId>,
    pub(super) relu: bool,
}

/// A factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: Source,
    pub(super) negative: bool,
}

/// Where a factor comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Constant(f64),
    /// The first element of a buffer of the product's dtype.
    Buffer(BufferId),
}

/// What a register holds.
#[derive(Clone, Copy)]
enum Value<'k> {
    Number(Number),
    Load(ArgId, &'k Address),
    Product(Direct),
}

impl Number {
    fn negated(self) -> Number {
        Number { negative: !self.negative, ..self }
    }
}

struct Reader<'k> {
    step: &'k GemmStep,
    kernel: &'k Kernel,
    args: &'k [BufferId],
    values: Vec<Option<Value<'k>>>,
}

/// The epilogue of a product with the matrix that it stores to, if it is no more than [`Direct`] says.
pub(super) fn direct(step: &GemmStep) -> Option<(Direct, BufferId)> {
    let epilogue = step.epilogue.as_ref()?;
    let kernel = &*epilogue.kernel;
    let [stage] = &kernel.stages[..] else { return None };
    if !stage.loops.is_empty() || !matches!(step.dtype, DType::F32 | DType::F64) {
        return None;
    }
    let mut reader = Reader { step, kernel, args: &epilogue.args, values: vec![None; kernel.regs.len()] };
    let (last, body) = stage.body.split_last()?;
    for inst in body {
        reader.values[inst.out?.0 as usize] = Some(reader.value(inst)?);
    }
    let InstOp::Store { arg, at, value } = &last.op else { return None };
    let Some(Value::Product(direct)) = reader.get(*value) else { return None };
    let out = reader.buffer(*arg).filter(|_| reader.is_matrix(at))?;
    Some((direct, out))
}

impl<'k> Reader<'k> {
    fn get(&self, reg: Reg) -> Option<Value<'k>> {
        self.values[reg.0 as usize]
    }

    /// The buffer of an argument that has the product's dtype.
    fn buffer(&self, arg: ArgId) -> Option<BufferId> {
        let same = self.kernel.args[arg.0 as usize].dtype == self.step.dtype;
        same.then(|| self.args[arg.0 as usize])
    }

    fn walks(&self, at: &Address, strides: [usize; 3]) -> bool {
        let sizes = [self.step.batch, self.step.m, self.step.n];
        let same = (0..3).all(|i| sizes[i] == 1 || at.stride(i) == strides[i] as i64);
        at.offset == 0 && at.index.is_none() && same
    }

    fn is_matrix(&self, at: &Address) -> bool {
        self.walks(at, [self.step.m * self.step.n, self.step.n, 1])
    }

    /// What an instruction computes, if that can be part of a product's epilogue.
    fn value(&self, inst: &'k Inst) -> Option<Value<'k>> {
        Some(match &inst.op {
            InstOp::Tile => Value::Product(Direct::default()),
            InstOp::Float(F64(v)) => Value::Number(Number { value: Source::Constant(*v), negative: false }),
            InstOp::Load { arg, at, mask: None } => Value::Load(*arg, at),
            InstOp::Unary(Unary::Neg, x) => Value::Number(self.number(*x)?.negated()),
            InstOp::Binary(op, x, y) => {
                let product = match (op, self.get(*x)?, self.get(*y)?) {
                    (Binary::Sub, Value::Load(arg, at), Value::Product(p)) => self.subtracted(arg, at, p)?,
                    (Binary::Sub, ..) => return None,
                    (_, Value::Product(p), _) => self.combined(*op, p, *y)?,
                    (_, _, Value::Product(p)) => self.combined(*op, p, *x)?,
                    _ => return None,
                };
                Value::Product(product)
            }
            _ => return None,
        })
    }

    fn number(&self, reg: Reg) -> Option<Number> {
        match self.get(reg)? {
            Value::Number(number) => Some(number),
            Value::Load(arg, at) if self.walks(at, [0, 0, 0]) => {
                Some(Number { value: Source::Buffer(self.buffer(arg)?), negative: false })
            }
            _ => None,
        }
    }

    /// A matrix minus a product: the same bits as adding the product negated.
    fn subtracted(&self, arg: ArgId, at: &Address, product: Direct) -> Option<Direct> {
        let plain = Direct { scale: product.scale, ..Direct::default() };
        if product != plain || !self.is_matrix(at) {
            return None;
        }
        let one = Number { value: Source::Constant(1.0), negative: false };
        let scale = Some(product.scale.unwrap_or(one).negated());
        Some(Direct { scale, addend: Some(self.buffer(arg)?), ..plain })
    }

    /// A product combined with another value by an operation that commutes.
    fn combined(&self, op: Binary, product: Direct, other: Reg) -> Option<Direct> {
        let Direct { scale, addend, bias, relu } = product;
        match op {
            Binary::Mul if product == Direct::default() => {
                Some(Direct { scale: Some(self.number(other)?), ..product })
            }
            Binary::Add if bias.is_none() && !relu => match self.get(other)? {
                // One row is both; a bias may follow whatever the product has.
                Value::Load(arg, at) if self.walks(at, [0, 0, 1]) => {
                    Some(Direct { bias: Some(self.buffer(arg)?), ..product })
                }
                Value::Load(arg, at) if self.is_matrix(at) && addend.is_none() => {
                    Some(Direct { scale, addend: Some(self.buffer(arg)?), ..Direct::default() })
                }
                _ => None,
            },
            Binary::Max if !relu => match self.number(other)?.value {
                Source::Constant(v) if v.to_bits() == 0 && !self.number(other)?.negative => {
                    Some(Direct { relu: true, ..product })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wootz_ir::text;
    use wootz_plan::StepKind;
    use wootz_runtime::Backend;

    /// The epilogue of the only product of a graph.
    fn epilogue(source: &str) -> Option<(Direct, BufferId)> {
        let graph = text::parse(source).expect("well formed");
        let plan = wootz_plan::lower(&graph, &crate::Cpu::default().target()).expect("a plan");
        let products: Vec<_> = plan
            .steps
            .iter()
            .filter_map(|s| if let StepKind::Gemm(gemm) = &s.kind { Some(gemm) } else { None })
            .collect();
        assert_eq!(products.len(), 1, "{plan}");
        direct(products[0])
    }

    const DOT: &str = "dot[lhs_batch=[], rhs_batch=[], lhs_contract=[0], rhs_contract=[0]] %x, %g";

    #[test]
    fn gradient_descent_in_place() {
        for rate in ["%r: f32[] = input \"r\"", ""] {
            let comma = if rate.is_empty() { "" } else { ", " };
            let constant = if rate.is_empty() { "%r = constant[value=f32[]{0.01}]" } else { "" };
            let source = format!(
                r#"graph(%x: f32[64, 30] = input "x", %g: f32[64, 20] = input "g", %w: f32[30, 20] = state "w"{comma}{rate}) {{
                     {constant}
                     %p = {DOT}
                     %s = broadcast[shape=[30, 20], axes=[]] %r
                     %d = mul %s, %p
                     %v = sub %w, %d
                     return "w" = %v alias "w"
                   }}"#
            );
            let (direct, out) = epilogue(&source).expect("needs no code");
            assert_eq!(direct.addend, Some(out));
            assert!(direct.scale.is_some_and(|s| s.negative) && direct.bias.is_none() && !direct.relu);
        }
    }

    #[test]
    fn bias_and_relu_and_what_is_too_much() {
        let layer = |bias: &str, last: &str| {
            format!(
                r#"graph(%x: f32[64, 30] = input "x", %g: f32[64, 20] = input "g", %b: f32[20] = input "b", %c: f32[30] = input "c") {{
                     %p = {DOT}
                     %s = broadcast[shape=[30, 20], axes=[{bias}]] {}
                     %d = add %p, %s
                     %z = constant[value=f32[]{{0.0}}]
                     %y = broadcast[shape=[30, 20], axes=[]] %z
                     %v = {last}
                     return "v" = %v
                   }}"#,
                if bias == "1" { "%b" } else { "%c" }
            )
        };
        let (direct, _) = epilogue(&layer("1", "max %d, %y")).expect("needs no code");
        assert!(direct.relu && direct.bias.is_some() && direct.scale.is_none() && direct.addend.is_none());
        assert_eq!(epilogue(&layer("0", "max %d, %y")), None, "a column is no bias");
        assert_eq!(epilogue(&layer("1", "min %d, %y")), None);
        assert_eq!(epilogue(&layer("1", "mul %d, %d")), None);
    }
}
