//! Times fused kernels against hand-written loops: an elementwise chain on 64K floats, rows of softmax, and a run of a
//! one-element program.

use std::hint::black_box;
use std::time::Instant;
use wootz_cpu::Cpu;
use wootz_ir::{Graph, HostTensor, text};
use wootz_passes::Optimize;
use wootz_runtime::{Backend, BackendOptions, Bindings, Stages};

struct Memory {
    inputs: Vec<HostTensor>,
    outputs: Vec<HostTensor>,
}

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        self.inputs[index].as_bytes()
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].bytes_mut()
    }
}

/// Nanoseconds of the fastest of many runs.
fn fastest(mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        for _ in 0..20 {
            f();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / 20.0);
    }
    best
}

fn time(source: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let graph: Graph = text::parse(source)?;
    let backend = Cpu::default();
    let graph = wootz_passes::run(&graph, Optimize::Full, &backend.target(), &mut |_, _| {})?;
    let options = BackendOptions { threads: Some(1) };
    let executable = backend.compile(&graph, &options, &mut Stages::default())?;
    let tensor = |ty: &wootz_ir::TensorType| {
        let dims = ty.shape.concrete().unwrap_or_default();
        let values: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| (i % 97) as f64 / 97.0).collect();
        HostTensor::from_f64(ty.dtype, &dims, &values)
    };
    let inputs = graph.body.param_types().iter().map(tensor).collect();
    let outputs = graph.body.results().iter().map(|v| tensor(graph.body.ty(*v))).collect();
    let mut memory = Memory { inputs, outputs };
    let prepared = executable.prepare(&vec![None; graph.inputs.len()])?;
    let mut instance = executable.instance()?;
    instance.run(&prepared, &mut memory)?;
    Ok(fastest(|| {
        // A failure would have shown above.
        let _ = black_box(instance.run(&prepared, &mut memory));
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chain = time(
        r#"graph(%x: f32[65536] = input "x", %y: f32[65536] = input "y") {
             %a = mul %x, %y
             %b = add %a, %x
             return "z" = %b
           }"#,
    )?;
    let (x, y) = (vec![0.5f32; 65536], vec![0.25f32; 65536]);
    let mut z = vec![0f32; 65536];
    let by_hand = fastest(|| {
        for ((z, x), y) in z.iter_mut().zip(&x).zip(&y) {
            *z = x * y + x;
        }
        black_box(&mut z);
    });
    println!("x*y + x on 65536 f32: {chain:.0} ns, by hand (baseline instructions) {by_hand:.0} ns");
    let long = time(
        r#"graph(%x: f32[65536] = input "x", %y: f32[65536] = input "y") {
             %a = mul %x, %y
             %b = add %a, %x
             %c = sub %b, %y
             %d = mul %c, %c
             %e = max %d, %x
             %f = add %e, %a
             %g = neg %f
             %h = mul %g, %y
             %i = abs %h
             %j = sqrt %i
             return "z" = %j
           }"#,
    )?;
    let by_hand = fastest(|| {
        for ((z, &x), &y) in z.iter_mut().zip(&x).zip(&y) {
            let a = x * y;
            let c = a + x - y;
            *z = (-(((c * c).max(x)) + a) * y).abs().sqrt();
        }
        black_box(&mut z);
    });
    println!("ten operations on 65536 f32: {long:.0} ns, by hand (baseline instructions) {by_hand:.0} ns");
    let erf = time(r#"graph(%x: f32[65536] = input "x") { %a = erf %x return "y" = %a }"#)?;
    println!("erf on 65536 f32: {erf:.0} ns");
    let relu = time(
        r#"graph(%x: f32[65536] = input "x", %g: f32[65536] = input "g") {
             %z = constant[value=f32[]{0.0}]
             %y = broadcast[shape=[65536], axes=[]] %z
             %p = gt %x, %y
             %d = select %p, %g, %y
             return "d" = %d
           }"#,
    )?;
    println!("gradient of relu on 65536 f32: {relu:.0} ns");
    let narrow = time(
        r#"graph(%x: bf16[65536] = input "x", %y: bf16[65536] = input "y") {
             %a = mul %x, %y
             %b = add %a, %x
             return "z" = %b
           }"#,
    )?;
    println!("x*y + x on 65536 bf16: {narrow:.0} ns");
    let exp = time(r#"graph(%x: f32[65536] = input "x") { %a = exp %x return "y" = %a }"#)?;
    println!("exp on 65536 f32: {exp:.0} ns");
    let softmax = time(
        r#"graph(%x: f32[64, 1000] = input "x") {
             %m = reduce_max[axes=[1]] %x
             %mb = broadcast[shape=[64, 1000], axes=[0]] %m
             %d = sub %x, %mb
             %e = exp %d
             %s = reduce_sum[axes=[1]] %e
             %sb = broadcast[shape=[64, 1000], axes=[0]] %s
             %p = div %e, %sb
             return "p" = %p
           }"#,
    )?;
    println!("softmax of 64 rows of 1000 f32: {softmax:.0} ns");
    let tiny = time(r#"graph(%x: f32[1] = input "x") { %a = mul %x, %x return "y" = %a }"#)?;
    println!("one element: {tiny:.0} ns");
    Ok(())
}
