//! Small graphs that once went wrong, or could.

use crate::check::{Tolerance, check, graph};
use wootz_ir::{Builder, DType, HostTensor, TensorType, text};
use wootz_plan::{Plan, Step, StepKind};

/// Checks a graph in text form on inputs that count from 1.
pub(crate) fn run(source: &str) -> Plan {
    let graph = text::parse(source).unwrap();
    let mut next = 0;
    let args: Vec<HostTensor> = graph
        .body
        .param_types()
        .iter()
        .map(|ty| {
            let dims = ty.shape.concrete().unwrap();
            let count: usize = dims.iter().product();
            let values: Vec<f64> = (next..next + count).map(|i| (i % 13) as f64 - 4.0).collect();
            next += count;
            HostTensor::from_f64(ty.dtype, &dims, &values)
        })
        .collect();
    check(&graph, &args, 2, Tolerance::Excess)
}

#[test]
fn a_sum_is_stored() {
    run(r#"graph(%x: f32[2, 3] = input "x") { %s = reduce_sum[axes=[1]] %x return "s" = %s }"#);
}

#[test]
fn a_sum_over_nothing_is_stored_before_a_loop_over_nothing() {
    run(r#"graph(%x: f32[2, 0] = input "x") {
             %s = reduce_sum[axes=[1]] %x
             %b = broadcast[shape=[2, 0], axes=[0]] %s
             %y = add %x, %b
             return "s" = %s, "y" = %y
           }"#);
}

#[test]
fn a_second_output_of_an_updated_value_is_the_new_value() {
    run(r#"graph(%w: f32[4] = param "w", %x: f32[4] = input "x") {
             %n = add %w, %x
             return "w" = %n alias "w", "copy" = %n
           }"#);
}

#[test]
fn inputs_change_places() {
    run(r#"graph(%a: f32[4] = state "a", %b: f32[4] = state "b") {
             return "a" = %b alias "a", "b" = %a alias "b"
           }"#);
    run(r#"graph(%a: f32[4] = state "a", %b: f32[4] = state "b", %c: f32[4] = state "c") {
             return "a" = %b alias "a", "b" = %c alias "b", "c" = %a alias "c"
           }"#);
}

#[test]
fn an_input_passed_on_is_not_overwritten_first() {
    run(r#"graph(%a: f32[4] = state "a", %b: f32[4] = state "b") {
             %n = exp %a
             return "a" = %b alias "a", "b" = %n alias "b"
           }"#);
    run(r#"graph(%a: f32[4] = state "a", %b: f32[4] = state "b") {
             %n = exp %b
             %r = reverse[axes=[0]] %a
             return "a" = %r alias "a", "b" = %n alias "b", "old a" = %a, "old b" = %b
           }"#);
}

#[test]
fn an_update_waits_for_products_that_read_through_a_stored_view() {
    run(r#"graph(%w: f32[3, 4] = param "w", %x: f32[2, 4] = input "x") {
             %t = transpose[perm=[1, 0]] %w
             %n = neg %w
             %y = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %t
             return "t" = %t, "w" = %n alias "w", "y" = %y
           }"#);
}

#[test]
fn products_of_halves_are_converted() {
    run(r#"graph(%x: f16[2, 3] = input "x", %w: f16[3, 4] = input "w") {
             %y = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %w
             %z = cast[dtype=f32] %y
             return "z" = %z
           }"#);
}

#[test]
fn what_is_prepared_reads_nothing_that_a_run_computes() {
    run(r#"graph(%x: f32[3] = input "x", %w: f32[3] = param "w") {
             %i = iota[dtype=f32, shape=[3, 4], axis=1]
             %s = reduce_sum[axes=[1]] %i
             %p = mul %w, %s
             %e = exp %p
             %y = add %x, %e
             return "y" = %y
           }"#);
}

#[test]
fn a_scalar_read_under_another_shape_is_in_memory_first() {
    run(r#"graph(%x: f32[] = input "x") {
             %n = neg %x
             %r = reshape[shape=[1]] %n
             %i = constant[value=i64[1]{-1}]
             %g = gather[batch=0, indexed=1] %r, %i
             return "g" = %g, "n" = %n
           }"#);
}

#[test]
fn long_chains_do_not_overflow_the_stack() {
    let mut b = Builder::new();
    let x = b.param(TensorType::new(DType::F64, [3]));
    let one = b.param(TensorType::new(DType::F64, [3]));
    let mut y = x;
    for i in 0..20_000 {
        y = if i % 2 == 0 { b.add(y, one).unwrap() } else { b.reverse(y, &[0]).unwrap() };
    }
    let graph = graph(b.finish(&[y]), &[], &[]);
    let args = [1.0, 2.0].map(|v| HostTensor::from_f64(DType::F64, &[3], &[v, v, v]));
    check(&graph, &args, 1, Tolerance::Order);
}

#[test]
fn large_reductions_go_by_chunks() {
    let plan = run(r#"graph(%x: f64[3, 9973] = input "x") {
             %s = reduce_sum[axes=[0, 1]] %x
             %n = constant[value=f64[]{29919}]
             %m = div %s, %n
             %b = broadcast[shape=[3, 9973], axes=[]] %m
             %d = sub %x, %b
             %q = mul %d, %d
             %v = reduce_sum[axes=[0, 1]] %q
             %h = reduce_max[axes=[1]] %d
             return "mean" = %m, "variance" = %v, "highest" = %h
           }"#);
    let parallel = |step: &Step| match &step.kind {
        StepKind::Kernel { kernel, .. } => kernel.iterations() < 1000 || kernel.points() > 1,
        _ => true,
    };
    assert!(plan.steps.iter().filter(|s| !parallel(s)).count() <= 3, "{plan}");
}

#[test]
fn positions_of_large_reductions_are_those_of_the_first() {
    let plan = run(r#"graph(%x: f32[3, 8300] = input "x", %w: f16[2, 3, 8192] = param "w") {
             %a = argmax[axis=1] %x
             %b = argmin[axis=1] %x
             %r = reshape[shape=[24900]] %x
             %c = argmax[axis=0] %r
             %f = cast[dtype=f32] %c
             %d = argmin[axis=2] %w
             return "a" = %a, "b" = %b, "c" = %c, "f" = %f, "d" = %d
           }"#);
    let long = |step: &Step| match &step.kind {
        StepKind::Kernel { kernel, .. } => kernel.stages.iter().any(|s| s.loops.iter().any(|n| *n > 5000)),
        _ => false,
    };
    assert!(!plan.steps.iter().any(long), "{plan}");
}

#[test]
fn large_reductions_of_parameters_and_halves() {
    run(
        r#"graph(%x: f16[5, 4100] = input "x", %w: f32[2, 128, 129] = param "w", %f: bool[9000] = input "f") {
             %t = transpose[perm=[1, 0]] %x
             %a = reduce_max[axes=[0, 1]] %t
             %b = reduce_sum[axes=[1, 2]] %w
             %e = exp %b
             %c = reduce_any[axes=[0]] %f
             %d = reduce_sum[axes=[0]] %x
             return "a" = %a, "e" = %e, "c" = %c, "d" = %d
           }"#,
    );
}

#[test]
fn a_piece_of_a_reshape_runs_over_a_row_of_its_operand() {
    run(r#"graph(%x: f32[3, 2] = input "x") {
             %t = transpose[perm=[1, 0]] %x
             %r = reshape[shape=[3, 2]] %t
             %s = slice[start=[1, 0], stop=[2, 2], step=[1, 1]] %r
             %y = neg %s
             return "y" = %y
           }"#);
}
