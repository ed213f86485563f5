//! Parameters, and what was prepared from them.

use crate::error::{RunError, list};
use crate::{Executable, Prepared, Signature};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use wootz_ir::{HostTensor, Role, TensorType};

/// A model's parameters: a handle that any number of programs and threads share.
///
/// Every tensor has an id that is never used again and a version that every write bumps. What a program computes from parameters
/// alone (packed weights, say) is kept here by ids and versions, so that programs over the same parameters share it.
#[derive(Clone, Default)]
pub struct Params(Arc<Shared>);

#[derive(Default)]
struct Shared {
    index: HashMap<Arc<str>, usize>,
    slots: RwLock<Vec<Slot>>,
    /// Bumped by every write: while it stands still, nothing has changed.
    generation: AtomicU64,
    prepared: Mutex<Vec<(Key, Prepared)>>,
    /// What programs were bound to last, by program.
    bound: Mutex<Vec<(u64, Arc<Bound>)>>,
}

/// What a program reads of some parameters, as of a generation.
pub(crate) struct Bound {
    /// One an input of the program; `None` for inputs that are no parameters or were given up.
    pub(crate) tensors: Vec<Option<HostTensor>>,
    /// What was computed from them.
    pub(crate) prepared: Prepared,
    /// The parameters' generation.
    pub(crate) generation: u64,
}

struct Slot {
    name: Arc<str>,
    ty: TensorType,
    /// `None` once given up.
    tensor: Option<HostTensor>,
    id: u64,
    version: u64,
}

#[derive(PartialEq, Eq, Clone)]
struct Key {
    fingerprint: u128,
    params: Vec<(u64, u64)>,
}

/// How many prepared sets and how many programs' bindings are kept for one `Params`.
const KEPT: usize = 16;

fn unpoisoned<T>(guard: Result<T, PoisonError<T>>) -> T {
    // Every write leaves the data consistent, so a panic elsewhere while the lock was held does no harm.
    guard.unwrap_or_else(PoisonError::into_inner)
}

