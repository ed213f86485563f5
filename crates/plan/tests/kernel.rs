//! The kernel language: text, verifier, interpreter.

// A test that cannot go on has failed, in a helper as in the test itself.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use wootz_ir::{DType, HostTensor};
use wootz_plan::interpret::Buffer;
use wootz_plan::kernel::LANES;
use wootz_plan::{Kernel, interpret, verify_kernel_on};

fn kernel(text: &str) -> Kernel {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(kernel.to_string().parse().as_ref(), Ok(&kernel), "{kernel}");
    kernel
}

fn floats(values: &[f64]) -> Buffer {
    Buffer::holding(&HostTensor::from_f64(DType::F32, &[values.len()], values))
}

fn ints(values: &[i64]) -> Buffer {
    Buffer::holding(&HostTensor::from_i64(DType::I64, &[values.len()], values))
}

/// What a kernel leaves in its last buffer, or why it cannot be run.
fn run(text: &str, mut buffers: Vec<Buffer>) -> String {
    match interpret(&kernel(text), &mut buffers) {
        Err(error) => error.to_string(),
        Ok(()) => {
            let out = buffers.pop().unwrap();
            let shown = (0..out.len()).map(|i| out.get(i).map_or("-".into(), |x| x.float().to_string()));
            shown.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The message for a text that is not a kernel.
fn rejected(text: &str, message: Expect) {
    message.assert_eq(&text.parse::<Kernel>().unwrap_err().to_string());
}

#[test]
fn every_instruction_parses_back() {
    let text = "\
kernel(a0: bf16 read, a1: i64 read, a2: f64 write, a3: bool write) grid [3, 5] lanes inner {
  stage [] {
    %0 = -0.0 : f32
    %1 = nan : f64
    %2 = nan(0xfff8000000000001) : f64
    %3 = -inf : f32
    %4 = 1e-40 : f64
    %5 = -9223372036854775808 : i64
    %6 = g1 : i64
    %7 = load a1[4] : i64
    %8 = lt %7, %5 : bool
    %9 = load a0[-5*g0 + g1 + %6 + 10] where %8 : f32
    %10 = polygamma[order=2] %9 : f32
    %11 = fma %10, %0, %3 : f32
    %12 = select %8, %11, %10 : f32
    %13 = bitcast %12 : i32
    %14 = cast %13 : f64
    %15 = round_f16 %9 : f32
    %16 = pow %4, %14 : f64
  }
  stage [2, 7] {
    %17 = i1 : i64
    %18 = tile : f64
    %19 = mul %18, %16 : f64
    %20 = floor_div %17, %5 : i64
    store a3[7*i0 + i1] = %8
    reduce sum %19 -> %21 : f64
    reduce argmin %20 -> %22 : i64
  }
  stage [] {
    store a2[5*g0 + g1] = %21
  }
}";
    assert_eq!(kernel(text).to_string(), text);
}

#[test]
fn blanks_and_comments_are_free() {
    let text = "kernel(a0:i64 write)grid[2]lanes grid{# a grid\nstage[]{%0=g0:i64 // the point\nstore a0[2 + -1*g0 + 0*g0]=%0}}";
    let kernel = kernel(text);
    expect![[r#"
        kernel(a0: i64 write) grid [2] lanes grid {
          stage [] {
            %0 = g0 : i64
            store a0[-1*g0 + 2] = %0
          }
        }"#]]
    .assert_eq(&kernel.to_string());
}

#[test]
fn what_is_no_kernel_is_an_error_that_says_where() {
    rejected("", expect!["line 1, column 1: expected kernel, found the end of the text"]);
    rejected("kernel(a1: f32 read)", expect!["line 1, column 8: expected the next argument, found `a1`"]);
    rejected(
        "kernel() grid [99999999999999999999] lanes grid {}",
        expect!["line 1, column 16: `99999999999999999999` is not a number of the size that belongs here"],
    );
    rejected(
        "kernel() grid [4294967296, 4294967296] lanes grid {}",
        expect!["line 1, column 53: the loops have more iterations than can be counted"],
    );
    rejected(
        "kernel() grid [] lanes grid {\n  stage [] {\n    %0 = tanhh %1 : f32\n  }\n}",
        expect!["line 3, column 10: expected an instruction, found `tanhh`"],
    );
    rejected(
        "kernel() grid [] lanes grid {\n  stage [] {\n    %0 = i0 : i64\n  }\n}",
        expect!["line 5, column 2: loop 0 does not exist"],
    );
    rejected(
        "kernel() grid [] lanes grid { stage [] { %0 = 1 : i64 %0 = 2 : i64 } }",
        expect!["line 1, column 68: %0 is defined twice, or has no dtype"],
    );
    rejected(
        "kernel() grid [] lanes grid { stage [] { %1 = 1 : i64 } }",
        expect!["line 1, column 58: %0 has a dtype and is never defined"],
    );
    rejected(
        "kernel() grid [] lanes grid { stage [] {} } kernel",
        expect!["line 1, column 45: expected the end of the text, found `kernel`"],
    );
}

#[test]
fn dtypes_and_scopes_are_verified() {
    let body = |lines: &str| {
        format!(
            "kernel(a0: f32 read, a1: i32 write) grid [4] lanes grid {{
               stage [3] {{ %0 = load a0[g0] : f32 %1 = g0 : i64 {lines} }} }}"
        )
    };
    let cases = [
        ("%2 = add %0, %1 : f32", expect!["%1 is i64, operands and result differ in dtype"]),
        ("%2 = and %0, %0 : f32", expect!["%0 is f32, a dtype that the op does not take"]),
        ("%2 = neg %0 : i32", expect!["%2 is i32, operands and result differ in dtype"]),
        ("%2 = lt %0, %0 : f32", expect!["%2 is f32, a comparison gives bool"]),
        ("%2 = fma %1, %1, %1 : i64", expect!["%1 is i64, `fma` is of floats"]),
        ("%2 = select %0, %0, %0 : f32", expect!["%0 is f32, a condition is bool"]),
        (
            "%2 = bitcast %0 : i64",
            expect!["%2 is i64, bits are kept between a float and an integer of one size"],
        ),
        ("%2 = round_f32 %0 : f32", expect!["%2 is f32, values are rounded to a 16-bit float"]),
        ("%2 = cast %0 : f16", expect!["%2 is f16, 16-bit floats are f32 in registers"]),
        ("%2 = load a0[%0] : f32", expect!["%0 is f32, an address index is i64"]),
        ("store a0[g0] = %0", expect!["argument 0 is written but read-only"]),
        ("store a1[g0] = %0", expect!["%0 is f32, not the buffer's compute dtype"]),
        ("store a2[g0] = %0", expect!["argument 2 does not exist"]),
        ("reduce any %0 -> %2 : f32", expect!["%0 is f32, `any` and `all` are of bool"]),
        ("reduce argmax %0 -> %2 : f32", expect!["%2 is f32, not the reduction's dtype"]),
        (
            "%2 = add %3, %3 : f32 %3 = 1.0 : f32",
            expect!["%3 is used before it is defined, or out of its stage"],
        ),
        (
            "reduce max %0 -> %2 : f32 } stage [2] { %3 = add %2, %0 : f32",
            expect!["%0 is used before it is defined, or out of its stage"],
        ),
    ];
    for (lines, message) in cases {
        let error = body(lines).parse::<Kernel>().unwrap_err();
        message.assert_eq(&error.kind.to_string());
    }
}

#[test]
fn addresses_are_held_to_the_sizes_of_buffers() {
    let k = kernel(
        "kernel(a0: f32 read, a1: f32 write) grid [4] lanes grid {
           stage [3] { %0 = load a0[-1*g0 + 5*i0 + 3] : f32 reduce max %0 -> %1 : f32 }
           stage [] { store a1[2*g0] = %1 } }",
    );
    assert_eq!(verify_kernel_on(&k, &[14, 7]), Ok(()));
    let message = |elements: &[usize]| verify_kernel_on(&k, elements).unwrap_err().to_string();
    expect!["argument 0 is accessed from element 0 to 13, it has 13"].assert_eq(&message(&[13, 7]));
    expect!["argument 1 is accessed from element 0 to 6, it has 6"].assert_eq(&message(&[14, 6]));
    expect!["argument 1 has no buffer, or there is one too many"].assert_eq(&message(&[14]));
}

#[test]
fn rows_are_normalised() {
    let text = "kernel(a0: f32 read, a1: f32 write) grid [2] lanes inner {
        stage [4] { %0 = load a0[4*g0 + i0] : f32 reduce sum %0 -> %1 : f32 }
        stage [4] { %2 = load a0[4*g0 + i0] : f32 %3 = div %2, %1 : f32 store a1[4*g0 + i0] = %3 } }";
    let rows = floats(&[1., 2., 3., 2., 1., 1., 0., 2.]);
    expect!["0.125 0.25 0.375 0.25 0.25 0.25 0 0.5"]
        .assert_eq(&run(text, vec![rows, Buffer::blank(DType::F32, 8)]));
}

