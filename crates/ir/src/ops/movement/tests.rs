use super::Movement;
use super::samples::counted;
use crate::{Builder, DType, HostTensor, Value, eval};
use proptest::prelude::*;

fn run(
    inputs: &[HostTensor],
    f: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, crate::TypeError>,
) -> HostTensor {
    let mut b = Builder::new();
    let params: Vec<Value> = inputs.iter().map(|t| b.param(t.ty())).collect();
    let out = f(&mut b, &params).unwrap();
    let region = b.finish(&[out]);
    eval::region(&region, inputs).unwrap().remove(0)
}

fn i32s(dims: &[usize], values: &[i64]) -> HostTensor {
    HostTensor::from_i64(DType::I32, dims, values)
}

#[test]
fn elements_go_where_the_definitions_say() {
    let x = counted(DType::I32, &[2, 3]);
    let t = |f: fn(&mut Builder, Value) -> Result<Value, crate::TypeError>| {
        run(std::slice::from_ref(&x), |b, v| f(b, v[0]))
    };
    assert_eq!(t(|b, x| b.transpose(x, &[1, 0])), i32s(&[3, 2], &[1, 4, 2, 5, 3, 6]));
    assert_eq!(t(|b, x| b.reshape(x, [3usize, 2])), i32s(&[3, 2], &[1, 2, 3, 4, 5, 6]));
    assert_eq!(t(|b, x| b.reverse(x, &[1])), i32s(&[2, 3], &[3, 2, 1, 6, 5, 4]));
    assert_eq!(t(|b, x| b.slice(x, &[0, 0], &[2, 3], &[1, 2])), i32s(&[2, 2], &[1, 3, 4, 6]));
    assert_eq!(t(|b, x| b.concat(&[x, x], 1)), i32s(&[2, 6], &[1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]));
    let wide = t(|b, x| b.broadcast(x, &[2usize, 2, 3].into(), &[0, 2]));
    assert_eq!(wide, i32s(&[2, 2, 3], &[1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]));
}

#[test]
fn pads_put_in_and_take_away() {
    let padded =
        run(&[counted(DType::I32, &[3]), i32s(&[], &[9])], |b, v| b.pad(v[0], v[1], &[-1], &[2], &[1]));
    assert_eq!(padded, i32s(&[6], &[9, 2, 9, 3, 9, 9]));
    let empty =
        run(&[counted(DType::I32, &[0]), i32s(&[], &[9])], |b, v| b.pad(v[0], v[1], &[1], &[1], &[2]));
    assert_eq!(empty, i32s(&[2], &[9, 9]));
}

#[test]
fn samples_are_well_typed_and_evaluate() {
    for sample in <Movement as crate::ops::Family>::samples() {
        run(&sample.inputs, |b, v| b.push(sample.op.clone(), v));
    }
}

proptest! {
    #[test]
    fn a_slice_undoes_a_pad(n in 1usize..6, low in 0usize..4, high in 0usize..4, interior in 0usize..3) {
        let x = counted(DType::U8, &[n, 2]);
        let step = interior + 1;
        let back = run(std::slice::from_ref(&x), |b, v| {
            let fill = b.scalar(DType::U8, 77.0);
            let wide = b.pad(v[0], fill, &[low as i64, 0], &[high as i64, 0], &[interior, 0])?;
            b.slice(wide, &[low, 0], &[low + (n - 1) * step + 1, 2], &[step, 1])
        });
        prop_assert_eq!(&back, &x);
        let trimmed = run(std::slice::from_ref(&x), |b, v| {
            let fill = b.scalar(DType::U8, 77.0);
            let wide = b.pad(v[0], fill, &[low as i64, 0], &[high as i64, 0], &[0, 0])?;
            b.pad(wide, fill, &[-(low as i64), 0], &[-(high as i64), 0], &[0, 0])
        });
        prop_assert_eq!(trimmed, x);
    }

    #[test]
    fn reversing_and_transposing_twice_is_nothing(a in 0usize..4, b in 1usize..4, c in 1usize..3) {
        let x = counted(DType::I64, &[a, b, c]);
        let back = run(std::slice::from_ref(&x), |bld, v| {
            let t = bld.transpose(v[0], &[2, 0, 1])?;
            let t = bld.reverse(t, &[0, 2])?;
            let t = bld.reverse(t, &[0, 2])?;
            bld.transpose(t, &[1, 2, 0])
        });
        prop_assert_eq!(back, x);
    }
}
