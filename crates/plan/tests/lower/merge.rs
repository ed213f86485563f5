//! Small kernels that become one.

use super::{check, target};
use expect_test::expect;
use wootz_ir::text;
use wootz_plan::lower;

#[test]
fn small_updates_of_one_size_are_one_kernel() {
    check(
        r#"graph(%p: f32[9] = param "p", %q: f32[3, 3] = param "q", %g: f32[9] = input "g", %h: f32[3, 3] = input "h") {
             %a = sub %p, %g
             %b = mul %q, %h
             return "p" = %a alias "p", "q" = %b alias "q"
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b2, b1, b3) kernel(a0: f32 write, a1: f32 read, a2: f32 write, a3: f32 read) grid [9] lanes grid {
                  stage [] {
                    %0 = load a0[g0] : f32
                    %1 = load a1[g0] : f32
                    %2 = sub %0, %1 : f32
                    store a0[g0] = %2
                    %3 = load a2[g0] : f32
                    %4 = load a3[g0] : f32
                    %5 = mul %3, %4 : f32
                    store a2[g0] = %5
                  }
                }
            }
        "#]],
    );
}

#[test]
fn small_updates_of_other_sizes_are_loops_of_one_kernel() {
    check(
        r#"graph(%p: f32[9] = param "p", %q: f32[4, 3] = param "q", %r: f32[9] = param "r", %n: i64[] = param "n",
                 %g: f32[9] = input "g", %h: f32[3, 4] = input "h", %one: i64[] = input "one") {
             %a = sub %p, %g
             %t = transpose[perm=[1, 0]] %h
             %b = mul %q, %t
             %c = add %r, %g
             %m = add %n, %one
             return "p" = %a alias "p", "q" = %b alias "q", "r" = %c alias "r", "n" = %m alias "n"
           }"#,
        expect![[r#"
            plan arena 0 bytes {
              run:
                (b0, b4, b2, b1, b5, b3, b6) kernel(a0: f32 write, a1: f32 read, a2: f32 write, a3: f32 write, a4: f32 read, a5: i64 write, a6: i64 read) grid [] lanes inner {
                  stage [9] {
                    %0 = load a0[i0] : f32
                    %1 = load a1[i0] : f32
                    %2 = sub %0, %1 : f32
                    %3 = load a2[i0] : f32
                    %4 = add %3, %1 : f32
                    store a0[i0] = %2
                    store a2[i0] = %4
                  }
                  stage [4, 3] {
                    %5 = load a3[3*i0 + i1] : f32
                    %6 = load a4[i0 + 4*i1] : f32
                    %7 = mul %5, %6 : f32
                    store a3[3*i0 + i1] = %7
                  }
                  stage [] {
                    %8 = load a5[0] : i64
                    %9 = load a6[0] : i64
                    %10 = add %8, %9 : i64
                    store a5[0] = %10
                  }
                }
            }
        "#]],
    );
}

#[test]
fn loops_of_many_elements_keep_their_grids() {
    let graph = r#"graph(%x: f32[600] = input "x", %y: f32[601] = input "y") {
             %a = neg %x
             %b = neg %y
             return "a" = %a, "b" = %b
           }"#;
    let graph = text::parse(graph).expect("well formed");
    let plan = lower(&graph, &target()).expect("the graph can be lowered");
    assert_eq!(plan.steps.len(), 2, "{plan}");
}

#[test]
fn small_kernels_that_depend_on_each_other_stay_apart() {
    let graph = r#"graph(%x: f32[4, 4] = input "x") {
             %e = exp %x
             %r = reverse[axes=[0, 1]] %e
             %y = add %r, %e
             return "e" = %e, "y" = %y
           }"#;
    let graph = text::parse(graph).expect("well formed");
    let plan = lower(&graph, &target()).expect("the graph can be lowered");
    assert_eq!(plan.steps.len(), 2, "{plan}");
}
