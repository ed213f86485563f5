//! The models and cases of the suite, and the numbers every stack computes with.

use std::io;
use std::path::Path;

use crate::protocol::{Case, Loss, Mode, Model, PROTOCOL_VERSION, Setup, TensorFile};

/// Step size of the SGD update in training cases.
pub const LEARNING_RATE: f64 = 0.01;

impl Model {
    /// A model of linear layers with ReLU between them.
    pub fn new(name: &str, dims: &[usize], loss: Loss) -> Model {
        Model { name: name.to_owned(), dims: dims.to_vec(), loss }
    }

    /// One linear layer 1024 → 1024, trained with a mean squared error.
    pub fn linear() -> Model {
        Model::new("linear", &[1024, 1024], Loss::Mse)
    }

    /// The perceptron 784-1024-512-256-10, trained with softmax cross-entropy.
    pub fn mlp() -> Model {
        Model::new("mlp", &[784, 1024, 512, 256, 10], Loss::CrossEntropy)
    }

    /// A linear layer 1 → 1: what is left of a run is its overhead.
    pub fn scalar() -> Model {
        Model::new("scalar", &[1, 1], Loss::Mse)
    }

    /// A perceptron with as many parameters as [`Model::mlp`], each of one element.
    pub fn scalar_mlp() -> Model {
        Model::new("scalar-mlp", &[1, 1, 1, 1, 1], Loss::CrossEntropy)
    }

    /// Every built-in model.
    pub fn all() -> Vec<Model> {
        vec![Model::linear(), Model::mlp(), Model::scalar(), Model::scalar_mlp()]
    }

    /// Whether nothing but the overhead of a run can be measured on it: it has one case, a row in inference.
    pub fn is_scalar(&self) -> bool {
        self.dims.iter().all(|features| *features == 1)
    }

    /// The built-in model called `name`.
    pub fn by_name(name: &str) -> Option<Model> {
        Model::all().into_iter().find(|model| model.name == name)
    }

    /// Number of linear layers.
    pub fn layers(&self) -> usize {
        self.dims.len().saturating_sub(1)
    }

    /// Names of layer `i`'s weight and bias, as PyTorch's `Linear` and `Sequential` (with activations) number them.
    pub fn parameter_names(&self, layer: usize) -> [String; 2] {
        if self.layers() == 1 {
            ["weight".to_owned(), "bias".to_owned()]
        } else {
            [format!("{}.weight", 2 * layer), format!("{}.bias", 2 * layer)]
        }
    }
}

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name as in the protocol.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Row-major elements.
    pub values: Vec<f32>,
}

/// What a training case is trained towards.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A class a row.
    Labels(Vec<i64>),
    /// A tensor of the output's shape.
    Values(Tensor),
}

/// The numbers of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseData {
    /// Weight `[out, in]` and bias `[out]` of each layer, in order.
    pub parameters: Vec<Tensor>,
    /// `[batch, dims[0]]`.
    pub input: Tensor,
    /// Labels or values; present in every mode, handed over for training only.
    pub target: Target,
}

impl CaseData {
    /// The numbers of `case`, a pure function of its model, batch and seed. Parameters are uniform in ±1/√fan_in
    /// (PyTorch's default for `Linear`), inputs and regression targets uniform in ±1, labels uniform over the classes.
    pub fn generate(case: &Case) -> CaseData {
        let model = &case.model;
        let mut parameters = Vec::new();
        for (layer, pair) in model.dims.windows(2).enumerate() {
            let (fan_in, fan_out) = (pair[0], pair[1]);
            let bound = 1.0 / (fan_in as f32).sqrt();
            let [weight, bias] = model.parameter_names(layer);
            parameters.push(uniform(case.seed, &weight, &[fan_out, fan_in], bound));
            parameters.push(uniform(case.seed, &bias, &[fan_out], bound));
        }
        let features = model.dims.first().copied().unwrap_or(0);
        let outputs = model.dims.last().copied().unwrap_or(0);
        let target = match model.loss {
            Loss::Mse => Target::Values(uniform(case.seed, "target", &[case.batch, outputs], 1.0)),
            Loss::CrossEntropy => {
                let stream = Stream::new(case.seed, "target");
                let classes = outputs.max(1) as u64;
                Target::Labels((0..case.batch as u64).map(|i| (stream.bits(i) % classes) as i64).collect())
            }
        };
        CaseData { parameters, input: uniform(case.seed, "input", &[case.batch, features], 1.0), target }
    }

    /// Writes the numbers to `directory` and returns the setup message that points to them.
    pub fn write(&self, case: &Case, directory: &Path) -> io::Result<Setup> {
        let write = |t: &Tensor| TensorFile::write_f32(directory, &t.name, &t.shape, &t.values);
        let target = match (&self.target, case.mode) {
            (_, Mode::Inference) => None,
            (Target::Values(tensor), Mode::Training) => Some(write(tensor)?),
            (Target::Labels(labels), Mode::Training) => {
                Some(TensorFile::write_i64(directory, "target", &[labels.len()], labels)?)
            }
        };
        Ok(Setup {
            version: PROTOCOL_VERSION,
            case: case.clone(),
            parameters: self.parameters.iter().map(write).collect::<io::Result<_>>()?,
            input: write(&self.input)?,
            target,
            learning_rate: LEARNING_RATE,
            measure_memory: false,
        })
    }
}

pub(crate) fn uniform(seed: u64, name: &str, shape: &[usize], bound: f32) -> Tensor {
    let stream = Stream::new(seed, name);
    let elements = shape.iter().product::<usize>() as u64;
    let values = (0..elements).map(|i| stream.signed_unit(i) * bound).collect();
    Tensor { name: name.to_owned(), shape: shape.to_vec(), values }
}

/// A counter-based stream of numbers: element `i` depends on the seed, the tensor's name and `i` alone.
struct Stream(u64);

impl Stream {
    fn new(seed: u64, name: &str) -> Stream {
        // FNV-1a of the name, so that equal seeds give unrelated tensors.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Stream(splitmix64(seed) ^ hash)
    }

    fn bits(&self, index: u64) -> u64 {
        splitmix64(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Uniform in [−1, 1), a multiple of 2⁻²³, so exact in `f32`.
    fn signed_unit(&self, index: u64) -> f32 {
        (self.bits(index) >> 40) as f32 * (1.0 / (1u32 << 23) as f32) - 1.0
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
