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
