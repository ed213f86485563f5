//! pyhf's digest: the hash of the JSON text that Python's `json.dumps(…, sort_keys=True, ensure_ascii=False)` writes.

use super::Workspace;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use sha2::Digest;
use std::io;

/// A hash function, as a patch set names it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// MD5, which older patch sets use.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256, the default.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Every algorithm.
    pub const ALL: [DigestAlgorithm; 4] =
        [DigestAlgorithm::Md5, DigestAlgorithm::Sha1, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512];

    /// The name Python's `hashlib` has for it.
    pub const fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Md5 => "md5",
            DigestAlgorithm::Sha1 => "sha1",
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Sha512 => "sha512",
        }
    }

    /// The digest of a value whose maps and fields are in alphabetical order, in hexadecimal.
    pub(super) fn digest(self, value: &impl Serialize) -> String {
        match self {
            DigestAlgorithm::Md5 => hash::<md5::Md5>(value),
            DigestAlgorithm::Sha1 => hash::<sha1::Sha1>(value),
            DigestAlgorithm::Sha256 => hash::<sha2::Sha256>(value),
            DigestAlgorithm::Sha512 => hash::<sha2::Sha512>(value),
        }
    }
}

impl Workspace {
    /// pyhf's digest of the workspace, in hexadecimal. It depends on the order of lists and on whether numbers are written as
    /// integers, as pyhf's does.
    pub fn digest(&self, algorithm: DigestAlgorithm) -> String {
        algorithm.digest(self)
    }
}

fn hash<D: Digest>(value: &impl Serialize) -> String {
    struct Hasher<D>(D);
    impl<D: Digest> io::Write for Hasher<D> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = io::BufWriter::new(Hasher(D::new()));
    value
        .serialize(&mut Serializer::with_formatter(&mut hasher, Python))
        .expect("workspaces have string keys and finite numbers, and hashing cannot fail");
    let Ok(hasher) = hasher.into_inner() else { unreachable!("hashing cannot fail") };
    hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON as Python's `json.dumps` writes it: `, ` and `: ` between things, floats by `repr`.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_repr(value).as_bytes())
    }
}

/// A finite float as Python prints it: the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
fn python_repr(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let check = |value: f64, text: &str| assert_eq!(python_repr(value), text);
        check(0.0, "0.0");
        check(-0.0, "-0.0");
        check(1.0, "1.0");
        check(0.1, "0.1");
        check(0.0001, "0.0001");
        check(0.00001234, "1.234e-05");
        check(1e-5, "1e-05");
        check(1e15, "1000000000000000.0");
        check(123456789012345680.0, "1.2345678901234568e+17");
        check(1e16, "1e+16");
        check(-2.5e-300, "-2.5e-300");
        check(1e300, "1e+300");
    }

    /// The values that the documentation of `pyhf.utils.digest` prints.
    #[test]
    fn digests_are_pyhfs() {
        let value = serde_json::json!({"a": 2.0, "b": 3.0, "c": 1.0});
        let check = |algorithm: DigestAlgorithm, text: &str| assert_eq!(algorithm.digest(&value), text);
        check(DigestAlgorithm::Sha256, "a38f6093800189b79bc22ef677baf90c75705af2cfc7ff594159eca54eaa7928");
        check(DigestAlgorithm::Md5, "2c0633f242928eb55c3672fed5ba8612");
        check(DigestAlgorithm::Sha1, "49a27f499e763766c9545b294880df277be6f545");
    }
}
