//! Ragged lists as dense arrays: entries grouped by row, padded, so that their sum is a dense reduction.
//!
//! Rows of very different lengths are cut into chunks of one width, whose sums are summed in turn. The padded arrays never have more
//! than about twice as many slots as there are entries and rows.

use super::Built;
use wootz_ir::{Builder, DType, HostTensor, Shape, Value};

/// A layout of entries.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Chunks (rows, if `next` is absent) and the slots of each.
    pub(super) chunks: usize,
    pub(super) width: usize,
    /// The entry in each slot.
    pub(super) slots: Vec<Option<usize>>,
    /// How the chunks' sums are summed into rows.
    next: Option<Box<Rows>>,
}

/// Fewer slots a chunk would make the sum of the chunks the larger part of the work.
const MIN_WIDTH: usize = 4;

impl Rows {
    /// The layout of entries that belong to these rows.
    pub(super) fn new(row_of: impl ExactSizeIterator<Item = usize>, rows: usize) -> Rows {
        let entries = row_of.len();
        let mut lists: Vec<Vec<usize>> = vec![Vec::new(); rows];
        row_of.enumerate().for_each(|(entry, row)| lists[row].push(entry));
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        if longest * rows <= 2 * (entries + rows) {
            let pad = |list: Vec<usize>| {
                let empty = longest - list.len();
                list.into_iter().map(Some).chain(std::iter::repeat_n(None, empty))
            };
            let slots = lists.into_iter().flat_map(pad).collect();
            return Rows { chunks: rows, width: longest, slots, next: None };
        }
        let filled = lists.iter().filter(|l| !l.is_empty()).count();
        let width = entries.div_ceil(filled).max(MIN_WIDTH);
        let mut chunk_row = Vec::new();
        let mut slots = Vec::new();
        for (row, list) in lists.iter().enumerate() {
            for chunk in list.chunks(width) {
                chunk_row.push(row);
                slots.extend(chunk.iter().map(|e| Some(*e)));
                slots.resize(chunk_row.len() * width, None);
            }
        }
        let next = Rows::new(chunk_row.iter().copied(), rows);
        Rows { chunks: chunk_row.len(), width, slots, next: Some(Box::new(next)) }
    }

    /// `[chunks, width]`, the shape of values in this layout.
    pub(super) fn dims(&self) -> [usize; 2] {
        [self.chunks, self.width]
    }

    /// The slot of each of `entries` entries.
    pub(super) fn slot_of(&self, entries: usize) -> Vec<usize> {
        let mut out = vec![0; entries];
        for (slot, entry) in self.slots.iter().enumerate() {
            if let Some(entry) = entry {
                out[*entry] = slot;
            }
        }
        out
    }

    /// Something of each entry as a constant, `pad` in empty slots.
    pub(super) fn constant(&self, b: &mut Builder, of: impl Fn(usize) -> f64, pad: f64) -> Value {
        let values: Vec<f64> = self.slots.iter().map(|e| e.map_or(pad, &of)).collect();
        b.constant(HostTensor::from_f64(DType::F64, &self.dims(), &values))
    }

    /// `source[of(entry)]` for each entry, anything in empty slots.
    pub(super) fn gather(&self, b: &mut Builder, source: Value, of: impl Fn(usize) -> usize) -> Built {
        let indices: Vec<i64> = self.slots.iter().map(|e| e.map_or(0, |e| of(e) as i64)).collect();
        gather(b, source, &indices, &self.dims())
    }

    /// x where there is an entry, `pad` in empty slots.
    pub(super) fn masked(&self, b: &mut Builder, x: Value, pad: f64) -> Built {
        let filled: Vec<bool> = self.slots.iter().map(Option::is_some).collect();
        select_constant(b, &filled, &self.dims(), x, pad)
    }

    /// Sums `[chunks, width]` over each row; empty slots must hold 0.
    pub(super) fn sum(&self, b: &mut Builder, values: Value) -> Built {
        let sums = b.sum(values, &[1])?;
        match &self.next {
            None => Ok(sums),
            Some(next) => {
                let laid = next.gather(b, sums, |chunk| chunk)?;
                let laid = next.masked(b, laid, 0.0)?;
                next.sum(b, laid)
            }
        }
    }
}

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

    fn check(counts: &[usize]) {
        let row_of = lengths(counts);
        let rows = Rows::new(row_of.iter().copied(), counts.len());
        assert!(rows.slots.len() <= 3 * (row_of.len() + counts.len()), "{counts:?}: {}", rows.slots.len());
        let mut b = Builder::new();
        let values = rows.constant(&mut b, |e| (e + 1) as f64, 0.0);
        let sums = rows.sum(&mut b, values).unwrap();
        let got = eval::region(&b.finish(&[sums]), &[]).unwrap()[0].to_f64();
        let mut expected = vec![0.0; counts.len()];
        row_of.iter().enumerate().for_each(|(e, row)| expected[*row] += (e + 1) as f64);
        assert_eq!(got, expected, "{counts:?}");
    }

    #[test]
    fn rows_of_any_lengths_are_summed() {
        check(&[3]);
        check(&[0, 1, 0]);
        check(&[2, 2, 2]);
        check(&[5, 4, 3]);
        check(&[100, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1]);
        let mut many = vec![1; 500];
        many[7] = 5000;
        many[9] = 0;
        check(&many);
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
