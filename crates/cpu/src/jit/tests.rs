//! Machine code against the interpreter of the kernel language. (Random kernels, guard pages and whole graphs: see the
//! integration tests and the conformance suite.)

use crate::code::Batch;
use crate::isa::Isa;
use std::sync::Arc;
use wootz_ir::{DType, HostTensor};
use wootz_plan::Kernel;
use wootz_plan::interpret::{Buffer, interpret};

/// Elements of every buffer.
const ROOM: usize = 1 << 14;

/// Values of all kinds, the special ones too.
fn contents(dtype: DType, arg: usize) -> HostTensor {
    let value = |i: usize| {
        let x = ((i * 7919 + arg * 104_729) % 2003) as f64 / 64.0 - 15.0;
        match (i + arg) % 61 {
            _ if dtype == DType::Bool => ((i * 31 + arg) % 3 % 2) as f64,
            0 if dtype.is_float() => f64::NAN,
            1 if dtype.is_float() => f64::INFINITY,
            2 if dtype.is_float() => f64::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            5 if dtype.is_float() => 3e9,
            6 if dtype.is_float() => -3e9,
            _ if dtype == DType::U8 => (x.abs() * 8.0).floor(),
            _ if dtype == DType::U32 => (x.abs() * 1e8).floor(),
            _ if !dtype.is_float() => (x * 1e3).floor(),
            _ => x,
        }
    };
    let values: Vec<f64> = (0..ROOM).map(value).collect();
    HostTensor::from_f64(dtype, &[ROOM], &values)
}

/// The element's value, all NaNs being one.
fn canonical(dtype: DType, bytes: &[u8]) -> Vec<u8> {
    let nan = match dtype {
        DType::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).is_nan(),
        DType::F64 => f64::from_le_bytes(bytes.try_into().expect("eight bytes")).is_nan(),
        DType::F16 => half::f16::from_le_bytes([bytes[0], bytes[1]]).is_nan(),
        DType::BF16 => half::bf16::from_le_bytes([bytes[0], bytes[1]]).is_nan(),
        _ => false,
    };
    if nan { b"nan".to_vec() } else { bytes.to_vec() }
}

/// Runs a kernel on every instruction set, cut in two parts, and compares all buffers with the interpreter's.
fn check(text: &str) {
    let kernel: Arc<Kernel> = Arc::new(text.parse().unwrap_or_else(|e| panic!("{e}\n{text}")));
    let tensors: Vec<HostTensor> =
        kernel.args.iter().enumerate().map(|(i, arg)| contents(arg.dtype, i)).collect();
    let mut expected: Vec<Buffer> = tensors.iter().map(Buffer::holding).collect();
    interpret(&kernel, &mut expected).unwrap_or_else(|e| panic!("{e}\n{text}"));
    for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
        let mut batch = Batch::new(isa, true);
        let code = batch.add(&kernel, false);
        batch.finish();
        assert_eq!(code.declined(), None, "{text}");
        let mut got = tensors.clone();
        let args: Vec<*mut u8> = got.iter_mut().map(|t| t.bytes_mut().as_mut_ptr()).collect();
        let mut work = vec![[0x3fu64; 8]; code.work_bytes().div_ceil(64) + 1];
        let offset = work.as_ptr().cast::<u8>().align_offset(64);
        let (units, cut) = (code.units(), code.units() / 3);
        // SAFETY: the interpreter has shown that addresses lie within `ROOM`; the working memory is large enough.
        unsafe {
            let work = work.as_mut_ptr().cast::<u8>().add(offset);
            code.run(&args, 0..cut, work);
            code.run(&args, cut..units, work);
        }
        for (i, (got, want)) in got.iter().zip(&expected).enumerate() {
            let dtype = kernel.args[i].dtype;
            let elements = got.as_bytes().chunks(dtype.size()).zip(want.as_bytes().chunks(dtype.size()));
            for (at, (g, w)) in elements.enumerate() {
                assert!(
                    canonical(dtype, g) == canonical(dtype, w),
                    "{isa}: a{i}[{at}] is {g:?}, not {w:?}\n{text}"
                );
            }
        }
    }
}

