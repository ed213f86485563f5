//! Whatever bytes come in, the answer is a tensor or an error: round trips, truncation, damage and lies.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wootz_io::npz::Compression;
use wootz_io::{Error, TensorFile, npy, npz, safetensors};
use wootz_ir::{DType, HostTensor};

/// A tensor of any dtype, of up to three axes of up to four elements, zero included, with any bits.
fn any_tensor() -> impl Strategy<Value = HostTensor> {
    (prop::sample::select(&DType::ALL[..]), prop::collection::vec(0_usize..5, 0..4)).prop_flat_map(
        |(dtype, dims)| {
            let count = dims.iter().product::<usize>() * dtype.size();
            let byte = if dtype == DType::Bool { 0..=1_u8 } else { 0..=255 };
            prop::collection::vec(byte, count).prop_map(move |bytes| {
                HostTensor::from_bytes(dtype, &dims, &bytes).expect("the bytes fit the shape")
            })
        },
    )
}

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter)
}

fn any_file() -> impl Strategy<Value = TensorFile> {
    let tensors = prop::collection::btree_map(any_text(), any_tensor(), 0..5);
    let metadata = prop::collection::btree_map(any_text(), any_text(), 0..4);
    (tensors, metadata).prop_map(|(tensors, metadata)| TensorFile { tensors, metadata })
}

/// What NumPy can hold, under names that can be members of an archive.
fn for_npz(tensors: BTreeMap<String, HostTensor>) -> BTreeMap<String, HostTensor> {
    let fits = |(_, tensor): &(String, HostTensor)| tensor.dtype() != DType::BF16;
    let named = |(index, (_, tensor))| (format!("layer.{index}/weight é"), tensor);
    tensors.into_iter().filter(fits).enumerate().map(named).collect()
}

fn assert_same(a: &BTreeMap<String, HostTensor>, b: &BTreeMap<String, HostTensor>) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, tensor) in a {
        let other = &b[name];
        assert_eq!((tensor.dtype(), tensor.dims()), (other.dtype(), other.dims()), "{name:?}");
        assert_eq!(tensor.as_bytes(), other.as_bytes(), "{name:?}");
    }
}

fn sample() -> BTreeMap<String, HostTensor> {
    BTreeMap::from([
        (
            "0.weight".to_owned(),
            HostTensor::from_slice(&[2, 3], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])
                .expect("the bytes fit the shape"),
        ),
        (
            "mask".to_owned(),
            HostTensor::from_bytes(DType::Bool, &[3], &[1, 0, 1]).expect("the bytes fit the shape"),
        ),
        ("step".to_owned(), HostTensor::from_slice(&[], &[7_i64]).expect("the bytes fit the shape")),
    ])
}

