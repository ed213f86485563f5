//! Plans of small graphs, as text.

#[path = "lower/merge.rs"]
mod merge;

use expect_test::{Expect, expect};
use wootz_ir::{DType, Target, text};
use wootz_plan::{PlanError, lower};

fn target() -> Target {
    let dtypes = DType::ALL.to_vec();
    Target {
        backend: "test",
        isa: "",
        dtypes,
        claims: vec![],
        panel: 64,
        caches: [32 << 10, 1 << 20, 32 << 20],
        differentiable: false,
    }
}

/// The steps of the plan of a graph (buffers left out).
fn check(graph: &str, expected: Expect) {
    let graph = text::parse(graph).expect("the test's graph is well formed");
    let plan = lower(&graph, &target()).expect("the graph can be lowered").to_string();
    let is_buffer = |l: &&str| !(l.starts_with("  b") && l.contains(" × "));
    let steps: Vec<&str> = plan.lines().filter(is_buffer).collect();
    expected.assert_eq(&(steps.join("\n") + "\n"));
}

#[test]
fn a_chain_is_one_kernel_and_broadcasts_cost_nothing() {
    check(
        r#"graph(%x: f32[4, 8] = input "x", %b: f32[8] = input "b") {
             %t = broadcast[shape=[4, 8], axes=[1]] %b
             %s = add %x, %t
             %y = tanh %s
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b1, b2) kernel(a0: f32 read, a1: f32 read, a2: f32 write) grid [4, 8] lanes grid {
                  stage [] {
                    %0 = load a0[8*g0 + g1] : f32
                    %1 = load a1[g1] : f32
                    %2 = add %0, %1 : f32
                    %3 = tanh %2 : f32
                    store a2[8*g0 + g1] = %3
                  }
                }
            }
        "#]],
    );
}

#[test]
fn softmax_is_one_kernel_of_three_stages() {
    check(
        r#"graph(%x: f32[64, 100] = input "x") {
             %m = reduce_max[axes=[1]] %x
             %mb = broadcast[shape=[64, 100], axes=[0]] %m
             %d = sub %x, %mb
             %e = exp %d
             %s = reduce_sum[axes=[1]] %e
             %sb = broadcast[shape=[64, 100], axes=[0]] %s
             %y = div %e, %sb
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b1) kernel(a0: f32 read, a1: f32 write) grid [64] lanes inner {
                  stage [100] {
                    %0 = load a0[100*g0 + i0] : f32
                    reduce max %0 -> %1 : f32
                  }
                  stage [100] {
                    %2 = load a0[100*g0 + i0] : f32
                    %3 = sub %2, %1 : f32
                    %4 = exp %3 : f32
                    store a1[100*g0 + i0] = %4
                    reduce sum %4 -> %5 : f32
                  }
                  stage [100] {
                    %6 = load a1[100*g0 + i0] : f32
                    %7 = div %6, %5 : f32
                    store a1[100*g0 + i0] = %7
                  }
                }
            }
        "#]],
    );
}

#[test]
fn an_update_is_made_in_place_after_the_old_value_was_read() {
    check(
        r#"graph(%w: f32[4, 4] = param "w", %x: f32[4, 4] = input "x") {
             %g = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[0], rhs_contract=[0]] %x, %x
             %n = sub %w, %g
             %y = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %w
             return "y" = %y, "w" = %n alias "w"
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                gemm f32 [1×4×4×4] b1, b0 -> b2
                gemm f32 [1×4×4×4] b1, b1 then (b0) kernel(a0: f32 write) grid [1, 4, 4] lanes grid {
                  stage [] {
                    %0 = tile : f32
                    %1 = load a0[4*g1 + g2] : f32
                    %2 = sub %1, %0 : f32
                    store a0[4*g1 + g2] = %2
                  }
                }
            }
        "#]],
    );
}

#[test]
fn an_update_that_moves_elements_is_copied_back_at_the_end() {
    check(
        r#"graph(%w: f32[4] = state "w") {
             %r = reverse[axes=[0]] %w
             return "w" = %r alias "w"
           }"#,
        expect![[r#"
            plan arena 64 bytes {
              run:
                (b0, b1) kernel(a0: f32 read, a1: f32 write) grid [4] lanes grid {
                  stage [] {
                    %0 = load a0[-1*g0 + 3] : f32
                    store a1[g0] = %0
                  }
                }
                copy 16 bytes b1 -> b0
            }
        "#]],
    );
}

#[test]
fn moments_and_parameter_are_updated_by_one_kernel() {
    check(
        r#"graph(%p: f32[9] = param "p", %m: f32[9] = state "m", %g: f32[9] = input "g") {
             %mg = add %m, %g
             %n = sub %p, %mg
             return "p" = %n alias "p", "m" = %mg alias "m"
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b1, b2, b0) kernel(a0: f32 write, a1: f32 read, a2: f32 write) grid [9] lanes grid {
                  stage [] {
                    %0 = load a0[g0] : f32
                    %1 = load a1[g0] : f32
                    %2 = add %0, %1 : f32
                    %3 = load a2[g0] : f32
                    %4 = sub %3, %2 : f32
                    store a0[g0] = %2
                    store a2[g0] = %4
                  }
                }
            }
        "#]],
    );
}