/// An elementwise kernel over `n` elements with inputs x and y.
fn elementwise(n: usize, from: &str, to: &str, body: &str) {
    check(&format!(
        "kernel(a0: {from} read, a1: {from} read, a2: {to} write) grid [{n}] lanes grid {{
           stage [] {{
             %0 = load a0[g0] : {from}
             %1 = load a1[g0] : {from}
{body}
           }}
         }}"
    ));
}

const SIZES: [usize; 7] = [1, 5, 8, 31, 64, 100, 9001];

#[test]
fn float_arithmetic() {
    for dtype in ["f32", "f64"] {
        for n in SIZES {
            for op in ["add", "sub", "mul", "div", "min", "max"] {
                elementwise(n, dtype, dtype, &format!("%2 = {op} %0, %1 : {dtype}\nstore a2[g0] = %2"));
                for literal in ["0.0", "-0.0", "2.5", "-1.5"] {
                    let body = format!(
                        "%2 = {literal} : {dtype}\n%3 = {op} %0, %2 : {dtype}\n%4 = {op} %2, %1 : {dtype}\n%5 = add %3, %4 : {dtype}\nstore a2[g0] = %5"
                    );
                    elementwise(n.min(100), dtype, dtype, &body);
                }
            }
            for op in ["neg", "abs", "sqrt", "floor", "ceil", "round"] {
                elementwise(n, dtype, dtype, &format!("%2 = {op} %0 : {dtype}\nstore a2[g0] = %2"));
            }
            for order in ["%0, %1, %0", "%0, %0, %1", "%1, %0, %1", "%0, %0, %0"] {
                elementwise(n, dtype, dtype, &format!("%2 = fma {order} : {dtype}\nstore a2[g0] = %2"));
            }
        }
    }
}

#[test]
fn integer_arithmetic() {
    for dtype in ["i32", "u32", "i64"] {
        for n in [3, 8, 37] {
            for op in ["add", "sub", "mul", "min", "max", "and", "or", "xor", "shl", "shr"] {
                elementwise(n, dtype, dtype, &format!("%2 = {op} %0, %1 : {dtype}\nstore a2[g0] = %2"));
                for literal in [0, 1, 7, 31, 32, 40, 63, 64] {
                    let body =
                        format!("%2 = {literal} : {dtype}\n%3 = {op} %0, %2 : {dtype}\nstore a2[g0] = %3");
                    elementwise(n, dtype, dtype, &body);
                }
            }
            for op in ["neg", "abs", "not"] {
                if dtype == "u32" && op == "neg" {
                    continue;
                }
                elementwise(n, dtype, dtype, &format!("%2 = {op} %0 : {dtype}\nstore a2[g0] = %2"));
            }
        }
    }
}

#[test]
fn integer_division() {
    for op in ["div", "rem", "floor_div"] {
        for n in [3, 8, 37] {
            for dtype in ["i32", "u32", "u8"] {
                elementwise(n, dtype, dtype, &format!("%2 = {op} %0, %1 : {dtype}\nstore a2[g0] = %2"));
                for literal in [0, 1, 3, 10, 64, 127, -1, -7] {
                    if literal < 0 && dtype != "i32" {
                        continue;
                    }
                    let body =
                        format!("%2 = {literal} : {dtype}\n%3 = {op} %0, %2 : {dtype}\nstore a2[g0] = %3");
                    elementwise(n, dtype, dtype, &body);
                }
            }
            // What is known of an i64 lets it be divided.
            let body = format!(
                "%2 = g0 : i64\n%3 = 7 : i64\n%4 = {op} %2, %3 : i64\n%5 = 1125899906842623 : i64\n%6 = and %0, %5 : i64\n%7 = sub %6, %4 : i64\n%8 = {op} %7, %3 : i64\n%9 = 1000003 : i64\n%10 = sub %4, %9 : i64\n%11 = {op} %8, %10 : i64\n%12 = add %8, %11 : i64\nstore a2[g0] = %12"
            );
            elementwise(n, "i64", "i64", &body);
        }
    }
}

