//! In place of the JIT, on processors that it has no encoder for: every kernel is declined, and the tile VM runs it.

// Reason: the interface that it stands for calls machine code through raw pointers.
#![allow(unsafe_code)]

use crate::isa::Isa;
use std::borrow::Cow;
use std::convert::Infallible;
use wootz_plan::Kernel;

/// Why a kernel is not compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declined(pub(crate) &'static str);

/// The kernel as it is.
pub(crate) fn written_out(kernel: &Kernel) -> Cow<'_, Kernel> {
    Cow::Borrowed(kernel)
}

/// A kernel's code. There is none.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) offset: usize,
    pub(crate) instructions: usize,
    pub(crate) frame: usize,
    pub(crate) width: usize,
    pub(crate) cost: f64,
    never: Infallible,
}

/// Machine code of kernels. There is none.
#[derive(Default)]
pub(crate) struct Writer {}

impl Writer {
    pub(crate) fn code(&self) -> &[u8] {
        &[]
    }
}

/// Executable memory. There is none.
#[derive(Debug)]
pub(crate) struct Mapping {
    never: Infallible,
}

impl Mapping {
    pub(crate) fn new<'c>(_: impl Iterator<Item = &'c [u8]>) -> std::io::Result<Mapping> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn place(bytes: usize) -> usize {
        bytes
    }

    pub(crate) fn address(&self) -> usize {
        match self.never {}
    }

    /// # Safety
    /// None: there is no mapping to call into.
    pub(crate) unsafe fn call(&self, _: usize, _: &mut Context) {
        match self.never {}
    }
}

/// What a call would be told.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) tile: *const u8,
    pub(crate) tile_row: i64,
    pub(crate) tile_column: i64,
    pub(crate) lane_first: i64,
    pub(crate) lane_end: i64,
    pub(crate) index: [i64; 16],
}

impl Context {
    pub(crate) fn new(_: &[*mut u8], _: *mut u8, _: usize) -> Context {
        Context {
            tile: std::ptr::null(),
            tile_row: 0,
            tile_column: 0,
            lane_first: 0,
            lane_end: 0,
            index: Default::default(),
        }
    }
}

/// Declines the kernel.
pub(crate) fn write(
    _: &Kernel,
    _: Option<usize>,
    _: Isa,
    _: bool,
    _: &mut Writer,
) -> Result<Written, Declined> {
    Err(Declined("no machine code for this processor"))
}

/// The text of machine code.
pub(crate) fn listing(written: &Written, _: &[u8], _: impl Fn(usize) -> String) -> String {
    match written.never {}
}
