//! What executes kernels, compared with one another.

use crate::execute::{Run, execute};
use crate::guard::Edge;
use wootz_cpu::isa::Isa;
use wootz_cpu::testing::{Compiled, Executor};
use wootz_ir::HostTensor;
use wootz_plan::interpret::Buffer;
use wootz_plan_testing::{Case, difference};

/// The instruction sets that there is machine code of a kernel for.
pub(crate) fn native(case: &Case) -> Vec<Isa> {
    Isa::available().filter(|isa| Compiled::new(&case.kernel, Executor::Jit, *isa).is_some()).collect()
}

/// How machine code differs from the tile VM on a kernel whose results are not defined to the bit, but must not depend on what
/// runs it.
pub(crate) fn check_executors(case: &Case, what: &str) {
    let agree = |case: &Case, isa: Isa| -> Option<String> {
        case.expected().ok()?;
        let run = |executor| execute(case, Run { executor, isa, threads: 1, edge: Edge::End });
        let (machine, tiles) = (run(Executor::Jit)?, run(Executor::Vm)?);
        let dtypes = case.kernel.args.iter().map(|arg| arg.dtype);
        dtypes.zip(machine.iter().zip(&tiles)).enumerate().find_map(|(i, (dtype, (machine, tiles)))| {
            let elements = [tiles.as_bytes().len() / dtype.size()];
            let tiles = HostTensor::from_bytes(dtype, &elements, tiles.as_bytes()).ok()?;
            difference(&Buffer::holding(&tiles), machine.as_bytes())
                .map(|text| format!("{isa}: a{i}, {text}"))
        })
    };
    for isa in native(case) {
        if let Some(difference) = agree(case, isa) {
            let small = wootz_plan_testing::minimise(case, &mut |c| agree(c, isa).is_some());
            panic!("{what}: {}\n{small}", agree(&small, isa).unwrap_or(difference));
        }
    }
}
