//! How an expression's axes follow the loops of a kernel.

use crate::kernel::Reg;
use smallvec::SmallVec;
use wootz_ir::Dims;

/// One axis: offset + Σ coefficient · loop index (+ a computed index).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Lin {
    pub(super) offset: i64,
    /// One coefficient a loop; missing entries are 0.
    pub(super) coeffs: SmallVec<[i64; 4]>,
    /// An i64 register.
    pub(super) reg: Option<Reg>,
}

/// Every axis of a value.
pub(super) type Map = SmallVec<[Lin; 4]>;

impl Lin {
    /// The index of one loop.
    pub(super) fn axis(axis: usize) -> Lin {
        let mut coeffs = SmallVec::from_elem(0, axis + 1);
        coeffs[axis] = 1;
        Lin { coeffs, ..Lin::default() }
    }

    /// A number.
    pub(super) fn constant(offset: i64) -> Lin {
        Lin { offset, ..Lin::default() }
    }

    /// A register.
    pub(super) fn computed(reg: Reg) -> Lin {
        Lin { reg: Some(reg), ..Lin::default() }
    }

    /// Adds `scale` times another axis whose register, if any, was scaled by the caller.
    pub(super) fn add_affine(&mut self, other: &Lin, scale: i64) {
        self.offset += other.offset * scale;
        if self.coeffs.len() < other.coeffs.len() {
            self.coeffs.resize(other.coeffs.len(), 0);
        }
        for (own, theirs) in self.coeffs.iter_mut().zip(&other.coeffs) {
            *own += theirs * scale;
        }
        while self.coeffs.last() == Some(&0) {
            self.coeffs.pop();
        }
    }

    /// The index if it is a number.
    pub(super) fn as_constant(&self) -> Option<i64> {
        (self.reg.is_none() && self.coeffs.is_empty()).then_some(self.offset)
    }
}

/// The map in which axis i of a value follows loop `first + i`.
pub(super) fn identity(rank: usize) -> Map {
    (0..rank).map(Lin::axis).collect()
}

/// Whether a map is the [`identity`].
pub(super) fn is_identity(map: &Map) -> bool {
    let follows = |(axis, lin): (usize, &Lin)| {
        let [rest @ .., 1] = &lin.coeffs[..] else { return false };
        rest.len() == axis && lin.offset == 0 && lin.reg.is_none() && rest.iter().all(|c| *c == 0)
    };
    map.iter().enumerate().all(follows)
}

/// Row-major strides of a shape.
pub(super) fn strides(dims: &[usize]) -> SmallVec<[i64; 4]> {
    let mut out: SmallVec<[i64; 4]> = SmallVec::from_elem(1, dims.len());
    for i in (0..dims.len().saturating_sub(1)).rev() {
        out[i] = out[i + 1].saturating_mul(dims[i + 1] as i64);
    }
    out
}

/// For a reshape: runs of axes of `from` and `to` with equal products, outermost first; `None` if a size is 0.
pub(super) fn reshape_groups(from: &Dims, to: &Dims) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    if from.contains(&0) || to.contains(&0) {
        return None;
    }
    let (mut i, mut j) = (0, 0);
    let mut groups = Vec::new();
    while i < from.len() || j < to.len() {
        let (mut a, mut b) = (1usize, 1usize);
        let (start_i, start_j) = (i, j);
        loop {
            if a == b && (i > start_i || j > start_j) && a != 1 {
                break;
            }
            if a <= b && i < from.len() {
                a *= from[i];
                i += 1;
            } else if j < to.len() {
                b *= to[j];
                j += 1;
            } else if i < from.len() {
                a *= from[i];
                i += 1;
            } else {
                break;
            }
        }
        groups.push(((start_i..i).collect(), (start_j..j).collect()));
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_groups_pair_axes_of_equal_product() {
        let check = |from: &[usize], to: &[usize]| reshape_groups(&from.into(), &to.into()).unwrap();
        assert_eq!(check(&[4, 6], &[24]), [(vec![0, 1], vec![0])]);
        assert_eq!(check(&[24], &[4, 6]), [(vec![0], vec![0, 1])]);
        assert_eq!(
            check(&[2, 12, 5], &[2, 3, 4, 5]),
            [(vec![0], vec![0]), (vec![1], vec![1, 2]), (vec![2], vec![3])]
        );
        let total = |groups: &[(Vec<usize>, Vec<usize>)]| -> (usize, usize) {
            groups.iter().fold((0, 0), |(a, b), (x, y)| (a + x.len(), b + y.len()))
        };
        assert_eq!(total(&check(&[1, 4, 1], &[4])), (3, 1));
        assert_eq!(total(&check(&[4], &[1, 4, 1])), (1, 3));
        assert_eq!(total(&check(&[], &[1, 1])), (0, 2));
        assert!(reshape_groups(&[0usize][..].into(), &[0usize, 3][..].into()).is_none());
    }
}
