//! Arguments of the form `NAME=VALUE`: shapes and files.

use std::path::PathBuf;

use wootz::ir::Dims;

/// The sizes of one input: `x=32x784`; `x=` is a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedShape {
    pub(crate) name: String,
    pub(crate) dims: Dims,
}

/// Reads `NAME=SIZExSIZE…`.
pub(crate) fn parse_shape(text: &str) -> Result<NamedShape, String> {
    const FORM: &str = "write NAME=SIZExSIZE, for example x=32x784";
    let (name, sizes) = text.split_once('=').ok_or_else(|| format!("there is no `=`; {FORM}"))?;
    if name.is_empty() {
        return Err(format!("there is no name before `=`; {FORM}"));
    }
    let size = |s: &str| s.parse::<usize>().map_err(|_| format!("`{s}` is not a size; {FORM}"));
    let dims =
        if sizes.is_empty() { Dims::new() } else { sizes.split('x').map(size).collect::<Result<_, _>>()? };
    Ok(NamedShape { name: name.to_owned(), dims })
}

/// A file of one input, or an archive whose members are named as the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputFile {
    One { name: String, path: PathBuf },
    Archive(PathBuf),
}

/// Reads `NAME=FILE.npy` or `FILE.npz`.
pub(crate) fn parse_input(text: &str) -> Result<InputFile, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok(InputFile::One { name: name.to_owned(), path: path.into() })
        }
        None if text.ends_with(".npz") => Ok(InputFile::Archive(text.into())),
        _ => Err("write NAME=FILE.npy, for example x=x.npy, or FILE.npz".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let check = |text: &str, name: &str, dims: &[usize]| {
            let shape = NamedShape { name: name.to_owned(), dims: dims.into() };
            assert_eq!(parse_shape(text), Ok(shape), "{text}");
        };
        check("x=32x784", "x", &[32, 784]);
        check("tokens=7", "tokens", &[7]);
        check("lr=", "lr", &[]);
        check("x=0x3", "x", &[0, 3]);
    }

    #[test]
    fn what_is_no_shape() {
        for text in ["x", "=3", "x=3x", "x=3x-1", "x=3,4", "x=99999999999999999999"] {
            let error = parse_shape(text).unwrap_err();
            assert!(error.ends_with("for example x=32x784"), "{text}: {error}");
        }
    }

    #[test]
    fn inputs() {
        let one = InputFile::One { name: "x".to_owned(), path: "dir/x.npy".into() };
        assert_eq!(parse_input("x=dir/x.npy"), Ok(one));
        assert_eq!(parse_input("all.npz"), Ok(InputFile::Archive("all.npz".into())));
        for text in ["x.npy", "=x.npy", "x="] {
            assert!(parse_input(text).unwrap_err().contains("NAME=FILE.npy"), "{text}");
        }
    }
}
