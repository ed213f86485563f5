//! Machine code as text.

use super::Written;
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};
use std::fmt::Write;

/// The instructions, with what `comment` gives for the position of an instruction of the kernel before what computes it.
/// Addresses are offsets.
pub(crate) fn listing(written: &Written, code: &[u8], comment: impl Fn(usize) -> String) -> String {
    let code = &code[written.offset..][..written.instructions];
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    let mut lines = written.lines.iter().peekable();
    let (mut out, mut text) = (String::new(), String::new());
    while decoder.can_decode() {
        while let Some((_, line)) = lines.next_if(|(at, _)| *at <= decoder.position()) {
            // Writing to a string does not fail.
            let _ = writeln!(out, "; {}", comment(*line));
        }
        let at = decoder.position();
        let instruction = decoder.decode();
        text.clear();
        formatter.format(&instruction, &mut text);
        let _ = writeln!(out, "{at:6x}  {text}");
    }
    out
}