#[test]
fn sums_are_made_of_interleaved_partial_sums() {
    // What is added to a large number one by one is lost; what is added up first is not.
    let count = 2 * LANES;
    let values: Vec<f64> = (0..count).map(|i| if i == 0 { 16_777_216.0 } else { 1.0 }).collect();
    let sum = |lanes: &str| {
        let text = format!(
            "kernel(a0: f32 read, a1: f32 write) grid [1] lanes {lanes} {{
               stage [{count}] {{ %0 = load a0[i0] : f32 reduce sum %0 -> %1 : f32 }}
               stage [] {{ store a1[0] = %1 }} }}"
        );
        run(&text, vec![floats(&values), Buffer::blank(DType::F32, 1)])
    };
    assert_eq!(sum("grid"), "16777216");
    // The first partial sum absorbs one 1; every other one holds 2.
    assert_eq!(sum("inner"), (16_777_216 + 2 * (LANES - 1)).to_string());
}

#[test]
fn reductions_of_nothing_are_neutral_and_nan_wins() {
    let text = |n: usize| {
        format!(
            "kernel(a0: f32 read, a1: f64 write) grid [] lanes inner {{
               stage [{n}] {{
                 %0 = load a0[i0] : f32
                 reduce sum %0 -> %1 : f32 reduce prod %0 -> %2 : f32 reduce min %0 -> %3 : f32
                 reduce argmax %0 -> %4 : i64 reduce argmin %0 -> %5 : i64 }}
               stage [] {{
                 %6 = cast %1 : f64 %7 = cast %2 : f64 %8 = cast %3 : f64 %9 = cast %4 : f64 %10 = cast %5 : f64
                 store a1[0] = %6 store a1[1] = %7 store a1[2] = %8 store a1[3] = %9 store a1[4] = %10 }} }}"
        )
    };
    let of = |values: &[f64]| run(&text(values.len()), vec![floats(values), Buffer::blank(DType::F64, 5)]);
    expect!["0 1 inf 0 0"].assert_eq(&of(&[]));
    expect!["6 18 -1 1 2"].assert_eq(&of(&[2., 3., -1., 3., -1.]));
    expect!["NaN NaN NaN 1 1"].assert_eq(&of(&[2., f64::NAN, 9., f64::NAN]));
}