fn sample_file() -> TensorFile {
    TensorFile { tensors: sample(), metadata: BTreeMap::from([("format".to_owned(), "wootz".to_owned())]) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn safetensors_round_trip(file in any_file()) {
        let bytes = safetensors::to_bytes(&file).unwrap();
        let read = safetensors::from_bytes(&bytes, "memory").unwrap();
        assert_same(&file.tensors, &read.tensors);
        prop_assert_eq!(&file.metadata, &read.metadata);
        prop_assert_eq!(safetensors::to_bytes(&read).unwrap(), bytes);
    }

    #[test]
    fn npy_round_trip(tensor in any_tensor()) {
        prop_assume!(tensor.dtype() != DType::BF16);
        let read = npy::from_bytes(&npy::to_bytes(&tensor).unwrap(), "memory").unwrap();
        prop_assert_eq!((tensor.dtype(), tensor.dims()), (read.dtype(), read.dims()));
        prop_assert_eq!(tensor.as_bytes(), read.as_bytes());
    }

    #[test]
    fn npz_round_trip(file in any_file(), deflated: bool) {
        let compression = if deflated { Compression::Deflated } else { Compression::Stored };
        let tensors = for_npz(file.tensors);
        let read = npz::from_bytes(&npz::to_bytes(&tensors, compression).unwrap(), "memory").unwrap();
        assert_same(&tensors, &read);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // The result is free; that there is one is the test.
        let _ = safetensors::from_bytes(&bytes, "memory");
        let _ = npy::from_bytes(&bytes, "memory");
        let _ = npz::from_bytes(&bytes, "memory");
    }

    #[test]
    fn damage_is_survived(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let damaged = |mut bytes: Vec<u8>| {
            for (index, value) in &places {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            bytes
        };
        let _ = safetensors::from_bytes(&damaged(safetensors::to_bytes(&sample_file()).unwrap()), "memory");
        let _ = npy::from_bytes(&damaged(npy::to_bytes(&sample()["0.weight"]).unwrap()), "memory");
        for compression in [Compression::Stored, Compression::Deflated] {
            let _ = npz::from_bytes(&damaged(npz::to_bytes(&sample(), compression).unwrap()), "memory");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let cut_everywhere = |bytes: Vec<u8>, read: &dyn Fn(&[u8]) -> Option<Error>| {
        for length in 0..bytes.len() {
            let error = read(&bytes[..length]).unwrap_or_else(|| panic!("{length} of {} bytes", bytes.len()));
            assert!(error.to_string().contains("a.file"), "{length} bytes: {error}");
        }
        assert!(read(&bytes).is_none(), "the whole file is fine");
    };
    let safe = safetensors::to_bytes(&sample_file()).unwrap();
    cut_everywhere(safe, &|bytes| safetensors::from_bytes(bytes, "a.file").err());
    let array = npy::to_bytes(&sample()["0.weight"]).unwrap();
    cut_everywhere(array, &|bytes| npy::from_bytes(bytes, "a.file").err());
    for compression in [Compression::Stored, Compression::Deflated] {
        let archive = npz::to_bytes(&sample(), compression).unwrap();
        cut_everywhere(archive, &|bytes| npz::from_bytes(bytes, "a.file").err());
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let mut safe = safetensors::to_bytes(&sample_file()).unwrap();
    safe.push(0);
    assert!(matches!(safetensors::from_bytes(&safe, "memory"), Err(Error::Malformed { .. })));
    let mut array = npy::to_bytes(&sample()["0.weight"]).unwrap();
    array.push(0);
    assert!(matches!(npy::from_bytes(&array, "memory"), Err(Error::Malformed { .. })));
}

/// A safetensors file with this header and `data` zero bytes.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_lying_safetensors_header_is_refused() {
    let refused = |header: &str, data| {
        let error = safetensors::from_bytes(&with_header(header, data), "lie.safetensors").err();
        error.unwrap_or_else(|| panic!("accepted: {header}")).to_string()
    };
    // More than any machine has, overflow, overlap, a gap, a wrong size, too much nesting.
    refused(r#"{"w":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}}"#, 8);
    refused(r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,0]}}"#, 0);
    refused(
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#,
        6,
    );
    refused(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#, 8);
    refused(r#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,4]}}"#, 4);
    refused(&"[".repeat(100_000), 0);
    refused("", 0);
    let error = refused(r#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#, 4);
    assert!(
        error.contains("`a`") && error.contains("F8_E4M3") && error.contains("lie.safetensors"),
        "{error}"
    );
    let mut bools = with_header(r#"{"mask":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#, 2);
    *bools.last_mut().unwrap() = 7;
    let error = safetensors::from_bytes(&bools, "lie.safetensors").unwrap_err().to_string();
    assert!(error.contains("`mask`") && error.contains("element 1 is 7"), "{error}");
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend(b"{}");
    assert!(safetensors::from_bytes(&huge, "lie.safetensors").is_err());
}

#[test]
fn an_array_that_claims_more_than_its_file_holds_is_refused_before_memory_is_taken() {
    for shape in ["(1000000000000,)", "(9223372036854775807, 9223372036854775807)"] {
        let dictionary = format!("{{'descr': '<f8', 'fortran_order': True, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((dictionary.len() as u16).to_le_bytes());
        bytes.extend(dictionary.as_bytes());
        let error = npy::from_bytes(&bytes, "lie.npy").unwrap_err();
        assert!(matches!(error, Error::MalformedTensor { .. }), "{error}");
    }
}

#[test]
fn an_archive_with_a_foreign_member_or_a_damaged_one_is_refused() {
    let mut archive = npz::to_bytes(&sample(), Compression::Stored).unwrap();
    // The last element of the matrix, 6.0: the checksum must notice.
    let value = 6.0_f32.to_le_bytes();
    let at = archive.windows(4).position(|window| window == value).unwrap();
    archive[at] ^= 1;
    let error = npz::from_bytes(&archive, "damaged.npz").unwrap_err().to_string();
    assert!(error.contains("`0.weight` in `damaged.npz`"), "{error}");

    let renamed = npz::to_bytes(&sample(), Compression::Stored).unwrap();
    let text = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
    let renamed: Vec<u8> = text(&renamed).replace("mask.npy", "mask.txt").chars().map(|c| c as u8).collect();
    let error = npz::from_bytes(&renamed, "foreign.npz").unwrap_err().to_string();
    assert!(error.contains("`mask.txt` is not a .npy file"), "{error}");
}
