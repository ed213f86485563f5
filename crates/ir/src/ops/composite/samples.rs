//! Samples of composites. TEMP
use super::*;
pub(super) fn samples() -> Vec<Sample> {
    unimplemented!()
}
