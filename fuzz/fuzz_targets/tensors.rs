//! Files of tensors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wootz_io::{npy, npz, safetensors};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tensor) = npy::from_bytes(bytes, "fuzzed") {
        let written = npy::to_bytes(&tensor).expect("what was read can be written");
        assert_eq!(npy::from_bytes(&written, "written").expect("what was written can be read"), tensor);
    }
    if let Ok(tensors) = npz::from_bytes(bytes, "fuzzed") {
        let written = npz::to_bytes(&tensors, npz::Compression::Stored).expect("what was read can be written");
        assert_eq!(npz::from_bytes(&written, "written").expect("what was written can be read"), tensors);
    }
    if let Ok(file) = safetensors::from_bytes(bytes, "fuzzed") {
        let written = safetensors::to_bytes(&file).expect("what was read can be written");
        let again = safetensors::from_bytes(&written, "written").expect("what was written can be read");
        assert_eq!(again.tensors, file.tensors);
    }
});
