//! wootz-ir
