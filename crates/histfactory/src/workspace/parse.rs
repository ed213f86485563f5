//! Reading: what pyhf's JSON schema demands, checked while the text streams by, so that errors have the path of the place.

use super::number::NumbersVisitor;
use super::{MODIFIER_TYPES, Modifier, ModifierKind, Number, Numbers, Workspace, WorkspaceError};
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

impl Workspace {
    /// Reads a workspace from JSON text. Time and memory are linear in its length.
    pub fn from_json(text: &[u8]) -> Result<Workspace, WorkspaceError> {
        let workspace: Workspace = from_json(text)?;
        workspace.validate()?;
        Ok(workspace)
    }

    /// Reads a workspace from a file.
    pub fn read(path: &Path) -> Result<Workspace, WorkspaceError> {
        Workspace::from_json(&read(path)?)
    }

    /// The workspace of a JSON value.
    pub fn from_value(value: serde_json::Value) -> Result<Workspace, WorkspaceError> {
        let workspace: Workspace = serde_path_to_error::deserialize(value).map_err(schema_error)?;
        workspace.validate()?;
        Ok(workspace)
    }

    /// The workspace as JSON text, keys in alphabetical order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a workspace has string keys and finite numbers")
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, WorkspaceError> {
    std::fs::read(path).map_err(|source| WorkspaceError::Read { file: path.to_path_buf(), source })
}

pub(super) fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, WorkspaceError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(schema_error)?;
    deserializer.end().map_err(|e| syntax(&e))?;
    Ok(value)
}

fn schema_error(error: serde_path_to_error::Error<serde_json::Error>) -> WorkspaceError {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if inner.is_data() {
        let mut problem = inner.to_string();
        // The path says where; a line of a generated file helps nobody.
        if let Some(at) = problem.rfind(" at line ") {
            problem.truncate(at);
        }
        return WorkspaceError::Schema { path, problem };
    }
    match syntax(&inner) {
        WorkspaceError::Syntax { line, column, problem, .. } => {
            WorkspaceError::Syntax { path, line, column, problem }
        }
        other => other,
    }
}

fn syntax(error: &serde_json::Error) -> WorkspaceError {
    let mut problem = error.to_string();
    if let Some(at) = problem.rfind(" at line ") {
        problem.truncate(at);
    }
    WorkspaceError::Syntax { path: ".".into(), line: error.line(), column: error.column(), problem }
}

/// An array with at least one element.
pub(super) fn nonempty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::<T>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(D::Error::custom("the array is empty: it needs at least one element"));
    }
    Ok(list)
}

/// A field that may be absent but not `null`.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A list of `[lower, upper]`.
pub(super) fn bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Numbers>>, D::Error> {
    struct Pair(Numbers);
    impl<'de> Deserialize<'de> for Pair {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pair, D::Error> {
            let pair = Numbers::deserialize(deserializer)?;
            match *pair {
                [lower, upper] if lower <= upper => Ok(Pair(pair)),
                [lower, upper] => {
                    Err(D::Error::custom(format!("the bounds cross: {lower} is above {upper}; swap them")))
                }
                _ => Err(D::Error::custom(format!(
                    "bounds are pairs [lower, upper], and here are {} numbers",
                    pair.len()
                ))),
            }
        }
    }
    let pairs: Vec<Pair> = nonempty(deserializer)?;
    Ok(Some(pairs.into_iter().map(|p| p.0).collect()))
}

/// The `data` of a modifier before its type is known.
enum RawData {
    Null,
    Numbers(Numbers),
    Factors { lo: Number, hi: Number },
    Histograms { lo_data: Numbers, hi_data: Numbers },
}

impl<'de> Deserialize<'de> for RawData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawData, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data of a modifier: null, an array of numbers, {lo, hi} or {lo_data, hi_data}")
    }

    fn visit_unit<E: Error>(self) -> Result<RawData, E> {
        Ok(RawData::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawData, A::Error> {
        NumbersVisitor.visit_seq(seq).map(RawData::Numbers)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawData, A::Error> {
        let (mut lo, mut hi) = (None, None);
        let (mut lo_data, mut hi_data) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "lo" => set(&mut lo, "lo", &mut map)?,
                "hi" => set(&mut hi, "hi", &mut map)?,
                "lo_data" => set(&mut lo_data, "lo_data", &mut map)?,
                "hi_data" => set(&mut hi_data, "hi_data", &mut map)?,
                _ => return Err(A::Error::unknown_field(&key, &["lo", "hi", "lo_data", "hi_data"])),
            }
        }
        match (lo, hi, lo_data, hi_data) {
            (Some(lo), Some(hi), None, None) => Ok(RawData::Factors { lo, hi }),
            (None, None, Some(lo_data), Some(hi_data)) => Ok(RawData::Histograms { lo_data, hi_data }),
            _ => {
                Err(A::Error::custom("the data must be {lo, hi} (normsys) or {lo_data, hi_data} (histosys)"))
            }
        }
    }
}

