use super::*;
use crate::isa::Isa;
use crate::pool::Pool;

/// `len` numbers between −4 and 4.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101) % 1009) as f32 / 1009.0 * 8.0 - 4.0).collect()
}

#[test]
fn fused_loops_compute_what_they_say() {
    let operands: [Vec<f32>; 5] = std::array::from_fn(|i| numbers(192, i));
    let [a, b, c, d, e] = &operands;
    let gelu =
        |x: f64| x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; 192];
        let ran = Fused::GeluTanh(operands.each_ref().map(Vec::as_slice)).run(isa, &mut out);
        assert_eq!(ran, isa != Isa::Portable);
        if !ran {
            continue;
        }
        let close = |i: usize, got: f32, want: f64| {
            let error = (f64::from(got) - want).abs();
            assert!(error <= 2e-6 * want.abs().max(8.0), "{isa}: element {i}: {got} instead of {want}");
        };
        let wide = |x: &[f32], i: usize| f64::from(x[i]);
        for i in 0..192 {
            let x = wide(a, i) * wide(b, i) + wide(c, i);
            close(i, out[i], gelu(x) * wide(d, i) + wide(e, i));
        }
        assert!(Fused::GeluTanhScalars(a, [1.5, -0.5, 2.0, 1.0]).run(isa, &mut out));
        for i in 0..192 {
            close(i, out[i], gelu(wide(a, i) * 1.5 - 0.5) * 2.0 + 1.0);
        }
        assert!(Fused::Chain(a).run(isa, &mut out));
        for i in 0..192 {
            let x = a[i];
            let want = ((x * 1.5 + 0.25) * x - 0.5).clamp(-1.0, 2.0) * x.abs() + x - 0.125;
            assert_eq!(out[i].to_bits(), want.to_bits(), "{isa}: element {i}");
        }
    }
}

#[test]
fn adam_is_adam() {
    let pool = Pool::new(2);
    let gradient = numbers(320, 0);
    for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
        let mut held = [numbers(320, 1), vec![0.0; 320], vec![0.0; 320]];
        let mut wide: [Vec<f64>; 3] = held.each_ref().map(|x| x.iter().map(|x| f64::from(*x)).collect());
        for step in 1..=3 {
            let ran = pool.session(2, |team| {
                ADAM.step(team, isa, step, &gradient, held.each_mut().map(Vec::as_mut_slice))
            });
            assert!(ran);
            let [p, m, v] = &mut wide;
            for i in 0..320 {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (m, v) =
                    (m[i] / (1.0 - 0.9f64.powi(step as i32)), v[i] / (1.0 - 0.999f64.powi(step as i32)));
                p[i] -= 1e-3 * m / (v.sqrt() + 1e-8);
            }
        }
        for (held, wide) in held.iter().zip(&wide) {
            let largest = wide.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
            for (got, want) in held.iter().zip(wide) {
                // The coefficients are rounded to f32: β₂ leaves 1 − β₂ with a relative error of 2⁻¹⁵.
                assert!((f64::from(*got) - want).abs() <= 5e-5 * largest, "{isa}: {got} instead of {want}");
            }
        }
    }
}

#[test]
fn streams_move_what_they_say() {
    let pool = Pool::new(2);
    let len = 64 * 51;
    let (x, y) = (numbers(len, 1), numbers(len, 2));
    for isa in Isa::available() {
        for threads in [1, 2] {
            let mut z = vec![f32::NAN; len];
            pool.session(threads, |team| {
                Stream::Read.run(team, isa, &x, &[], &mut []);
                Stream::Copy.run(team, isa, &x, &[], &mut z);
                assert_eq!(z, x);
                Stream::Update.run(team, isa, &[], &[], &mut z);
                assert!(z.iter().zip(&x).all(|(z, x)| *z == 3.0 * x));
                Stream::Triad.run(team, isa, &x, &y, &mut z);
            });
            for i in 0..len {
                let want = x[i] + 3.0 * y[i];
                assert!((z[i] - want).abs() <= 1e-6 * 16.0, "{isa}: {} instead of {want}", z[i]);
            }
        }
    }
}

#[test]
fn parts_cover_everything_once() {
    for (len, parts) in [(0, 3), (64, 2), (64 * 7, 3), (64 * 100, 8)] {
        let mut next = 0;
        for index in 0..parts {
            let range = part(len, parts, index);
            assert_eq!(range.start, next);
            next = range.end;
        }
        assert_eq!(next, len);
    }
}

#[test]
fn multiply_adds_are_counted() {
    for isa in Isa::available() {
        let flops = Fma::F64.run(&crate::pool::Team::serial(), isa, 10);
        assert_eq!(flops > 0.0, isa != Isa::Portable);
        assert_eq!(Fma::F32.run(&crate::pool::Team::serial(), isa, 10), 2.0 * flops);
    }
}

#[test]
fn the_roofline_has_every_level_and_thread_count() {
    let sample = std::time::Duration::from_micros(10);
    let isas: Vec<Isa> = Isa::available().collect();
    let streams = Stream::ALL.to_vec();
    let options = Options { threads: vec![1, 2], isas: isas.clone(), streams, sizes: 1, sample };
    let roofline = Roofline::measure(&options);
    for threads in [1, 2] {
        for stream in Stream::ALL {
            let of = |b: &&Bandwidth| b.threads == threads && b.stream == stream;
            let sizes: Vec<usize> = roofline.bandwidth.iter().filter(of).map(|b| b.bytes).collect();
            assert!(sizes.len() >= 3 && sizes.is_sorted(), "{sizes:?}");
        }
    }
    assert!(roofline.bandwidth.iter().all(|b| b.rate > 0.0 && b.rate.is_finite()));
    assert_eq!(roofline.arithmetic.len(), 2 * 2 * (isas.len() - 1));
    // Every size has a bandwidth, also one that is larger than what was measured.
    assert!(roofline.bandwidth_at(1) > 0.0 && roofline.bandwidth_at(usize::MAX) > 0.0);
    assert_eq!(roofline.arithmetic_of(Fma::F32) > 0.0, isas.len() > 1);
}
