//! Patch sets: many signal hypotheses over one background-only workspace, each a JSON patch (RFC 6902).

use super::parse::{from_json, nonempty, read};
use super::{DigestAlgorithm, Version, Workspace, WorkspaceError};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::path::Path;

/// A set of patches and what they are for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSet {
    metadata: Metadata,
    #[serde(deserialize_with = "nonempty")]
    patches: Vec<Patch>,
    /// The version of the format.
    pub version: Version,
}

#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    references: Map<String, Value>,
    #[serde(deserialize_with = "digests")]
    digests: Vec<(DigestAlgorithm, String)>,
    #[serde(deserialize_with = "nonempty")]
    labels: Vec<String>,
    description: String,
}

/// One hypothesis.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    metadata: PatchMetadata,
    patch: json_patch::Patch,
}

#[derive(Clone, Debug, Deserialize)]
struct PatchMetadata {
    name: String,
    values: Vec<Value>,
}

/// How a patch is looked up.
#[derive(Copy, Clone, Debug)]
pub enum PatchKey<'a> {
    /// By its name.
    Name(&'a str),
    /// By its values, one a label: numbers or strings.
    Values(&'a [Value]),
}

/// The digests that can be checked; others are refused here and not silently passed over.
fn digests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(DigestAlgorithm, String)>, D::Error> {
    let map = Map::<String, Value>::deserialize(deserializer)?;
    if map.is_empty() {
        return Err(D::Error::custom("there must be at least one digest"));
    }
    map.into_iter()
        .map(|(name, value)| {
            let algorithm = DigestAlgorithm::ALL.into_iter().find(|a| a.name() == name);
            match (algorithm, value) {
                (Some(algorithm), Value::String(digest)) => Ok((algorithm, digest)),
                _ => Err(D::Error::custom(format!(
                    "`{name}`: a digest is a string, by md5, sha1, sha256 or sha512"
                ))),
            }
        })
        .collect()
}

impl PatchSet {
    /// Reads a patch set from JSON text.
    pub fn from_json(text: &[u8]) -> Result<PatchSet, WorkspaceError> {
        let set: PatchSet = from_json(text)?;
        set.validate()?;
        Ok(set)
    }

    /// Reads a patch set from a file.
    pub fn read(path: &Path) -> Result<PatchSet, WorkspaceError> {
        PatchSet::from_json(&read(path)?)
    }

    fn validate(&self) -> Result<(), WorkspaceError> {
        for (i, patch) in self.patches.iter().enumerate() {
            let path = format!("patches[{i}].metadata");
            let expected = self.metadata.labels.len();
            if patch.values().len() != expected {
                return Err(WorkspaceError::Schema {
                    path: path + ".values",
                    problem: format!(
                        "{} values, and the patch set has {expected} labels",
                        patch.values().len()
                    ),
                });
            }
            let earlier = &self.patches[..i];
            if earlier.iter().any(|p| p.name() == patch.name()) {
                return Err(WorkspaceError::Duplicate { path, what: "patch", name: patch.name().into() });
            }
            if earlier.iter().any(|p| same_values(p.values(), patch.values())) {
                let what = "patch with the values of the one";
                return Err(WorkspaceError::Duplicate { path, what, name: patch.name().into() });
            }
        }
        Ok(())
    }

    /// What the patches represent.
    pub fn description(&self) -> &str {
        &self.metadata.description
    }

    /// The names of the values, one a dimension.
    pub fn labels(&self) -> &[String] {
        &self.metadata.labels
    }

    /// Where the patch set comes from: a database's name and the entry's.
    pub fn references(&self) -> &Map<String, Value> {
        &self.metadata.references
    }

    /// The digests of the workspace that the patch set is for.
    pub fn digests(&self) -> &[(DigestAlgorithm, String)] {
        &self.metadata.digests
    }

    /// The patches, in order.
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// One patch.
    pub fn get(&self, key: PatchKey<'_>) -> Result<&Patch, WorkspaceError> {
        let found = self.patches.iter().find(|p| match key {
            PatchKey::Name(name) => p.name() == name,
            PatchKey::Values(values) => same_values(p.values(), values),
        });
        found.ok_or_else(|| WorkspaceError::Unknown {
            what: "patch",
            name: match key {
                PatchKey::Name(name) => name.into(),
                PatchKey::Values(values) => Value::from(values.to_vec()).to_string(),
            },
            known: self.patches.iter().map(|p| p.name().to_string()).collect(),
        })
    }

    /// Checks that the patch set is for this workspace.
    pub fn verify(&self, workspace: &Workspace) -> Result<(), WorkspaceError> {
        for (algorithm, expected) in &self.metadata.digests {
            let got = workspace.digest(*algorithm);
            if got != *expected {
                let expected = expected.clone();
                return Err(WorkspaceError::Digest { algorithm: algorithm.name(), expected, got });
            }
        }
        Ok(())
    }

    /// The workspace with one patch applied, after [`verify`](PatchSet::verify).
    pub fn apply(&self, workspace: &Workspace, key: PatchKey<'_>) -> Result<Workspace, WorkspaceError> {
        self.verify(workspace)?;
        self.get(key)?.apply(workspace)
    }
}

impl Patch {
    /// The name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The point it stands for, one value a label.
    pub fn values(&self) -> &[Value] {
        &self.metadata.values
    }

    /// The workspace with this patch applied, whatever workspace it is for.
    pub fn apply(&self, workspace: &Workspace) -> Result<Workspace, WorkspaceError> {
        let error = |problem: String| WorkspaceError::Patch { patch: self.name().into(), problem };
        let mut value = serde_json::to_value(workspace).expect("a workspace has string keys");
        json_patch::patch(&mut value, &self.patch).map_err(|e| error(e.to_string()))?;
        Workspace::from_value(value).map_err(|e| error(e.to_string()))
    }
}

/// Numbers are compared by value: 1 is 1.0.
fn same_values(a: &[Value], b: &[Value]) -> bool {
    let same = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}