#[test]
fn comparisons_and_choices() {
    for dtype in ["f32", "f64", "i32", "u32", "i64", "u8", "bool"] {
        for n in [3, 16, 37] {
            for op in ["eq", "ne", "lt", "le", "gt", "ge"] {
                elementwise(n, dtype, "bool", &format!("%2 = {op} %0, %1 : bool\nstore a2[g0] = %2"));
                let body =
                    format!("%2 = {op} %0, %1 : bool\n%3 = select %2, %0, %1 : {dtype}\nstore a2[g0] = %3");
                elementwise(n, dtype, dtype, &body);
            }
            if dtype == "i64" {
                continue;
            }
            // Lanes of 4 and of 8 bytes in one kernel.
            let body = format!(
                "%2 = g0 : i64\n%3 = 7 : i64\n%4 = lt %2, %3 : bool\n%5 = lt %0, %1 : bool\n%6 = xor %4, %5 : bool\n%7 = not %6 : bool\n%8 = select %7, %0, %1 : {dtype}\n%9 = select %5, %2, %3 : i64\n%10 = cast %9 : f64\n%11 = cast %10 : f32\n%12 = cast %8 : f32\n%13 = add %11, %12 : f32\nstore a2[g0] = %13"
            );
            elementwise(n, dtype, "f32", &body);
        }
    }
}

#[test]
fn conversions() {
    let dtypes = ["f32", "f64", "i32", "u32", "i64", "u8", "bool"];
    for from in dtypes {
        for to in dtypes {
            for n in [3, 16, 37] {
                elementwise(n, from, to, &format!("%2 = cast %0 : {to}\nstore a2[g0] = %2"));
            }
        }
    }
    for n in [3, 16, 37] {
        elementwise(
            n,
            "f32",
            "f32",
            "%2 = round_f16 %0 : f32\n%3 = round_bf16 %1 : f32\n%4 = add %2, %3 : f32\nstore a2[g0] = %4",
        );
        elementwise(n, "f32", "i32", "%2 = bitcast %0 : i32\nstore a2[g0] = %2");
        elementwise(n, "f64", "i64", "%2 = bitcast %0 : i64\nstore a2[g0] = %2");
        for (narrow, wide) in [("f16", "bf16"), ("bf16", "f16"), ("f16", "f64"), ("bf16", "f64")] {
            let through = if wide == "f64" { "cast %0 : f64" } else { "mul %0, %0 : f32" };
            check(&format!(
                "kernel(a0: {narrow} read, a1: {wide} write, a2: u8 read, a3: u8 write) grid [{n}] lanes grid {{
                   stage [] {{
                     %0 = load a0[g0] : f32
                     %1 = {through}
                     store a1[g0] = %1
                     %2 = load a2[g0] : u8
                     store a3[g0] = %2
                   }}
                 }}"
            ));
        }
    }
}

