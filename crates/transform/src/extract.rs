//! Copying only what is needed of a region.

use wootz_ir::{Builder, Region, TypeError, Value};

/// Copies into `b` the nodes of `region` that `roots` depend on and `map` does not hold yet; `map` (indexed by value) is
/// what the region's values are in `b`, and is extended by what was copied.
pub(crate) fn copy(
    b: &mut Builder,
    region: &Region,
    map: &mut [Option<Value>],
    roots: &[Value],
) -> Result<Vec<Value>, TypeError> {
    let live = live(region, |v| map[v.index()].is_some(), roots);
    for (node, _) in region.nodes().iter().zip(live).filter(|(_, live)| *live) {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| known(map, *v)).collect();
        let outer = b.set_site(node.site.clone());
        let outputs = b.push_multi(node.op.clone(), &inputs);
        b.set_site(outer);
        for (old, new) in node.outputs().zip(outputs?) {
            map[old.index()].get_or_insert(new);
        }
    }
    Ok(roots.iter().map(|v| known(map, *v)).collect())
}

/// For each node, whether `roots` depend on it; values that `stop` holds of are not looked behind.
pub(crate) fn live(region: &Region, stop: impl Fn(Value) -> bool, roots: &[Value]) -> Vec<bool> {
    let mut wanted = vec![false; region.values()];
    for root in roots {
        wanted[root.index()] = !stop(*root);
    }
    let mut live = vec![false; region.nodes().len()];
    for (i, node) in region.nodes().iter().enumerate().rev() {
        live[i] = node.outputs().any(|v| wanted[v.index()]);
        if live[i] {
            for input in node.inputs.iter().filter(|v| !stop(**v)) {
                wanted[input.index()] = true;
            }
        }
    }
    live
}

/// The region without the nodes that no result depends on.
pub(crate) fn prune(region: Region) -> Region {
    if live(&region, |_| false, region.results()).iter().all(|live| *live) {
        return region;
    }
    let mut b = Builder::new();
    let mut map = vec![None; region.values()];
    for (value, ty) in region.params().zip(region.param_types()) {
        map[value.index()] = Some(b.param(ty.clone()));
    }
    let results = copy(&mut b, &region, &mut map, region.results())
        .expect("the nodes were type-checked when the region was built");
    b.finish(&results)
}

fn known(map: &[Option<Value>], value: Value) -> Value {
    map[value.index()].expect("what a live node reads was copied before it")
}
