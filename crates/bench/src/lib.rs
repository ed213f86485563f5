//! wootz-bench