impl Params {
    /// Parameters from named tensors.
    pub fn new(tensors: impl IntoIterator<Item = (Arc<str>, HostTensor)>) -> Params {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut index = HashMap::new();
        let mut slots = Vec::new();
        for (name, tensor) in tensors {
            let slot = Slot {
                name: name.clone(),
                ty: tensor.ty(),
                tensor: Some(tensor),
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                version: 0,
            };
            match index.get(&name) {
                Some(i) => slots[*i] = slot,
                None => {
                    index.insert(name, slots.len());
                    slots.push(slot);
                }
            }
        }
        Params(Arc::new(Shared { index, slots: RwLock::new(slots), ..Shared::default() }))
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<Arc<str>> {
        unpoisoned(self.0.slots.read()).iter().map(|s| s.name.clone()).collect()
    }

    /// A parameter's value (shares its memory).
    pub fn get(&self, name: &str) -> Result<HostTensor, RunError> {
        let i = self.position(name)?;
        let slots = unpoisoned(self.0.slots.read());
        slots[i].tensor.clone().ok_or_else(|| RunError::Consumed { name: name.to_owned() })
    }

    /// Replaces a parameter by a tensor of the same type.
    pub fn set(&self, name: &str, tensor: HostTensor) -> Result<(), RunError> {
        let i = self.position(name)?;
        let mut slots = unpoisoned(self.0.slots.write());
        let slot = &mut slots[i];
        if slot.ty != tensor.ty() {
            return Err(RunError::wrong_type("parameter", name, &slot.ty, &tensor.ty()));
        }
        slot.tensor = Some(tensor);
        slot.version += 1;
        self.0.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Every parameter with its name.
    pub fn tensors(&self) -> Result<Vec<(Arc<str>, HostTensor)>, RunError> {
        let slots = unpoisoned(self.0.slots.read());
        let tensor = |s: &Slot| {
            let tensor = s.tensor.clone().ok_or_else(|| RunError::Consumed { name: s.name.to_string() })?;
            Ok((s.name.clone(), tensor))
        };
        slots.iter().map(tensor).collect()
    }

    /// A number that changes with every write.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// What a program reads of these parameters, checked against its signature; remembered until a parameter is written.
    pub(crate) fn resolve(
        &self,
        program: u64,
        signature: &Signature,
        executable: &dyn Executable,
    ) -> Result<Arc<Bound>, RunError> {
        let generation = self.generation();
        let mut cache = unpoisoned(self.0.bound.lock());
        if let Some((_, bound)) =
            cache.iter().find(|(id, bound)| *id == program && bound.generation == generation)
        {
            return Ok(bound.clone());
        }
        let tensors = self.bind(signature, executable)?;
        let prepared = self.prepared(signature, executable, &tensors)?;
        let bound = Arc::new(Bound { tensors, prepared, generation });
        cache.retain(|(id, bound)| *id != program && bound.generation == generation);
        if cache.len() >= KEPT {
            cache.remove(0);
        }
        cache.push((program, bound.clone()));
        Ok(bound)
    }

    /// The tensors a program's inputs are bound to (`None` for inputs that are no parameters), checked against its signature.
    fn bind(
        &self,
        signature: &Signature,
        executable: &dyn Executable,
    ) -> Result<Vec<Option<HostTensor>>, RunError> {
        let slots = unpoisoned(self.0.slots.read());
        let mut out = Vec::with_capacity(signature.inputs.len());
        for (i, input) in signature.inputs.iter().enumerate() {
            if input.role == Role::Input {
                out.push(None);
                continue;
            }
            let Some(at) = self.0.index.get(&input.name) else {
                return Err(RunError::Missing {
                    name: input.name.to_string(),
                    expected: Box::new(input.ty.clone()),
                });
            };
            let slot = &slots[*at];
            if slot.ty != input.ty {
                return Err(RunError::wrong_type("parameter", &input.name, &input.ty, &slot.ty));
            }
            if slot.tensor.is_none() && executable.reads(i) {
                return Err(RunError::Consumed { name: input.name.to_string() });
            }
            out.push(slot.tensor.clone());
        }
        Ok(out)
    }

    /// What the program computes from these parameters: from the cache, or computed now.
    fn prepared(
        &self,
        signature: &Signature,
        executable: &dyn Executable,
        bound: &[Option<HostTensor>],
    ) -> Result<Prepared, RunError> {
        let relevant = |i: &usize| executable.prepares(*i);
        let key = {
            let slots = unpoisoned(self.0.slots.read());
            let version = |i: usize| {
                self.0.index.get(&signature.inputs[i].name).map(|at| (slots[*at].id, slots[*at].version))
            };
            let params = (0..signature.inputs.len()).filter(relevant).filter_map(version).collect();
            Key { fingerprint: executable.fingerprint(), params }
        };
        if let Some((_, prepared)) = self.cache().iter().find(|(k, _)| *k == key) {
            return Ok(prepared.clone());
        }
        if let Some(i) = (0..bound.len()).find(|i| executable.prepares(*i) && bound[*i].is_none()) {
            return Err(RunError::Consumed { name: signature.inputs[i].name.to_string() });
        }
        let prepared = executable.prepare(bound)?;
        let mut cache = self.cache();
        // Stale versions can never be asked for again.
        let outdated = |old: &Key| old.fingerprint == key.fingerprint && old.params != key.params;
        cache.retain(|(old, _)| !outdated(old));
        if cache.len() >= KEPT {
            cache.remove(0);
        }
        cache.push((key, prepared.clone()));
        Ok(prepared)
    }

    /// Gives up the tensors that a program needs only for preparing.
    pub(crate) fn consume(&self, signature: &Signature, executable: &dyn Executable) {
        let mut slots = unpoisoned(self.0.slots.write());
        unpoisoned(self.0.bound.lock()).clear();
        for (i, input) in signature.inputs.iter().enumerate() {
            if let (false, Some(at)) = (executable.reads(i), self.0.index.get(&input.name)) {
                slots[*at].tensor = None;
            }
        }
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    fn cache(&self) -> MutexGuard<'_, Vec<(Key, Prepared)>> {
        unpoisoned(self.0.prepared.lock())
    }

    fn position(&self, name: &str) -> Result<usize, RunError> {
        self.0.index.get(name).copied().ok_or_else(|| RunError::Unknown {
            what: "parameter",
            name: name.to_owned(),
            known: list(self.0.index.keys().map(|k| &**k)),
        })
    }
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slots = unpoisoned(self.0.slots.read());
        f.debug_map().entries(slots.iter().map(|s| (&s.name, &s.ty))).finish()
    }
}
