//! Files that NumPy and safetensors wrote (`fixtures/make.py`), and what we write ourselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wootz_io::npz::Compression;
use wootz_io::{Error, TensorFile, npy, npz, safetensors};
use wootz_ir::{DType, HostTensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn matrix() -> Vec<f64> {
    (0..6).map(|i| f64::from(i) - 2.5).collect()
}

fn cube() -> Vec<i64> {
    (0..24).collect()
}

fn check(tensor: &HostTensor, dtype: DType, dims: &[usize], values: &[f64]) {
    assert_eq!((tensor.dtype(), tensor.dims()), (dtype, dims));
    assert_eq!(tensor.to_f64(), values);
}

#[test]
fn npy_files_of_numpy_are_read() {
    let read = |name| npy::read(&fixture(name)).unwrap();
    check(&read("row_major.npy"), DType::F32, &[2, 3], &matrix());
    check(&read("big_endian.npy"), DType::F64, &[2, 3], &matrix());
    check(&read("scalar.npy"), DType::Bool, &[], &[1.0]);
    let column_major = read("column_major.npy");
    assert_eq!(column_major.dims(), [2, 3, 4]);
    assert_eq!(column_major.to_i64(), cube());
}

#[test]
fn npy_is_written_as_numpy_writes_it() {
    let tensor = npy::read(&fixture("row_major.npy")).unwrap();
    // NumPy leaves room for a growing first axis; the contents around the filler must agree.
    let ours = String::from_utf8_lossy(&npy::to_bytes(&tensor).unwrap()).into_owned();
    let theirs = String::from_utf8_lossy(&fs::read(fixture("row_major.npy")).unwrap()).into_owned();
    assert_eq!(ours, theirs);
}

#[test]
fn npz_files_of_numpy_are_read() {
    let stored = npz::read(&fixture("stored.npz")).unwrap();
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["cube", "empty", "matrix"]);
    check(&stored["matrix"], DType::F32, &[2, 3], &matrix());
    check(&stored["empty"], DType::F16, &[0, 4], &[]);
    assert_eq!(stored["cube"].to_i64(), cube());
    let deflated = npz::read(&fixture("deflated.npz")).unwrap();
    check(&deflated["matrix"], DType::F32, &[2, 3], &matrix());
    check(&deflated["zeros"], DType::I32, &[64, 64], &[0.0; 4096]);
}

#[test]
fn safetensors_files_are_read_with_their_metadata() {
    let mut reader = safetensors::Reader::open(&fixture("numpy.safetensors")).unwrap();
    assert_eq!(
        reader.metadata(),
        BTreeMap::from([("format".into(), "np".into()), ("step".into(), "7".into())])
    );
    let mut names = reader.names();
    names.sort();
    assert_eq!(names, ["cube", "flags", "half", "matrix"]);
    assert_eq!(reader.info("cube").unwrap(), (DType::I64, &[2, 3, 4][..]));
    check(&reader.tensor("half").unwrap(), DType::BF16, &[2, 3], &matrix());
    check(&reader.tensor("flags").unwrap(), DType::Bool, &[2], &[1.0, 0.0]);
    // Tensors can be read in any order.
    assert_eq!(reader.tensor("cube").unwrap().to_i64(), cube());
    let error = reader.tensor("cub").unwrap_err().to_string();
    assert!(error.contains("no tensor `cub`") && error.contains("matrix"), "{error}");
}

#[test]
fn the_safetensors_crate_reads_what_we_write() {
    let file = safetensors::read(&fixture("numpy.safetensors")).unwrap();
    let bytes = safetensors::to_bytes(&file).unwrap();
    let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), 4);
    for (name, tensor) in &file.tensors {
        let view = theirs.tensor(name).unwrap();
        assert_eq!((view.shape(), view.data()), (tensor.dims(), tensor.as_bytes()), "{name}");
    }
}

#[test]
fn dtypes_without_a_counterpart_are_refused_by_name() {
    let error = npy::read(&fixture("unsupported.npy")).unwrap_err();
    assert!(matches!(&error, Error::UnsupportedDType { dtype, .. } if dtype == "<u8"), "{error}");
    let bf16 = HostTensor::from_f64(DType::BF16, &[1], &[1.0]);
    assert!(matches!(npy::to_bytes(&bf16), Err(Error::NotInFormat { dtype: DType::BF16, .. })));
    let tensors = BTreeMap::from([("w".to_owned(), bf16)]);
    let error = npz::to_bytes(&tensors, Compression::Stored).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `w` has dtype bf16, which npz files cannot hold; write a safetensors file"
    );
}

#[test]
fn a_reserved_or_empty_name_is_refused() {
    let tensor = HostTensor::scalar(DType::F32, 1.0);
    let mut file = TensorFile::default();
    file.tensors.insert("__metadata__".to_owned(), tensor.clone());
    assert!(matches!(safetensors::to_bytes(&file), Err(Error::BadName { .. })));
    let tensors = BTreeMap::from([(String::new(), tensor)]);
    assert!(matches!(npz::to_bytes(&tensors, Compression::Stored), Err(Error::BadName { .. })));
}

#[test]
fn a_missing_file_and_a_missing_folder_are_named() {
    let error = safetensors::read(Path::new("absent.safetensors")).err().unwrap();
    assert!(
        matches!(error, Error::Read { .. }) && error.to_string().contains("absent.safetensors"),
        "{error}"
    );
    let path = Path::new("no-such-folder/w.safetensors");
    let error = safetensors::write(path, &TensorFile::default()).unwrap_err();
    assert!(matches!(error, Error::Write { .. }) && error.to_string().contains("no-such-folder"), "{error}");
}

#[test]
fn every_writer_makes_the_same_bytes_twice_and_files_that_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = safetensors::read(&fixture("numpy.safetensors")).unwrap();
    let path = folder.path().join("a.safetensors");
    safetensors::write(&path, &file).unwrap();
    assert_eq!(fs::read(&path).unwrap(), safetensors::to_bytes(&file).unwrap());
    assert_eq!(safetensors::read(&path).unwrap().metadata, file.metadata);

    let tensors = npz::read(&fixture("stored.npz")).unwrap();
    for compression in [Compression::Stored, Compression::Deflated] {
        let path = folder.path().join("a.npz");
        npz::write(&path, &tensors, compression).unwrap();
        assert_eq!(fs::read(&path).unwrap(), npz::to_bytes(&tensors, compression).unwrap());
        assert_eq!(npz::read(&path).unwrap()["cube"].to_i64(), cube());
    }

    let path = folder.path().join("a.npy");
    npy::write(&path, &tensors["cube"]).unwrap();
    assert_eq!(npy::read(&path).unwrap().to_i64(), cube());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary file is left");
}
