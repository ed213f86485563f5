//! Memory in which every byte knows which buffer wrote it.

use wootz_ir::eval::scalar::Scalar;
use wootz_ir::{DType, HostTensor};
use wootz_plan::{ALIGN, Buffer, BufferId};

/// Identity of a buffer while it exists: bytes it wrote carry it.
pub(crate) type Tag = u32;

/// A buffer bound to memory.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Slot {
    /// The first byte.
    pub(crate) base: usize,
    /// The size in bytes.
    pub(crate) bytes: usize,
    pub(crate) dtype: DType,
    pub(crate) tag: Tag,
    pub(crate) writable: bool,
}

/// One flat address space.
#[derive(Default)]
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// The tag of what wrote each byte; 0 is nothing.
    owner: Vec<Tag>,
    tags: Tag,
}

impl Memory {
    /// Room for `bytes` bytes, aligned to a cache line and apart from everything else.
    pub(crate) fn allocate(&mut self, bytes: usize) -> usize {
        let base = self.bytes.len().next_multiple_of(ALIGN) + ALIGN;
        self.bytes.resize(base + bytes + ALIGN, 0xAA);
        self.owner.resize(base + bytes + ALIGN, 0);
        base
    }

    pub(crate) fn new_tag(&mut self) -> Tag {
        self.tags += 1;
        self.tags
    }

    /// A new piece of memory holding a tensor.
    pub(crate) fn place(&mut self, tensor: &HostTensor, writable: bool) -> Slot {
        let (base, tag) = (self.allocate(tensor.as_bytes().len()), self.new_tag());
        let slot = Slot { base, bytes: tensor.as_bytes().len(), dtype: tensor.dtype(), tag, writable: true };
        self.write_bytes(slot, 0, tensor.as_bytes());
        Slot { writable, ..slot }
    }

    /// A new piece of memory holding nothing.
    pub(crate) fn blank(&mut self, buffer: &Buffer) -> Slot {
        let (base, tag) = (self.allocate(buffer.bytes), self.new_tag());
        Slot { base, bytes: buffer.bytes, dtype: buffer.dtype, tag, writable: true }
    }

    /// The bytes `at..at + len` of a buffer, all of which it wrote itself.
    pub(crate) fn read_bytes(&self, slot: Slot, at: usize, len: usize, what: BufferId) -> &[u8] {
        assert!(at + len <= slot.bytes, "{what}: bytes {at}..{} of {}", at + len, slot.bytes);
        let range = slot.base + at..slot.base + at + len;
        let own = self.owner[range.clone()].iter().position(|tag| *tag != slot.tag);
        assert!(own.is_none(), "{what}: byte {:?} was never written, or is overwritten", own.map(|i| at + i));
        &self.bytes[range]
    }

    pub(crate) fn write_bytes(&mut self, slot: Slot, at: usize, data: &[u8]) {
        assert!(slot.writable, "a write to read-only memory");
        assert!(
            at + data.len() <= slot.bytes,
            "a write of bytes {at}..{} of {}",
            at + data.len(),
            slot.bytes
        );
        let range = slot.base + at..slot.base + at + data.len();
        self.bytes[range.clone()].copy_from_slice(data);
        self.owner[range].fill(slot.tag);
    }

    /// Element `at` of a buffer.
    pub(crate) fn load(&self, slot: Slot, at: i64, what: BufferId) -> Scalar {
        let byte = element(slot, at, what);
        Scalar::from_bytes(slot.dtype, self.read_bytes(slot, byte, slot.dtype.size(), what))
    }

    pub(crate) fn store(&mut self, slot: Slot, at: i64, value: Scalar, what: BufferId) {
        let byte = element(slot, at, what);
        let bytes = value.to_tensor(slot.dtype);
        self.write_bytes(slot, byte, bytes.as_bytes());
    }

    /// A whole buffer as a tensor.
    pub(crate) fn tensor(&self, slot: Slot, dims: &[usize], what: BufferId) -> HostTensor {
        let bytes = self.read_bytes(slot, 0, slot.bytes, what);
        HostTensor::from_bytes(slot.dtype, dims, bytes).unwrap()
    }

    /// Forgets a piece of memory's contents.
    pub(crate) fn forget(&mut self, base: usize, bytes: usize) {
        self.owner[base..base + bytes].fill(0);
    }
}

/// The byte of an element within its buffer.
fn element(slot: Slot, at: i64, what: BufferId) -> usize {
    let size = slot.dtype.size();
    let elements = (slot.bytes / size) as i64;
    assert!((0..elements).contains(&at), "{what}: element {at} of {elements}");
    assert_eq!((slot.base + at as usize * size) % size, 0, "{what}: misaligned");
    at as usize * size
}
