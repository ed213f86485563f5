//! One mapping a batch, never writable and executable at once; one code a structure.

use super::*;
use crate::pool::Pool;

/// `a1[i] = a0[i] + number`.
fn kernel(number: f64) -> Arc<Kernel> {
    let text = format!(
        "kernel(a0: f32 read, a1: f32 write) grid [40] lanes grid {{
  stage [] {{
    %0 = load a0[g0] : f32
    %1 = {number:?} : f32
    %2 = add %0, %1 : f32
    store a1[g0] = %2
  }}
}}
"
    );
    Arc::new(text.parse().unwrap_or_else(|e| panic!("{e}\n{text}")))
}

fn native() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| *isa != Isa::Portable)
}

fn mapping(code: &Code) -> &Arc<Mapping> {
    match code.body() {
        Body::Native { mapping, .. } => mapping,
        Body::Tiles { why, .. } => panic!("{why:?}"),
    }
}

#[test]
fn kernels_of_a_batch_share_one_mapping() {
    for isa in native() {
        let mut batch = Batch::new(isa, true);
        let codes = [101.0, 102.0, 103.0].map(|number| batch.add(&kernel(number), false));
        batch.finish();
        assert!(codes.iter().all(|code| Arc::ptr_eq(mapping(code), mapping(&codes[0]))), "{isa}");
    }
}

/// The permissions of the process's memory, as the system lists them.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_never_writable_and_executable() {
    for isa in native() {
        let mut batch = Batch::new(isa, true);
        let code = batch.add(&kernel(201.0), false);
        batch.finish();
        let address = mapping(&code).address();
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the system lists the process's memory");
        let mut found = None;
        for line in maps.lines() {
            let (range, rest) = line.split_once(' ').expect("a range, then permissions");
            let (start, end) = range.split_once('-').expect("start and end");
            let number = |x| usize::from_str_radix(x, 16).expect("an address");
            assert!(!rest.starts_with("rwx"), "{line}");
            if (number(start)..number(end)).contains(&address) {
                found = rest.get(..4);
            }
        }
        assert_eq!(found, Some("r-xp"), "{isa}");
    }
}

#[test]
fn kernels_of_one_structure_share_code_as_long_as_it_is_used() {
    for isa in native() {
        let compile = || {
            // Parsed anew: it is the structure that is shared.
            let mut batch = Batch::new(isa, true);
            let (code, other) = (batch.add(&kernel(301.0), false), batch.add(&kernel(302.0), false));
            batch.finish();
            (code, other)
        };
        let (first, other) = compile();
        let (second, _) = compile();
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other), "{isa}");
        let key = Key::new(&kernel(301.0), Some(0), isa, true);
        let shared = || SHARED.with(|shared| shared.get(&key).and_then(Weak::upgrade));
        assert!(shared().is_some_and(|code| Arc::ptr_eq(&code, &first)), "{isa}");
        drop((first, second));
        assert!(shared().is_none(), "{isa}: nobody uses it any more");
    }
}

/// A long chain of additions.
fn chain(number: f64) -> Arc<Kernel> {
    let adds: String = (1..100).map(|i| format!("%{} = add %{}, %0 : f32\n", i + 1, i)).collect();
    let text = format!(
        "kernel(a0: f32 read, a1: f32 write) grid [40] lanes grid {{\nstage [] {{\n%0 = load a0[g0] : f32\n\
         %1 = {number:?} : f32\n{adds}store a1[g0] = %100\n}}\n}}\n"
    );
    Arc::new(text.parse().unwrap_or_else(|e| panic!("{e}\n{text}")))
}

#[test]
fn code_does_not_depend_on_threads() {
    // Code is written by several threads only if they are there already, or if there is very much of it.
    Pool::global().expect("the environment's number of threads is one").run(2, 2, &|_, _| ());
    for isa in native() {
        let written = |threads: usize| {
            let mut kernels: Vec<Arc<Kernel>> = (0..40).map(|i| chain(f64::from(400 + i))).collect();
            kernels.push(chain(400.0));
            let mut batch = Batch::new(isa, true);
            batch.add_all(&kernels.iter().collect::<Vec<_>>(), threads).expect("as above");
            let codes: Vec<Arc<Code>> = kernels.iter().map(|kernel| batch.add(kernel, false)).collect();
            assert_eq!((batch.written.len(), batch.known.len()), (40, 40), "{isa}: two kernels are one");
            batch.finish();
            assert!(Arc::ptr_eq(&codes[0], &codes[40]), "{isa}");
            let offsets = codes.iter().map(|code| match code.body() {
                Body::Native { offset, .. } => *offset,
                Body::Tiles { why, .. } => panic!("{why:?}"),
            });
            (offsets.collect::<Vec<_>>(), mapping(&codes[0]).bytes().to_vec())
        };
        assert_eq!(written(1), written(4), "{isa}");
    }
}
