//! Ragged lists as dense arrays: entries grouped by row, padded, so that their sum is a dense reduction.

use crate::{Builder, DType, Def, HostTensor, Op, Shape, TypeError, Value, ops::Source};

/// A layout `[width, chunks]` of entries that belong to rows: chunks lie next to each other, so that vectors take in several at once and
/// nothing is summed across lanes.
///
/// Rows of similar lengths are padded to the longest. Rows of very different lengths are cut into chunks of one width, whose sums are summed in
/// turn, and so are a few long ones. The padded arrays never have more than about twice as many slots as there are entries and rows.
#[derive(Clone, Debug)]
pub struct Rows {
    chunks: usize,
    width: usize,
    /// Row-major.
    slots: Vec<Option<usize>>,
    /// How the chunks' sums are summed into rows.
    next: Option<Box<Rows>>,
}

/// Fewer slots a chunk would make the sum of the chunks the larger part of the work.
const MIN_WIDTH: usize = 4;
/// So many rows fill a vector.
const VECTOR: usize = 8;
/// Entries of a row that are worth cutting it where rows do not fill a vector.
const LONG: usize = 64;

impl Rows {
    /// The layout of entries that belong to these rows (each less than `rows`).
    pub fn new(row_of: impl ExactSizeIterator<Item = usize>, rows: usize) -> Rows {
        let entries = row_of.len();
        let mut lists: Vec<Vec<usize>> = vec![Vec::new(); rows];
        row_of.enumerate().for_each(|(entry, row)| lists[row].push(entry));
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        let few_long = rows < VECTOR && longest > LONG;
        if longest * rows <= 2 * (entries + rows) && !few_long {
            return Rows { chunks: rows, width: longest, slots: laid(&lists, longest), next: None };
        }
        let filled = lists.iter().filter(|l| !l.is_empty()).count();
        // On average half a chunk of a row is padding: chunks of half the average row keep it to a quarter of the entries.
        let width = if few_long { entries / (2 * VECTOR) } else { entries / filled / 2 };
        let width = width.next_multiple_of(MIN_WIDTH).max(MIN_WIDTH);
        let (mut chunk_row, mut chunks) = (Vec::new(), Vec::new());
        for (row, list) in lists.iter().enumerate() {
            for chunk in list.chunks(width) {
                chunk_row.push(row);
                chunks.push(chunk);
            }
        }
        let next = Rows::new(chunk_row.iter().copied(), rows);
        Rows { chunks: chunks.len(), width, slots: laid(&chunks, width), next: Some(Box::new(next)) }
    }

    /// `[width, chunks]`, the leading axes of values in this layout.
    pub fn dims(&self) -> [usize; 2] {
        [self.width, self.chunks]
    }

    /// The entry in each slot, row-major; `None` in padding.
    pub fn slots(&self) -> &[Option<usize>] {
        &self.slots
    }

    /// Something of each entry as an `f64` constant `[width, chunks]`, `pad` in empty slots.
    pub fn constant(&self, b: &mut Builder, of: impl Fn(usize) -> f64, pad: f64) -> Value {
        let values: Vec<f64> = self.slots.iter().map(|e| e.map_or(pad, &of)).collect();
        b.constant(HostTensor::from_f64(DType::F64, &self.dims(), &values))
    }

    /// `source[of(entry)]` for each entry, for `source` `[n, ..]` with n > 0; in empty slots what other slots of the chunk read, so that
    /// the transpose of the read stays as even as it is.
    pub fn gather(
        &self,
        b: &mut Builder,
        source: Value,
        of: impl Fn(usize) -> usize,
    ) -> Result<Value, TypeError> {
        let mut indices = vec![0i64; self.slots.len()];
        for chunk in 0..self.chunks {
            let entries = self.slots[chunk..].iter().step_by(self.chunks).flatten();
            let read: Vec<i64> = entries.map(|e| of(*e) as i64).collect();
            if read.is_empty() {
                continue;
            }
            let slots = indices[chunk..].iter_mut().step_by(self.chunks);
            slots.zip(read.iter().cycle()).for_each(|(slot, index)| *slot = *index);
        }
        let indices = HostTensor::from_i64(DType::I32, &[self.width, self.chunks, 1], &indices);
        let indices = b.constant(indices);
        b.gather(source, indices, 0, 1)
    }

    /// x where there is an entry, `pad` in empty slots.
    pub fn masked(&self, b: &mut Builder, x: Value, pad: f64) -> Result<Value, TypeError> {
        if self.slots.iter().all(Option::is_some) {
            return Ok(x);
        }
        let filled: Vec<i64> = self.slots.iter().map(|e| i64::from(e.is_some())).collect();
        let filled = b.constant(HostTensor::from_i64(DType::Bool, &self.dims(), &filled));
        let shape = b.ty(x).shape.clone();
        let filled = b.broadcast(filled, &shape, &[0, 1])?;
        let pad = b.scalar_like(x, pad);
        b.select(filled, x, pad)
    }

    /// Sums `[width, chunks, ..]` over each row: `[rows, ..]`. Empty slots must hold 0.
    pub fn sum(&self, b: &mut Builder, values: Value) -> Result<Value, TypeError> {
        let sums = b.sum(values, &[0])?;
        match &self.next {
            None => Ok(sums),
            Some(next) => {
                let laid = next.gather(b, sums, |chunk| chunk)?;
                let laid = next.masked(b, laid, 0.0)?;
                next.sum(b, laid)
            }
        }
    }

