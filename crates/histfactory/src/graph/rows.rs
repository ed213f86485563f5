//! Reading by constant index, and products over ragged lists.

use super::Built;
use wootz_ir::{Builder, DType, HostTensor, Shape, Value};

/// `source[indices]`, for a vector `source` and indices of shape `dims`.
pub(super) fn gather(b: &mut Builder, source: Value, indices: &[i64], dims: &[usize]) -> Built {
    if let Some(range) = contiguous(indices)
        && dims.len() == 1
    {
        return b.slice(source, &[range.start], &[range.end], &[1]);
    }
    let with_last: Vec<usize> = dims.iter().copied().chain([1]).collect();
    let indices = b.constant(HostTensor::from_i64(DType::I32, &with_last, indices));
    b.gather(source, indices, 0, 1)
}

fn contiguous(indices: &[i64]) -> Option<std::ops::Range<usize>> {
    let first = *indices.first()? as usize;
    let follows = indices.iter().enumerate().all(|(i, at)| *at as usize == first + i);
    follows.then_some(first..first + indices.len())
}

/// x where `mask` is true, `otherwise` elsewhere.
pub(super) fn select_constant(
    b: &mut Builder,
    mask: &[bool],
    dims: &[usize],
    x: Value,
    otherwise: f64,
) -> Built {
    if mask.iter().all(|m| *m) {
        return Ok(x);
    }
    let mask: Vec<i64> = mask.iter().map(|m| i64::from(*m)).collect();
    let mask = b.constant(HostTensor::from_i64(DType::Bool, dims, &mask));
    let otherwise = b.scalar_like(x, otherwise);
    b.select(mask, x, otherwise)
}

/// The product over each row of `source[index]`; 1 for rows without entries. A tree of products without division, so that zeros are no trouble
/// to derivatives, linear in the number of entries.
pub(super) fn product(b: &mut Builder, source: Value, entries: &[(usize, usize)], rows: usize) -> Built {
    const COLUMNS: usize = 4;
    let mut lists: Vec<Vec<usize>> = vec![Vec::new(); rows];
    entries.iter().for_each(|(row, index)| lists[*row].push(*index));
    if lists.iter().all(|l| l.len() <= COLUMNS) {
        return columns(b, source, &lists);
    }
    let mut chunks = Vec::new();
    let mut chunk_row = Vec::new();
    for (row, list) in lists.iter().enumerate() {
        for chunk in list.chunks(COLUMNS) {
            chunk_row.push((row, chunks.len()));
            chunks.push(chunk.to_vec());
        }
    }
    let products = columns(b, source, &chunks)?;
    product(b, products, &chunk_row, rows)
}

/// The product of a few elements for each row.
fn columns(b: &mut Builder, source: Value, lists: &[Vec<usize>]) -> Built {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut out: Option<Value> = None;
    for column in 0..longest {
        let indices: Vec<i64> = lists.iter().map(|l| l.get(column).map_or(0, |i| *i as i64)).collect();
        let filled: Vec<bool> = lists.iter().map(|l| l.len() > column).collect();
        let factor = gather(b, source, &indices, &[lists.len()])?;
        let factor = select_constant(b, &filled, &[lists.len()], factor, 1.0)?;
        out = Some(match out {
            None => factor,
            Some(product) => b.mul(product, factor)?,
        });
    }
    match out {
        Some(out) => Ok(out),
        None => {
            let one = b.scalar(DType::F64, 1.0);
            b.broadcast(one, &Shape::from([lists.len()]), &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wootz_ir::eval;

    fn lengths(counts: &[usize]) -> Vec<usize> {
        counts.iter().enumerate().flat_map(|(row, n)| std::iter::repeat_n(row, *n)).collect()
    }

    #[test]
    fn products_of_any_lengths() {
        for counts in [&[1usize, 1][..], &[0, 2], &[5, 0, 1], &[40, 1, 3]] {
            let entries: Vec<(usize, usize)> =
                lengths(counts).into_iter().enumerate().map(|(e, row)| (row, e % 3)).collect();
            let source = [1.5, 0.5, 1.25];
            let mut b = Builder::new();
            let values = b.constant(HostTensor::from_f64(DType::F64, &[3], &source));
            let out = product(&mut b, values, &entries, counts.len()).unwrap();
            let got = eval::region(&b.finish(&[out]), &[]).unwrap()[0].to_f64();
            let mut expected = vec![1.0; counts.len()];
            entries.iter().for_each(|(row, i)| expected[*row] *= source[*i]);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() <= 1e-14 * expected, "{got} {expected}");
            }
        }
    }
}
