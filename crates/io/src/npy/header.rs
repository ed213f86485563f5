//! The header of a `.npy` file: magic bytes, version, length, and a Python dictionary as text.

use std::io::Read;

use wootz_ir::DType;

use super::{code_of, dtype_of};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Far more than the shape of any array takes; a structured dtype may take more, and is not read.
const MAX_LENGTH: u64 = 1 << 16;
/// Where the data must start, so that it can be mapped into memory aligned.
const ALIGNMENT: usize = 64;
/// Arrays of more axes do not occur: NumPy's own limit is 64.
const MAX_RANK: usize = 64;

/// What the header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    pub(super) big_endian: bool,
    pub(super) column_major: bool,
    pub(super) dims: Vec<usize>,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq)]
pub(super) enum HeaderError {
    Malformed(String),
    /// The dtype, as the header spells it.
    Unsupported(String),
}

impl Header {
    /// Reads the header and returns it with its length in bytes.
    pub(super) fn read(stream: &mut impl Read) -> Result<(Self, u64), HeaderError> {
        let mut start = [0; 8];
        fill(stream, &mut start)?;
        if &start[..6] != MAGIC {
            return Err(malformed("it does not begin as a .npy file does"));
        }
        let (length, before) = match start[6] {
            1 => {
                let mut bytes = [0; 2];
                fill(stream, &mut bytes)?;
                (u64::from(u16::from_le_bytes(bytes)), 10)
            }
            2 | 3 => {
                let mut bytes = [0; 4];
                fill(stream, &mut bytes)?;
                (u64::from(u32::from_le_bytes(bytes)), 12)
            }
            version => return Err(malformed(format!("version {version} of the .npy format is not known"))),
        };
        if length > MAX_LENGTH {
            return Err(malformed(format!(
                "its header claims {length} bytes, the most allowed are {MAX_LENGTH}"
            )));
        }
        let mut text = vec![0; length as usize];
        fill(stream, &mut text)?;
        let text = str::from_utf8(&text).map_err(|_| malformed("its header is not text"))?;
        Ok((Parser { rest: text }.header()?, before + length))
    }
}