fn set<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    field: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.replace(map.next_value()?).is_some() {
        return Err(A::Error::duplicate_field(field));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Modifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Modifier, D::Error> {
        deserializer.deserialize_map(ModifierVisitor(PhantomData))
    }
}

struct ModifierVisitor(PhantomData<Modifier>);

/// The type of a modifier, checked where it stands.
struct TypeName(&'static str);

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TypeName, D::Error> {
        let name = String::deserialize(deserializer)?;
        match MODIFIER_TYPES.into_iter().find(|t| *t == name) {
            Some(known) => Ok(TypeName(known)),
            None => Err(D::Error::custom(format!(
                "`{name}` is not a modifier type; the types are {}",
                MODIFIER_TYPES.join(", ")
            ))),
        }
    }
}

impl<'de> Visitor<'de> for ModifierVisitor {
    type Value = Modifier;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a modifier: an object with `name`, `type` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Modifier, A::Error> {
        let (mut name, mut kind, mut data) = (None::<String>, None::<TypeName>, None::<RawData>);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => set(&mut name, "name", &mut map)?,
                "type" => set(&mut kind, "type", &mut map)?,
                "data" => set(&mut data, "data", &mut map)?,
                _ => return Err(A::Error::unknown_field(&key, &["name", "type", "data"])),
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        let kind = kind.ok_or_else(|| A::Error::missing_field("type"))?.0;
        let data = data.ok_or_else(|| A::Error::missing_field("data"))?;
        let kind = match (kind, data) {
            ("histosys", RawData::Histograms { lo_data, hi_data }) => {
                ModifierKind::Histosys { hi_data, lo_data }
            }
            ("normsys", RawData::Factors { lo, hi }) => ModifierKind::Normsys { hi, lo },
            ("shapesys", RawData::Numbers(data)) => ModifierKind::Shapesys(data),
            ("staterror", RawData::Numbers(data)) => ModifierKind::Staterror(data),
            ("normfactor", RawData::Null) => ModifierKind::Normfactor,
            ("shapefactor", RawData::Null) => ModifierKind::Shapefactor,
            ("lumi", RawData::Null) if name == "lumi" => ModifierKind::Lumi,
            ("lumi", RawData::Null) => {
                return Err(A::Error::custom(format!("a lumi modifier is named `lumi`, not `{name}`")));
            }
            (kind, _) => {
                let expected = match kind {
                    "histosys" => "{\"lo_data\": [..], \"hi_data\": [..]}",
                    "normsys" => "{\"lo\": .., \"hi\": ..}",
                    "shapesys" | "staterror" => "an array of absolute uncertainties",
                    _ => "null",
                };
                return Err(A::Error::custom(format!(
                    "the data of {kind} modifier `{name}` must be {expected}"
                )));
            }
        };
        Ok(Modifier { name, kind })
    }
}

impl Serialize for Modifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Factors<'a> {
            hi: &'a Number,
            lo: &'a Number,
        }
        #[derive(Serialize)]
        struct Histograms<'a> {
            hi_data: &'a Numbers,
            lo_data: &'a Numbers,
        }
        let mut map = serializer.serialize_map(Some(3))?;
        match &self.kind {
            ModifierKind::Histosys { hi_data, lo_data } => {
                map.serialize_entry("data", &Histograms { hi_data, lo_data })?;
            }
            ModifierKind::Normsys { hi, lo } => map.serialize_entry("data", &Factors { hi, lo })?,
            ModifierKind::Shapesys(data) | ModifierKind::Staterror(data) => {
                map.serialize_entry("data", data)?;
            }
            ModifierKind::Lumi | ModifierKind::Normfactor | ModifierKind::Shapefactor => {
                map.serialize_entry("data", &())?;
            }
        }
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("type", self.kind.type_name())?;
        map.end()
    }
}