#[test]
fn addresses() {
    for (dtype, n) in [("f32", 37), ("f64", 37), ("i64", 8), ("f32", 5)] {
        for at in ["3*g0 + 2", "-1*g0 + 500", "g0 + 40*g1", "g1", "g1 + 17*g0", "5"] {
            check(&format!(
                "kernel(a0: {dtype} read, a1: {dtype} write) grid [3, {n}] lanes grid {{
                   stage [] {{
                     %0 = load a0[{}] : {dtype}
                     store a1[50*g0 + g1] = %0
                   }}
                 }}",
                at.replace("-1*g0", "-1*g1"),
            ));
            check(&format!(
                "kernel(a0: i32 read, a1: {dtype} read, a2: {dtype} write) grid [3, {n}] lanes grid {{
                   stage [] {{
                     %0 = load a0[g1] : i32
                     %1 = 127 : i32
                     %2 = and %0, %1 : i32
                     %3 = cast %2 : i64
                     %4 = 40 : i32
                     %5 = lt %2, %4 : bool
                     %6 = load a1[2*g1 + %3 + 9] where %5 : {dtype}
                     %7 = load a1[{at}] where %5 : {dtype}
                     %8 = add %6, %7 : {dtype}
                     store a2[3*g1 + 200*g0 + 4] = %8
                   }}
                 }}",
            ));
        }
        // Addresses by a computed index that is the same for all lanes.
        check(&format!(
            "kernel(a0: i64 read, a1: {dtype} read, a2: {dtype} write) grid [6, {n}] lanes grid {{
               stage [] {{
                 %0 = load a0[g0] : i64
                 %1 = 63 : i64
                 %2 = and %0, %1 : i64
                 %3 = load a1[g1 + %2] : {dtype}
                 %4 = load a1[%2 + 1] : {dtype}
                 %5 = 30 : i64
                 %6 = lt %2, %5 : bool
                 %7 = load a1[%2] where %6 : {dtype}
                 %8 = add %3, %4 : {dtype}
                 %9 = add %8, %7 : {dtype}
                 store a2[50*g0 + g1] = %9
               }}
             }}"
        ));
    }
}

#[test]
fn positions_of_extremes() {
    for dtype in ["f32", "f64", "i32", "i64", "u32", "u8", "bool"] {
        for (kind, n) in [("argmax", 1), ("argmin", 7), ("argmax", 100), ("argmin", 300)] {
            check(&format!(
                "kernel(a0: {dtype} read, a1: i64 write) grid [5] lanes inner {{
                   stage [2, {n}] {{
                     %0 = load a0[{m}*g0 + {n}*i0 + i1] : {dtype}
                     reduce {kind} %0 -> %1 : i64
                   }}
                   stage [] {{
                     store a1[g0] = %1
                   }}
                 }}",
                m = 2 * n
            ));
            check(&format!(
                "kernel(a0: {dtype} read, a1: i64 write) grid [{n}] lanes grid {{
                   stage [4, 3] {{
                     %0 = load a0[{m}*i0 + {n}*i1 + g0] : {dtype}
                     reduce {kind} %0 -> %1 : i64
                   }}
                   stage [] {{
                     store a1[g0] = %1
                   }}
                 }}",
                m = 3 * n
            ));
        }
    }
}

#[test]
fn selected_extremes() {
    for dtype in ["f32", "f64"] {
        for (op, operands) in [("lt", "%0, %1"), ("lt", "%1, %0"), ("gt", "%0, %1"), ("gt", "%1, %0")] {
            check(&format!(
                "kernel(a0: {dtype} read, a1: {dtype} read, a2: {dtype} write) grid [100] lanes grid {{
                   stage [] {{
                     %0 = load a0[g0] : {dtype}
                     %1 = load a1[g0] : {dtype}
                     %2 = {op} %0, %1 : bool
                     %3 = select %2, {operands} : {dtype}
                     store a2[g0] = %3
                   }}
                 }}"
            ));
        }
    }
}