/// The header's bytes for a little-endian, row-major array; nothing where NumPy lacks the dtype.
pub(super) fn encode(dtype: DType, dims: &[usize]) -> Option<Vec<u8>> {
    let order = if dtype.size() == 1 { '|' } else { '<' };
    let code = code_of(dtype)?;
    let shape = match dims {
        [] => "()".to_owned(),
        [only] => format!("({only},)"),
        _ => format!("({})", dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let dictionary = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {shape}, }}");
    // The dictionary is filled up with spaces and ended by a line feed.
    let length_for = |before: usize| (before + dictionary.len() + 1).next_multiple_of(ALIGNMENT) - before;
    let mut bytes = MAGIC.to_vec();
    let length = length_for(10);
    if let Ok(short) = u16::try_from(length) {
        bytes.extend([1, 0]);
        bytes.extend(short.to_le_bytes());
    } else {
        // NumPy's limit on axes keeps a header far below this; a tensor of ours has no such limit.
        bytes.extend([2, 0]);
        bytes.extend(u32::try_from(length_for(12)).ok()?.to_le_bytes());
    }
    let total = (bytes.len() + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    bytes.extend(dictionary.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    Some(bytes)
}

fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> Result<(), HeaderError> {
    stream.read_exact(buffer).map_err(|error| malformed(format!("its header cannot be read: {error}")))
}

fn malformed(reason: impl Into<String>) -> HeaderError {
    HeaderError::Malformed(reason.into())
}

/// Reads the subset of Python literals that headers are written in.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, HeaderError> {
        let (mut descr, mut column_major, mut dims) = (None, None, None);
        self.expect("{")?;
        while !self.skip("}") {
            let key = self.string()?;
            self.expect(":")?;
            let again = match key {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => column_major.replace(self.boolean()?).is_some(),
                "shape" => dims.replace(self.shape()?).is_some(),
                _ => return Err(malformed(format!("its header has the unknown key `{key}`"))),
            };
            if again {
                return Err(malformed(format!("its header has the key `{key}` twice")));
            }
            if !self.skip(",") {
                self.expect("}")?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err(malformed("its header goes on after the dictionary"));
        }
        let missing = |key| malformed(format!("its header lacks the key `{key}`"));
        let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
        Ok(Header {
            dtype,
            big_endian,
            column_major: column_major.ok_or_else(|| missing("fortran_order"))?,
            dims: dims.ok_or_else(|| missing("shape"))?,
        })
    }

    /// The dtype and whether its bytes are in big-endian order.
    fn descr(&mut self) -> Result<(DType, bool), HeaderError> {
        if self.rest.trim_start().starts_with('[') {
            return Err(HeaderError::Unsupported("a structured dtype".to_owned()));
        }
        let descr = self.string()?;
        let (code, big_endian) = match descr.chars().next() {
            Some('<' | '|') => (&descr[1..], false),
            Some('>') => (&descr[1..], true),
            _ => (descr, false),
        };
        let dtype = dtype_of(code).ok_or_else(|| HeaderError::Unsupported(descr.to_owned()))?;
        Ok((dtype, big_endian))
    }

    fn boolean(&mut self) -> Result<bool, HeaderError> {
        if self.skip("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn shape(&mut self) -> Result<Vec<usize>, HeaderError> {
        let mut dims = Vec::new();
        self.expect("(")?;
        while !self.skip(")") {
            dims.push(self.number()?);
            if dims.len() > MAX_RANK {
                return Err(malformed(format!("its shape has more than {MAX_RANK} axes")));
            }
            if !self.skip(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(dims)
    }

    fn number(&mut self) -> Result<usize, HeaderError> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        self.rest = rest;
        digits
            .parse()
            .map_err(|_| malformed(format!("`{digits}` in its shape is not a size on this machine")))
    }

    /// A quoted string without escapes.
    fn string(&mut self) -> Result<&'a str, HeaderError> {
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c));
        let quote = quote.ok_or_else(|| malformed("its header lacks a string where one belongs"))?;
        let (string, rest) =
            text[1..].split_once(quote).ok_or_else(|| malformed("its header has a string without an end"))?;
        self.rest = rest;
        Ok(string)
    }

    fn skip(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), HeaderError> {
        if self.skip(token) { Ok(()) } else { Err(malformed(format!("its header lacks a `{token}`"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, HeaderError> {
        Parser { rest: text }.header()
    }

    #[test]
    fn a_header_of_numpy_is_understood() {
        let header = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }     \n");
        let expected = Header { dtype: DType::F32, big_endian: false, column_major: false, dims: vec![3, 4] };
        assert_eq!(header, Ok(expected));
        let header = parse("{\"shape\":(),\"fortran_order\":True,\"descr\":\">i8\"}");
        assert_eq!(
            header,
            Ok(Header { dtype: DType::I64, big_endian: true, column_major: true, dims: vec![] })
        );
    }

    #[test]
    fn a_header_is_refused_with_its_reason() {
        let cases = [
            ("{}", "lacks the key `descr`"),
            ("{'descr': '<f4', 'descr': '<f4'}", "the key `descr` twice"),
            ("{'descr': '<f4', 'x': 1}", "unknown key `x`"),
            ("{'descr': '<f4', 'fortran_order': 0}", "lacks a `False`"),
            ("{'shape': (-1,)}", "not a size"),
            ("{'shape': (99999999999999999999999,)}", "not a size"),
            ("{'shape': (1 2)}", "lacks a `)`"),
            ("{'descr", "a string without an end"),
            ("{descr", "lacks a string"),
        ];
        for (text, reason) in cases {
            match parse(text) {
                Err(HeaderError::Malformed(said)) => assert!(said.contains(reason), "{text}: {said}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn dtypes_without_a_counterpart_are_named() {
        for dtype in ["<u8", "|O", "<c8", "|i1", "<V2", "<U3"] {
            let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ()}}");
            assert_eq!(parse(&text), Err(HeaderError::Unsupported(dtype.to_owned())));
        }
        let structured = parse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}");
        assert!(matches!(structured, Err(HeaderError::Unsupported(_))));
    }

    #[test]
    fn data_starts_aligned_whatever_the_rank() {
        for rank in [0, 1, 2, 8, 40, 30_000] {
            let bytes = encode(DType::F64, &vec![1; rank]).expect("NumPy has f64");
            assert_eq!(bytes.len() % ALIGNMENT, 0, "rank {rank}");
            assert_eq!(bytes.last(), Some(&b'\n'));
        }
    }
}
