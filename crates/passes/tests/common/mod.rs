//! What the tests share.

use wootz_ir::ops::CompositeKind;
use wootz_ir::{DType, Target};

/// A target that claims these composites.
pub(crate) fn target(claims: &[CompositeKind]) -> Target {
    Target {
        backend: "test",
        isa: "",
        dtypes: DType::ALL.to_vec(),
        claims: claims.to_vec(),
        panel: 0,
        caches: [1 << 15, 1 << 19, 1 << 23],
        differentiable: false,
    }
}