#[test]
fn what_depends_on_parameters_alone_is_prepared_and_packed() {
    check(
        r#"graph(%x: f32[2, 3] = input "x", %w: f32[3, 4] = param "w", %s: f32[4] = param "s") {
             %sb = broadcast[shape=[3, 4], axes=[1]] %s
             %ws = mul %w, %sb
             %y = dot[lhs_batch=[], rhs_batch=[], lhs_contract=[1], rhs_contract=[0]] %x, %ws
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              prepare:
                (b1, b2, b4) kernel(a0: f32 read, a1: f32 read, a2: f32 write) grid [3, 4] lanes grid {
                  stage [] {
                    %0 = load a0[4*g0 + g1] : f32
                    %1 = load a1[g1] : f32
                    %2 = mul %0, %1 : f32
                    store a2[4*g0 + g1] = %2
                  }
                }
                pack [3×4] b4 -> b5
              run:
                gemm f32 [1×2×4×3] b0, b5 packed -> b3
            }
        "#]],
    );
}

#[test]
fn a_large_sum_is_made_of_partial_sums() {
    check(
        r#"graph(%x: f32[99991] = input "x") {
             %s = reduce_sum[axes=[0]] %x
             %y = exp %s
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 128 bytes {
              run:
                (b0, b2) kernel(a0: f32 read, a1: f32 write) grid [23] lanes inner {
                  stage [4167] {
                    %0 = load a0[4167*g0 + i0] : f32
                    %1 = cast %0 : f64
                    reduce sum %1 -> %2 : f64
                  }
                  stage [] {
                    %3 = cast %2 : f32
                    store a1[g0] = %3
                  }
                }
                (b0, b2) kernel(a0: f32 read, a1: f32 write) grid [] lanes inner {
                  stage [4150] {
                    %0 = load a0[i0 + 95841] : f32
                    %1 = cast %0 : f64
                    reduce sum %1 -> %2 : f64
                  }
                  stage [] {
                    %3 = cast %2 : f32
                    store a1[23] = %3
                  }
                }
                (b2, b1) kernel(a0: f32 read, a1: f32 write) grid [] lanes inner {
                  stage [24] {
                    %0 = load a0[i0] : f32
                    reduce sum %0 -> %1 : f32
                  }
                  stage [] {
                    %2 = exp %1 : f32
                    store a1[0] = %2
                  }
                }
            }
        "#]],
    );
}

#[test]
fn transposes_of_operands_become_strides() {
    check(
        r#"graph(%x: f32[2, 5, 3] = input "x", %w: f32[2, 4, 5] = input "w") {
             %t = transpose[perm=[0, 2, 1]] %x
             %y = dot[lhs_batch=[0], rhs_batch=[0], lhs_contract=[2], rhs_contract=[2]] %t, %w
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                gemm f32 [2×3×4×5] b0, b1 -> b2
            }
        "#]],
    );
}

#[test]
fn pads_mask_their_loads_and_joined_operands_write_their_part() {
    check(
        r#"graph(%x: f32[3] = input "x", %z: f32[] = input "z") {
             %p = pad[low=[1], high=[1], interior=[0]] %x, %z
             %n = neg %p
             %c = concat[axis=0] %n, %x
             return "y" = %c
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b1, b0, b2) kernel(a0: f32 read, a1: f32 read, a2: f32 write) grid [5] lanes grid {
                  stage [] {
                    %0 = load a0[0] : f32
                    %1 = g0 : i64
                    %2 = -1 : i64
                    %3 = add %1, %2 : i64
                    %4 = 0 : i64
                    %5 = 3 : i64
                    %6 = ge %3, %4 : bool
                    %7 = lt %3, %5 : bool
                    %8 = and %6, %7 : bool
                    %9 = load a1[g0 + -1] where %8 : f32
                    %10 = select %8, %9, %0 : f32
                    %11 = neg %10 : f32
                    store a2[g0] = %11
                  }
                }
                (b0, b2) kernel(a0: f32 read, a1: f32 write) grid [3] lanes grid {
                  stage [] {
                    %0 = load a0[g0] : f32
                    store a1[g0 + 5] = %0
                  }
                }
            }
        "#]],
    );
}