#[test]
fn rows_reduced() {
    for dtype in ["f32", "f64", "i32", "i64", "u32"] {
        for n in [1, 7, 32, 100, 64, 1000] {
            for kind in ["sum", "prod", "max", "min"] {
                check(&format!(
                    "kernel(a0: {dtype} read, a1: {dtype} write, a2: {dtype} write) grid [5] lanes inner {{
                       stage [2, {n}] {{
                         %0 = load a0[{m}*g0 + {n}*i0 + i1] : {dtype}
                         %1 = load a0[g0 + 3*i0] : {dtype}
                         %2 = add %0, %1 : {dtype}
                         reduce {kind} %2 -> %3 : {dtype}
                         reduce max %0 -> %4 : {dtype}
                       }}
                       stage [{n}] {{
                         %5 = load a0[{m}*g0 + i0] : {dtype}
                         %6 = sub %5, %4 : {dtype}
                         store a1[{n}*g0 + i0] = %6
                       }}
                       stage [] {{
                         store a2[g0] = %3
                       }}
                     }}",
                    m = 2 * n
                ));
                check(&format!(
                    "kernel(a0: {dtype} read, a1: {dtype} write, a2: {dtype} write) grid [3, {n}] lanes grid {{
                       stage [4, 3] {{
                         %0 = load a0[{n}*i0 + 40*i1 + g1 + g0] : {dtype}
                         reduce {kind} %0 -> %1 : {dtype}
                       }}
                       stage [2] {{
                         %2 = load a0[g1 + i0] : {dtype}
                         %3 = mul %2, %1 : {dtype}
                         reduce min %3 -> %4 : {dtype}
                       }}
                       stage [] {{
                         store a1[{n}*g0 + g1] = %1
                         store a2[{n}*g0 + g1] = %4
                       }}
                     }}"
                ));
            }
        }
    }
    for n in [1, 20, 100] {
        check(&format!(
            "kernel(a0: bool read, a1: bool write, a2: bool write) grid [40] lanes inner {{
               stage [{n}] {{
                 %0 = load a0[g0 + i0] : bool
                 reduce any %0 -> %1 : bool
                 reduce all %0 -> %2 : bool
               }}
               stage [] {{
                 store a1[g0] = %1
                 store a2[g0] = %2
               }}
             }}"
        ));
        check(&format!(
            "kernel(a0: f32 read, a1: f64 write) grid [7] lanes inner {{
               stage [{n}] {{
                 %0 = load a0[g0 + i0] : f32
                 %1 = cast %0 : f64
                 reduce sum %1 -> %2 : f64
               }}
               stage [0] {{
                 %3 = load a0[i0] : f32
                 reduce max %3 -> %4 : f32
               }}
               stage [] {{
                 %5 = cast %4 : f64
                 %6 = 1.0 : f64
                 %7 = max %5, %6 : f64
                 %8 = mul %7, %2 : f64
                 store a1[g0] = %8
               }}
             }}"
        ));
    }
}

#[test]
fn values_that_cross_stages() {
    for (dtype, n) in [("f32", 5), ("f64", 5), ("f64", 50), ("f32", 3000)] {
        check(&format!(
            "kernel(a0: {dtype} read, a1: {dtype} write, a2: bool write) grid [{n}] lanes grid {{
               stage [] {{
                 %0 = load a0[g0] : {dtype}
                 %1 = load a0[g0 + 1] : {dtype}
                 %2 = lt %0, %1 : bool
                 store a2[g0] = %2
               }}
               stage [2] {{
                 %3 = load a0[g0 + i0 + 2] : {dtype}
                 %4 = select %2, %3, %1 : {dtype}
                 store a1[2*g0 + i0] = %4
                 reduce sum %4 -> %5 : {dtype}
               }}
               stage [] {{
                 %6 = select %2, %5, %0 : {dtype}
                 store a1[g0 + 8000] = %6
               }}
             }}"
        ));
    }
}

#[test]
fn more_values_than_registers() {
    for dtype in ["f32", "f64"] {
        for n in [5, 40, 1000] {
            let mut text = format!(
                "kernel(a0: {dtype} read, a1: {dtype} write) grid [{n}] lanes grid {{\nstage [] {{\n"
            );
            for i in 0..48 {
                text += &format!("%{i} = load a0[g0 + {}] : {dtype}\n", 3 * i);
            }
            for i in 0..48 {
                text += &format!("%{} = {}.5 : {dtype}\n", 48 + i, i % 20);
            }
            for i in 0..48 {
                text += &format!("%{} = fma %{}, %{}, %{} : {dtype}\n", 96 + i, i, 48 + i, (i * 7 + 11) % 48);
            }
            text += &format!("%144 = add %96, %97 : {dtype}\n");
            for i in 2..48 {
                text += &format!("%{} = add %{}, %{} : {dtype}\n", 143 + i, 142 + i, 96 + i);
            }
            text += "store a1[g0] = %190\n}\n}";
            check(&text);
        }
    }
}
