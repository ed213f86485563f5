use super::{ScatterKind, SegmentKind, samples};
use crate::{Builder, DType, HostTensor, TypeError, Value, eval};

fn run(
    inputs: &[HostTensor],
    f: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, TypeError>,
) -> HostTensor {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let out = f(&mut b, &params).unwrap();
    eval::region(&b.finish(&[out]), inputs).unwrap().remove(0)
}

fn ints(dims: &[usize], values: &[i64]) -> HostTensor {
    HostTensor::from_i64(DType::I64, dims, values)
}

#[test]
fn gather_clamps() {
    let table = ints(&[3, 2], &[1, 2, 3, 4, 5, 6]);
    let rows = run(&[table.clone(), ints(&[4, 1], &[2, -5, 9, 1])], |b, v| b.gather(v[0], v[1], 0, 1));
    assert_eq!(rows, ints(&[4, 2], &[5, 6, 1, 2, 5, 6, 3, 4]));
    let elements = run(&[table.clone(), ints(&[2, 2], &[1, 0, 2, 7])], |b, v| b.gather(v[0], v[1], 0, 2));
    assert_eq!(elements, ints(&[2], &[3, 6]));
    let one_a_row = run(&[table, ints(&[3, 1, 1], &[1, 0, 1])], |b, v| b.gather(v[0], v[1], 1, 1));
    assert_eq!(one_a_row, ints(&[3, 1], &[2, 3, 6]));
}

#[test]
fn scatter_drops_what_is_out_of_bounds_and_the_last_write_wins() {
    let inputs =
        [ints(&[4], &[1, 2, 3, 4]), ints(&[5, 1], &[1, 1, -1, 4, 3]), ints(&[5], &[10, 20, 30, 40, 50])];
    let set = run(&inputs, |b, v| b.scatter(ScatterKind::Set, v[0], v[1], v[2], 0, 1));
    assert_eq!(set, ints(&[4], &[1, 20, 3, 50]));
    let added = run(&inputs, |b, v| b.scatter(ScatterKind::Add, v[0], v[1], v[2], 0, 1));
    assert_eq!(added, ints(&[4], &[1, 32, 3, 54]));
}

#[test]
fn scatter_add_of_half_floats_rounds_once() {
    let updates = HostTensor::from_f64(DType::F16, &[3], &[0.75, 0.75, 0.5]);
    let operand = HostTensor::from_f64(DType::F16, &[1], &[2048.0]);
    let sum = run(&[operand, ints(&[3, 1], &[0, 0, 0]), updates], |b, v| {
        b.scatter(ScatterKind::Add, v[0], v[1], v[2], 0, 1)
    });
    assert_eq!(sum.to_f64(), [2050.0]);
}

#[test]
fn segments_combine_and_empty_ones_hold_the_neutral_element() {
    let ids = ints(&[5], &[0, 0, 2, 2, 9]);
    let data = HostTensor::from_f64(DType::F32, &[5], &[1.0, -3.0, 5.0, 2.0, 100.0]);
    let expected = [
        (SegmentKind::Sum, [-2.0, 0.0, 7.0]),
        (SegmentKind::Prod, [-3.0, 1.0, 10.0]),
        (SegmentKind::Max, [1.0, f64::NEG_INFINITY, 5.0]),
        (SegmentKind::Min, [-3.0, f64::INFINITY, 2.0]),
    ];
    for (kind, values) in expected {
        let got = run(&[data.clone(), ids.clone()], |b, v| b.segment(kind, v[0], v[1], 0, 3usize.into()));
        assert_eq!(got.to_f64(), values, "{kind:?}");
    }
    let bytes = HostTensor::from_i64(DType::U8, &[1], &[7]);
    let min =
        run(&[bytes, ints(&[1], &[1])], |b, v| b.segment(SegmentKind::Min, v[0], v[1], 0, 2usize.into()));
    assert_eq!(min.to_i64(), [255, 7]);
}

#[test]
fn a_nan_in_a_segment_is_its_extreme() {
    let data = HostTensor::from_f64(DType::F64, &[3], &[1.0, f64::NAN, 2.0]);
    let max = run(&[data, ints(&[3], &[0, 0, 0])], |b, v| {
        b.segment(SegmentKind::Max, v[0], v[1], 0, 1usize.into())
    });
    assert!(max.to_f64()[0].is_nan());
}

#[test]
fn samples_are_well_typed_and_evaluate() {
    for sample in [samples::gathers(), samples::scatters(), samples::segments()].concat() {
        run(&sample.inputs, |b, v| b.push(sample.op.clone(), v));
    }
}
