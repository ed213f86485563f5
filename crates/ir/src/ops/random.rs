//! Counter-based random bits: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). The same bits on every backend, at every thread count.
//!
//! ```text
//! %1 = fold_in %key, %step : u32[2]
//! %2 = random_bits[shape=[B, 4]] %1 : u32[B, 4]
//! ```

use super::{
    BatchCx, EvalCx, EvalError, Family, InferCx, JvpCx, RuleError, Sample, Types, VjpCx, elementwise,
};
use crate::{AttrError, Attrs, DType, Dim, HostTensor, Shape, TensorType, TypeError, Value};
use smallvec::smallvec;

/// An op on keys (`u32[.., 2]`). Keys may have leading batch axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Random {
    /// Key → u32[.., *shape*]. Element i (row-major within `shape`) is word i mod 2 of the block threefry(key, (hi, lo))
    /// whose 64-bit counter hi·2³² + lo is ⌊i/2⌋.
    Bits {
        /// Shape of the bits for one key.
        shape: Shape,
    },
    /// (key: u32[.., 2], data: u32[..]) → the key threefry(key, (data, 2³² − 1)): streams for different data are independent.
    FoldIn,
}

/// One block of Threefry-2x32 with 20 rounds: two random words for a key and a counter (SC 2011, section 3.3).
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let schedule = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let [mut x, mut y] = [counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1])];
    for group in 0..5usize {
        for rotation in ROTATIONS[group % 2] {
            x = x.wrapping_add(y);
            y = y.rotate_left(rotation) ^ x;
        }
        let injected = group + 1;
        x = x.wrapping_add(schedule[injected % 3]);
        y = y.wrapping_add(schedule[(injected + 1) % 3]).wrapping_add(injected as u32);
    }
    [x, y]
}