#[test]
fn masked_loads_read_nothing() {
    let text = "kernel(a0: f32 read, a1: f32 write) grid [4] lanes grid {
        stage [] {
          %0 = g0 : i64 %1 = 2 : i64 %2 = ge %0, %1 : bool
          %3 = load a0[g0 + -2] where %2 : f32 store a1[g0] = %3 } }";
    expect!["0 0 5 6"].assert_eq(&run(text, vec![floats(&[5., 6.]), Buffer::blank(DType::F32, 4)]));
}

#[test]
fn the_interpreter_watches() {
    let stage = |code: &str| format!("kernel(a0: i64 read, a1: f32 write) grid [3] lanes grid {{ {code} }}");
    let two = |code: &str| run(&stage(code), vec![ints(&[0, 1, 1]), Buffer::blank(DType::F32, 3)]);
    expect!["1 1 1"].assert_eq(&two("stage [] { %0 = 1.0 : f32 store a1[g0] = %0 }"));
    expect!["a1[3] at point 2, stage 0, iteration 0 is outside of the buffer's 3 elements"]
        .assert_eq(&two("stage [] { %0 = 1.0 : f32 store a1[g0 + 1] = %0 }"));
    expect!["a1[0] is read at point 0, stage 0, iteration 0 and was never written"]
        .assert_eq(&two("stage [] { %0 = load a1[g0] : f32 store a1[g0] = %0 }"));
    expect![
        "a1[1] is written at point 2, stage 0, iteration 0, accessed at point 1, stage 0, iteration 0 as well"
    ]
    .assert_eq(&two("stage [] { %0 = load a0[g0] : i64 %1 = cast %0 : f32 store a1[%0] = %1 }"));
    expect![
        "a1[0] is written at point 0, stage 0, iteration 1, accessed at point 0, stage 0, iteration 0 as well"
    ]
    .assert_eq(&two("stage [2] { %0 = 1.0 : f32 store a1[g0] = %0 }"));
    // A point may go on with what it wrote in an earlier stage.
    expect!["2 2 2"].assert_eq(&two("stage [] { %0 = 1.0 : f32 store a1[g0] = %0 }
         stage [] { %1 = load a1[g0] : f32 %2 = add %1, %1 : f32 store a1[g0] = %2 }"));
    expect!["`tile` has a value in an epilogue only"]
        .assert_eq(&two("stage [] { %0 = tile : f32 store a1[g0] = %0 }"));
    let k = kernel(&stage("stage [] { %0 = 1.0 : f32 store a1[g0] = %0 }"));
    let error = interpret(&k, &mut [ints(&[0])]).unwrap_err();
    expect!["the kernel has 2 arguments, 1 buffers were given"].assert_eq(&error.to_string());
    let error = interpret(&k, &mut [ints(&[0]), ints(&[0])]).unwrap_err();
    expect!["a1 is f32, the buffer is i64"].assert_eq(&error.to_string());
}

/// Every generated kernel is well formed, stays within its buffers, reads what was written, and is its own text.
#[test]
fn random_kernels_run_and_parse_back() {
    let options = wootz_plan_testing::Options { math: true, iterations: 200, ..Default::default() };
    let mut stores = 0;
    for seed in 0..2000 {
        let case = wootz_plan_testing::generate(seed, &options);
        let elements: Vec<usize> = case.buffers.iter().map(Buffer::len).collect();
        assert_eq!(verify_kernel_on(&case.kernel, &elements), Ok(()), "seed {seed}\n{case}");
        assert_eq!(case.kernel.to_string().parse().as_ref(), Ok(&case.kernel), "seed {seed}\n{case}");
        let after = case.expected().unwrap_or_else(|e| panic!("seed {seed}: {e}\n{case}"));
        stores += usize::from(after != case.buffers);
    }
    assert!(stores > 1500, "{stores} of 2000 kernels did anything");
}

#[test]
fn failing_kernels_become_small() {
    let adds = |case: &wootz_plan_testing::Case| {
        let sums = case.kernel.stages.iter().flat_map(|s| &s.reduce);
        sums.filter(|acc| acc.kind == wootz_plan::kernel::AccKind::Sum).count() > 0
    };
    let options = wootz_plan_testing::Options::default();
    let large = (0..)
        .map(|seed| wootz_plan_testing::generate(seed, &options))
        .find(|c| adds(c) && c.kernel.stages.len() > 3 && !c.kernel.stages[0].loops.is_empty());
    let small = wootz_plan_testing::minimise(&large.unwrap(), &mut |case| adds(case));
    assert!(adds(&small));
    let insts: usize = small.kernel.stages.iter().map(|s| s.body.len()).sum();
    assert!(insts <= 3, "{small}");
}
