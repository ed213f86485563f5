//! Texts of graphs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wootz_ir::text;

fuzz_target!(|source: &str| {
    if let Ok(graph) = text::parse(source) {
        let printed = text::print(&graph);
        let again = text::parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(text::print(&again), printed);
    }
});