    /// The same of values `[width, n, chunks]`: `[n, rows]`.
    pub fn sum_apart(&self, b: &mut Builder, values: Value) -> Result<Value, TypeError> {
        let sums = b.sum(values, &[0])?;
        match &self.next {
            None => Ok(sums),
            Some(next) => {
                let sums = b.transpose(sums, &[1, 0])?;
                let laid = next.gather(b, sums, |chunk| chunk)?;
                let laid = next.masked(b, laid, 0.0)?;
                let laid = b.transpose(laid, &[0, 2, 1])?;
                next.sum_apart(b, laid)
            }
        }
    }
}

/// The entries of these lists, padded, `[width, lists]`.
fn laid(lists: &[impl AsRef<[usize]>], width: usize) -> Vec<Option<usize>> {
    (0..width).flat_map(|i| lists.iter().map(move |list| list.as_ref().get(i).copied())).collect()
}

/// The transpose of reading `operand_rows` rows at constant indices: each row's sum of the cotangents of its reads. `None` unless the
/// indices are a constant that reads most rows (otherwise a scatter does less).
pub(crate) fn transposed_gather(
    b: &mut Builder,
    indices: Value,
    operand_rows: usize,
    cotangent: Value,
) -> Result<Option<Value>, TypeError> {
    let Def::Node(id, _) = b.region().def(indices) else { return Ok(None) };
    let Op::Source(Source::Constant(tensor)) = &b.region().node(id).op else { return Ok(None) };
    let reads = tensor.len();
    if operand_rows == 0 || reads == 0 || reads < operand_rows / 4 {
        return Ok(None);
    }
    let last = operand_rows as i64 - 1;
    let read: Vec<usize> = tensor.to_i64().into_iter().map(|i| i.clamp(0, last) as usize).collect();
    let free = tensor.dims().len() - 1;
    let slice = b.ty(cotangent).shape[free..].to_vec();
    let flat: Shape = [crate::Dim::from(reads)].into_iter().chain(slice).collect();
    let flat = b.reshape(cotangent, flat)?;
    let rows = Rows::new(read.into_iter(), operand_rows);
    let laid = rows.gather(b, flat, |entry| entry)?;
    let laid = rows.masked(b, laid, 0.0)?;
    rows.sum(b, laid).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;

    fn check(counts: &[usize]) {
        let row_of: Vec<usize> =
            counts.iter().enumerate().flat_map(|(row, n)| std::iter::repeat_n(row, *n)).collect();
        let rows = Rows::new(row_of.iter().copied(), counts.len());
        assert!(rows.slots.len() <= 3 * (row_of.len() + counts.len()), "{counts:?}: {}", rows.slots.len());
        let mut b = Builder::new();
        let values = rows.constant(&mut b, |e| (e + 1) as f64, 0.0);
        let sums = rows.sum(&mut b, values).unwrap();
        let got = eval::region(&b.finish(&[sums]), &[]).unwrap()[0].to_f64();
        let mut expected = vec![0.0; counts.len()];
        row_of.iter().enumerate().for_each(|(e, row)| expected[*row] += (e + 1) as f64);
        assert_eq!(got, expected, "{counts:?}");

        let mut b = Builder::new();
        let values = rows.constant(&mut b, |e| (e + 1) as f64, 0.0);
        let [width, chunks] = rows.dims();
        let values = b.broadcast(values, &[width, 3, chunks].into(), &[0, 2]).unwrap();
        let sums = rows.sum_apart(&mut b, values).unwrap();
        let got = eval::region(&b.finish(&[sums]), &[]).unwrap()[0].to_f64();
        assert_eq!(got, expected.repeat(3), "{counts:?}");
    }

    #[test]
    fn rows_of_any_lengths_are_summed() {
        check(&[3]);
        check(&[0, 1, 0]);
        check(&[2, 2, 2]);
        check(&[5, 4, 3]);
        check(&[300]);
        check(&[200, 0, 130]);
        check(&[100, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1]);
        let mut many = vec![1; 500];
        many[7] = 5000;
        many[9] = 0;
        check(&many);
    }

    /// The same as the scatter that indices which are no constant get.
    #[test]
    fn transposed_gathers_are_scatters() {
        for (indices, dims) in [(vec![0i64, 2, 2, 1, -4, 9], vec![2, 3, 1]), (vec![1; 40], vec![40, 1])] {
            let mut b = Builder::new();
            let reads = indices.len();
            let at = b.constant(HostTensor::from_i64(DType::I64, &dims, &indices));
            let shape: Vec<usize> = dims[..dims.len() - 1].iter().copied().chain([2]).collect();
            let values: Vec<f64> = (0..2 * reads).map(|i| (i * i) as f64).collect();
            let cotangent = b.constant(HostTensor::from_f64(DType::F64, &shape, &values));
            let out = transposed_gather(&mut b, at, 3, cotangent).unwrap().unwrap();
            let got = eval::region(&b.finish(&[out]), &[]).unwrap()[0].to_f64();
            let mut expected = vec![0.0; 6];
            for (i, index) in indices.iter().enumerate() {
                let row = (*index).clamp(0, 2) as usize;
                (0..2).for_each(|j| expected[2 * row + j] += values[2 * i + j]);
            }
            assert_eq!(got, expected);
        }
    }
}
