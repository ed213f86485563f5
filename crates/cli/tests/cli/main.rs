//! The `wootz` command from outside: what it prints, how it ends, what it leaves behind.

mod bench;
mod common;
mod inspect;
mod run;
