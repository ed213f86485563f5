//! wootz-cpu