impl Family for Random {
    fn name(&self) -> &'static str {
        match self {
            Random::Bits { .. } => "random_bits",
            Random::FoldIn => "fold_in",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Random::Bits { shape } => Attrs::none().with("shape", shape),
            Random::FoldIn => Attrs::none(),
        }
    }

    fn parse(name: &str, attrs: &mut Attrs) -> Option<Result<Self, AttrError>> {
        match name {
            "random_bits" => Some(attrs.shape("shape").map(|shape| Random::Bits { shape })),
            "fold_in" => Some(Ok(Random::FoldIn)),
            _ => None,
        }
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<Types, TypeError> {
        cx.arity(if matches!(self, Random::FoldIn) { 2 } else { 1 })?;
        let key = cx.ty(0);
        cx.dtype(0, |d| d == DType::U32, "u32 (a key)")?;
        let Some((words, batch)) = key.shape.split_last() else {
            return Err(cx.attribute("a key has two words: its last axis has size 2".into()));
        };
        cx.same("a key has two words", words, &Dim::Const(2))?;
        match self {
            Random::Bits { shape } => Ok(smallvec![TensorType::new(
                DType::U32,
                batch.iter().chain(shape.iter()).collect::<Shape>()
            )]),
            Random::FoldIn => {
                let data = cx.ty(1);
                cx.dtype(1, |d| d == DType::U32, "u32")?;
                if data.rank() != batch.len() {
                    return Err(cx.attribute("the data must have the key's leading axes".into()));
                }
                for (a, b) in batch.iter().zip(data.shape.iter()) {
                    cx.same("leading axes must agree", a, b)?;
                }
                Ok(smallvec![key.clone()])
            }
        }
    }

    fn map_dims(&self, f: &dyn Fn(&Dim) -> Dim) -> Self {
        match self {
            Random::Bits { shape } => Random::Bits { shape: shape.map(f) },
            Random::FoldIn => Random::FoldIn,
        }
    }
    fn eval(&self, cx: &EvalCx<'_>) -> Result<Vec<HostTensor>, EvalError> {
        let dims = cx.out_dims(0);
        let mut out = HostTensor::zeros(DType::U32, &dims)?;
        let keys = cx.inputs[0].as_slice::<u32>().chunks_exact(2).map(|k| [k[0], k[1]]);
        match self {
            Random::Bits { shape } => {
                let count: usize = dims[dims.len() - shape.rank()..].iter().product();
                // `max`: with no bits a key there is nothing to fill, but chunks of 0 are not allowed.
                for (key, words) in keys.zip(out.as_mut_slice::<u32>().chunks_exact_mut(count.max(1))) {
                    for (i, word) in words.iter_mut().enumerate() {
                        let block = (i / 2) as u64;
                        *word = threefry2x32(key, [(block >> 32) as u32, block as u32])[i % 2];
                    }
                }
            }
            Random::FoldIn => {
                let data = cx.inputs[1].as_slice::<u32>();
                let results = out.as_mut_slice::<u32>().chunks_exact_mut(2);
                for ((key, data), result) in keys.zip(data).zip(results) {
                    result.copy_from_slice(&threefry2x32(key, [*data, u32::MAX]));
                }
            }
        }
        Ok(vec![out])
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None; cx.inputs.len()])
    }

    fn jvp(&self, _cx: &mut JvpCx<'_>) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(vec![None])
    }

    fn batch(&self, cx: &mut BatchCx<'_>) -> Result<Vec<(Value, bool)>, RuleError> {
        elementwise::batch(cx, self.clone().into())
    }

    fn samples() -> Vec<Sample> {
        let words = |dims: &[usize], v: &[i64]| HostTensor::from_i64(DType::U32, dims, v);
        let key = words(&[2], &[0x1319_8a2e, 0x0370_7344]);
        let keys = words(&[3, 2], &[0, 0, 0xffff_ffff, 0xffff_ffff, 1, 2]);
        let bits = |dims: &[usize], key: &HostTensor| {
            Sample::values(Random::Bits { shape: dims.into() }, vec![key.clone()])
        };
        vec![
            bits(&[], &key),
            bits(&[1], &key),
            bits(&[3, 5], &key),
            bits(&[0, 4], &key),
            bits(&[1027], &key),
            bits(&[3], &keys),
            bits(&[], &keys),
            Sample::values(Random::FoldIn, vec![key, words(&[], &[7])]),
            Sample::values(Random::FoldIn, vec![keys, words(&[3], &[0, 0xffff_ffff, 12])]),
            Sample::values(Random::FoldIn, vec![words(&[0, 2], &[]), words(&[0], &[])]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, eval};

    #[test]
    fn known_answers() {
        let all = u32::MAX;
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32([all, all], [all, all]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }

    #[test]
    fn bits_are_the_words_of_successive_blocks() {
        let keys = HostTensor::from_i64(DType::U32, &[2, 2], &[1, 2, 3, 4]);
        let mut b = Builder::new();
        let param = b.param(keys.ty());
        let out = b.random_bits(param, [3usize]).expect("well typed");
        let got = eval::region(&b.finish(&[out]), &[keys]).expect("evaluates").remove(0);
        let blocks = |key| [threefry2x32(key, [0, 0]), threefry2x32(key, [0, 1])].concat();
        let expected = [&blocks([1, 2])[..3], &blocks([3, 4])[..3]].concat();
        assert_eq!(got.as_slice::<u32>(), expected);
    }

    #[test]
    fn fold_in_hashes_the_data() {
        let mut b = Builder::new();
        let (key, data) =
            (b.param(TensorType::new(DType::U32, [2usize])), b.param(TensorType::scalar(DType::U32)));
        let out = b.fold_in(key, data).expect("well typed");
        let words = |dims: &[usize], v: &[i64]| HostTensor::from_i64(DType::U32, dims, v);
        let got =
            eval::region(&b.finish(&[out]), &[words(&[2], &[5, 6]), words(&[], &[9])]).expect("evaluates");
        assert_eq!(got[0].as_slice::<u32>(), threefry2x32([5, 6], [9, u32::MAX]));
    }
}