#[test]
fn regions_are_plans_of_their_own_shared_by_their_calls() {
    check(
        r#"region @block(%a: f32[4]) -> (f32[4]) {
             %b = exp %a
             return %b
           }
           graph(%x: f32[4] = input "x") {
             %y = call[body=@block] %x
             %z = call[body=@block] %y
             return "z" = %z
           }"#,
        expect![[r#"
            plan arena 64 bytes {
              run:
                call (b0) -> b2 plan arena 0 bytes {
                  b0: f32 × 16 bytes, input 0
                  b1: f32 × 16 bytes, output 0
                  run:
                    (b0, b1) kernel(a0: f32 read, a1: f32 write) grid [4] lanes grid {
                      stage [] {
                        %0 = load a0[g0] : f32
                        %1 = exp %0 : f32
                        store a1[g0] = %1
                      }
                    }
                }
                call (b2) -> b1 plan arena 0 bytes {
                  b0: f32 × 16 bytes, input 0
                  b1: f32 × 16 bytes, output 0
                  run:
                    (b0, b1) kernel(a0: f32 read, a1: f32 write) grid [4] lanes grid {
                      stage [] {
                        %0 = load a0[g0] : f32
                        %1 = exp %0 : f32
                        store a1[g0] = %1
                      }
                    }
                }
            }
        "#]],
    );
}

#[test]
fn passed_through_inputs_are_copied() {
    check(
        r#"graph(%x: f32[4] = input "x") {
             %r = reshape[shape=[2, 2]] %x
             return "x" = %x, "r" = %r
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                copy 16 bytes b0 -> b1
                copy 16 bytes b0 -> b2
            }
        "#]],
    );
}

#[test]
fn open_sizes_are_an_error_that_names_them() {
    let graph = text::parse(r#"graph(%x: f32[B] = input "x") { %y = exp %x return "y" = %y }"#);
    let error = lower(&graph.expect("well formed"), &target()).expect_err("B is not a number");
    assert!(matches!(&error, PlanError::Symbolic { dim, .. } if dim.to_string() == "B"), "{error}");
}

#[test]
fn a_row_that_something_else_reads_keeps_its_buffer() {
    check(
        r#"graph(%x: f32[64, 100] = input "x") {
             %e = exp %x
             %s = reduce_sum[axes=[1]] %e
             %sb = broadcast[shape=[64, 100], axes=[0]] %s
             %y = div %e, %sb
             return "y" = %y, "e" = %e
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b2) kernel(a0: f32 read, a1: f32 write) grid [6400] lanes grid {
                  stage [] {
                    %0 = load a0[g0] : f32
                    %1 = exp %0 : f32
                    store a1[g0] = %1
                  }
                }
                (b2, b1) kernel(a0: f32 read, a1: f32 write) grid [64] lanes inner {
                  stage [100] {
                    %0 = load a0[100*g0 + i0] : f32
                    reduce sum %0 -> %1 : f32
                  }
                  stage [100] {
                    %2 = load a0[100*g0 + i0] : f32
                    %3 = div %2, %1 : f32
                    store a1[100*g0 + i0] = %3
                  }
                }
            }
        "#]],
    );
}

#[test]
fn the_position_of_the_largest_is_found_by_chunks() {
    check(
        r#"graph(%x: f32[20000] = input "x") {
             %y = argmax[axis=0] %x
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 128 bytes {
              run:
                (b0, b2, b3) kernel(a0: f32 read, a1: f32 write, a2: i64 write) grid [4] lanes inner {
                  stage [5000] {
                    %0 = load a0[5000*g0 + i0] : f32
                    reduce max %0 -> %1 : f32
                    reduce argmax %0 -> %2 : i64
                  }
                  stage [] {
                    %3 = g0 : i64
                    %4 = 5000 : i64
                    %5 = mul %3, %4 : i64
                    %6 = add %2, %5 : i64
                    store a1[g0] = %1
                    store a2[g0] = %6
                  }
                }
                (b2, b3, b1) kernel(a0: f32 read, a1: i64 read, a2: i64 write) grid [] lanes inner {
                  stage [4] {
                    %0 = load a0[i0] : f32
                    reduce argmax %0 -> %1 : i64
                  }
                  stage [] {
                    %2 = load a1[%1] : i64
                    store a2[0] = %2
                  }
                }
            }
        "#]],
    );
}

#[test]
fn long_columns_are_summed_in_double_precision() {
    check(
        r#"graph(%x: f32[1000, 64] = input "x") {
             %y = reduce_sum[axes=[0]] %x
             return "y" = %y
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b1) kernel(a0: f32 read, a1: f32 write) grid [64] lanes grid {
                  stage [1000] {
                    %0 = load a0[g0 + 64*i0] : f32
                    %1 = cast %0 : f64
                    reduce sum %1 -> %2 : f64
                  }
                  stage [] {
                    %3 = cast %2 : f32
                    store a1[g0] = %3
                  }
                }
            }
        "#]],
    );
}
