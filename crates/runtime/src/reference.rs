//! The reference backend: the interpreter behind the same interface as every other backend. Slow, obvious, the oracle.

use crate::{
    Backend, BackendError, BackendOptions, Bindings, Description, Executable, Instance, KernelInfo, Prepared,
    Stages, Unavailable,
};
use std::sync::Arc;
use wootz_ir::ops::{CompositeKind, EvalError};
use wootz_ir::{DType, Graph, HostTensor, Region, Target, eval, text};

/// Runs graphs op by op on the reference interpreter.
#[derive(Copy, Clone, Debug, Default)]
pub struct Reference;

const NAME: &str = "reference";

impl Backend for Reference {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn target(&self) -> Target {
        Target {
            backend: NAME,
            isa: "",
            dtypes: DType::ALL.to_vec(),
            claims: CompositeKind::ALL.to_vec(),
            panel: 0,
            caches: [0; 3],
            differentiable: false,
        }
    }

    fn compile(
        &self,
        graph: &Graph,
        _options: &BackendOptions,
        _stages: &mut Stages,
    ) -> Result<Arc<dyn Executable>, BackendError> {
        Ok(Arc::new(Interpreted { graph: graph.clone() }))
    }
}

struct Interpreted {
    graph: Graph,
}

impl Executable for Interpreted {
    fn describe(&self) -> Description {
        let kernels = self.graph.body.nodes().iter().map(|node| KernelInfo {
            kind: "eval",
            detail: node.op.name().to_owned(),
            site: node.site.path().to_owned(),
            flops: 0,
            bytes: node.outputs().filter_map(|v| self.graph.body.ty(v).bytes()).sum::<usize>() as u64,
        });
        let notes = vec!["interpreted op by op: for checking, not for speed".to_owned()];
        Description { kernels: kernels.collect(), notes, ..Description::default() }
    }

    fn source(&self) -> String {
        text::print(&self.graph)
    }

    fn fingerprint(&self) -> u128 {
        // Nothing is prepared, so every prepared result is as good as any other.
        0
    }

    fn reads(&self, _input: usize) -> bool {
        true
    }

    fn prepares(&self, _input: usize) -> bool {
        false
    }

    fn prepare(&self, _params: &[Option<HostTensor>]) -> Result<Prepared, BackendError> {
        Ok(Arc::new(()))
    }

    fn instance(&self) -> Result<Box<dyn Instance>, BackendError> {
        let aliases = self.graph.outputs.iter().map(|o| o.alias).collect();
        Ok(Box::new(Interpreter { body: self.graph.body.clone(), aliases }))
    }
}

struct Interpreter {
    body: Arc<Region>,
    aliases: Vec<Option<usize>>,
}

impl Instance for Interpreter {
    fn run(&mut self, _prepared: &Prepared, bindings: &mut dyn Bindings) -> Result<(), BackendError> {
        let mut args = Vec::new();
        for (i, ty) in self.body.param_types().iter().enumerate() {
            let dims = ty.shape.concrete().ok_or_else(|| bug(format!("parameter {i} is {ty}")))?;
            let bytes = match self.aliases.iter().position(|a| *a == Some(i)) {
                Some(output) => &*bindings.output(output),
                None => bindings.input(i),
            };
            args.push(HostTensor::from_bytes(ty.dtype, &dims, bytes).map_err(|e| bug(e.to_string()))?);
        }
        let results = eval::region(&self.body, &args).map_err(|e| match e {
            EvalError::Tensor(_) => BackendError::OutOfMemory { backend: NAME, bytes: usize::MAX },
            other => bug(other.to_string()),
        })?;
        for (i, result) in results.iter().enumerate() {
            bindings.output(i).copy_from_slice(result.as_bytes());
        }
        Ok(())
    }
}

fn bug(message: String) -> BackendError {
    BackendError::Bug { backend: NAME, message }
}
