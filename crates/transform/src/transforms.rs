//! The transformations of regions, shared by all walkers.

use crate::{jvp, vjp, vmap};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use wootz_ir::ops::{JvpRegion, RegionTransforms, RuleError, VjpRegions};
use wootz_ir::{Builder, Dim, Region, Value};

/// The transformations of regions. Remembers what it transformed, so that a region that several ops share is transformed
/// once and its transform is shared likewise.
#[derive(Debug, Default)]
pub struct Transforms {
    vjp: Table<(Key, [Flags; 3]), Arc<VjpRegions>>,
    jvp: Table<(Key, [Flags; 2]), Arc<JvpRegion>>,
    batch: Table<(Key, [Flags; 2], Dim), Batched>,
}

type Table<K, V> = RefCell<HashMap<K, V>>;
type Flags = Vec<bool>;
type Batched = (Arc<Region>, Vec<bool>);

/// A region by identity; keeps it alive so that the identity stays its own.
#[derive(Clone, Debug)]
struct Key(Arc<Region>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Transforms {
    /// Nothing transformed yet.
    pub fn new() -> Transforms {
        Transforms::default()
    }
}

/// Looks up or makes an entry, without holding the table while making it: making it may recurse.
fn remember<K: Hash + Eq, V: Clone>(
    table: &Table<K, V>,
    key: K,
    make: impl FnOnce() -> Result<V, RuleError>,
) -> Result<V, RuleError> {
    if let Some(known) = table.borrow().get(&key) {
        return Ok(known.clone());
    }
    let made = make()?;
    table.borrow_mut().insert(key, made.clone());
    Ok(made)
}

impl RegionTransforms for Transforms {
    fn vjp(
        &self,
        region: &Arc<Region>,
        needs: &[bool],
        has_cotangent: &[bool],
        recompute: &[bool],
    ) -> Result<Arc<VjpRegions>, RuleError> {
        let flags = [needs.to_vec(), has_cotangent.to_vec(), recompute.to_vec()];
        remember(&self.vjp, (Key(region.clone()), flags), || {
            vjp::split(self, region, needs, has_cotangent, recompute).map(Arc::new)
        })
    }

    fn vjp_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        cotangents: &[Option<Value>],
        needs: &[bool],
    ) -> Result<Vec<Option<Value>>, RuleError> {
        let has_cotangent: Vec<bool> = cotangents.iter().map(Option::is_some).collect();
        let tape = vjp::forward(self, b, region, args, needs, &has_cotangent)?;
        vjp::backward(self, b, region, &tape, cotangents)
    }

    fn jvp(
        &self,
        region: &Arc<Region>,
        has_tangent: &[bool],
        force: &[bool],
    ) -> Result<Arc<JvpRegion>, RuleError> {
        let flags = [has_tangent.to_vec(), force.to_vec()];
        remember(&self.jvp, (Key(region.clone()), flags), || {
            jvp::region(self, region, has_tangent, force).map(Arc::new)
        })
    }

    fn jvp_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        tangents: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, RuleError> {
        Ok(jvp::inline(self, b, region, args, tangents)?.into_iter().map(|(_, tangent)| tangent).collect())
    }

    fn batch(
        &self,
        region: &Arc<Region>,
        batched: &[bool],
        force: &[bool],
        size: &Dim,
    ) -> Result<Batched, RuleError> {
        let flags = [batched.to_vec(), force.to_vec()];
        remember(&self.batch, (Key(region.clone()), flags, size.clone()), || {
            vmap::region(self, region, batched, force, size)
        })
    }

    fn batch_inline(
        &self,
        b: &mut Builder,
        region: &Region,
        args: &[Value],
        batched: &[bool],
        size: &Dim,
    ) -> Result<Vec<(Value, bool)>, RuleError> {
        vmap::inline(self, b, region, args, batched, size)
    }
}
