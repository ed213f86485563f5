//! Numbers as a workspace writes them: their values, and whether they were written as integers. Digests depend on the latter.

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// Integers above this do not fit a double; they are kept, and written, as floats.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A finite JSON number. Numbers of one value are equal however they are written.
#[derive(Copy, Clone, Debug)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Whether it is written without a fraction or exponent.
    pub integer: bool,
}

/// A list of finite JSON numbers; reads as `&[f64]`, and lists of the same values are equal.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    values: Vec<f64>,
    integers: Integers,
}

/// Which numbers of a list are written as integers. Nearly every list is all one kind.
#[derive(Clone, Debug, Default)]
enum Integers {
    #[default]
    None,
    All,
    Mixed(Vec<bool>),
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Numbers) -> bool {
        self.values == other.values
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number { value, integer: false }
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(values: Vec<f64>) -> Numbers {
        Numbers { values, integers: Integers::None }
    }
}

impl FromIterator<Number> for Numbers {
    fn from_iter<I: IntoIterator<Item = Number>>(numbers: I) -> Numbers {
        let mut out = Numbers::default();
        numbers.into_iter().for_each(|n| out.push(n));
        out
    }
}

impl Deref for Numbers {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values
    }
}

impl Numbers {
    fn push(&mut self, number: Number) {
        let uniform = match &self.integers {
            Integers::None => self.values.is_empty() || !number.integer,
            Integers::All => number.integer,
            Integers::Mixed(_) => false,
        };
        if uniform {
            self.integers = if number.integer { Integers::All } else { Integers::None };
        } else {
            let mut flags = match std::mem::take(&mut self.integers) {
                Integers::None => vec![false; self.values.len()],
                Integers::All => vec![true; self.values.len()],
                Integers::Mixed(flags) => flags,
            };
            flags.push(number.integer);
            self.integers = Integers::Mixed(flags);
        }
        self.values.push(number.value);
    }

    fn get_number(&self, index: usize) -> Number {
        let integer = match &self.integers {
            Integers::None => false,
            Integers::All => true,
            Integers::Mixed(flags) => flags[index],
        };
        Number { value: self.values[index], integer }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.integer && self.value.abs() <= LARGEST_EXACT {
            serializer.serialize_i64(self.value as i64)
        } else {
            serializer.serialize_f64(self.value)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                if !value.is_finite() {
                    return Err(E::custom("the number is not finite: every number of a workspace must be"));
                }
                Ok(Number { value, integer: false })
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number { value: value as f64, integer: true })
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number { value: value as f64, integer: true })
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.values.len()))?;
        for i in 0..self.values.len() {
            seq.serialize_element(&self.get_number(i))?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Numbers, D::Error> {
        deserializer.deserialize_seq(NumbersVisitor)
    }
}

pub(super) struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Numbers, A::Error> {
        let mut out = Numbers::default();
        while let Some(number) = seq.next_element::<Number>()? {
            out.push(number);
        }
        if out.is_empty() {
            return Err(A::Error::custom("the array is empty: it needs at least one number"));
        }
        out.values.shrink_to_fit();
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_remember_how_they_were_written() {
        let check = |text: &str| {
            let numbers: Numbers = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&numbers).unwrap(), text);
            numbers
        };
        assert_eq!(&*check("[1,2,3]"), [1.0, 2.0, 3.0]);
        assert_eq!(&*check("[1.5,2.0]"), [1.5, 2.0]);
        assert_eq!(&*check("[1,2.5,3]"), [1.0, 2.5, 3.0]);
        assert_eq!(&*check("[1.5,2,3]"), [1.5, 2.0, 3.0]);
        assert!(serde_json::from_str::<Numbers>("[]").is_err());
        assert!(serde_json::from_str::<Numbers>("[true]").is_err());
        assert!(serde_json::from_str::<Numbers>("[1e999]").is_err());
    }
}
