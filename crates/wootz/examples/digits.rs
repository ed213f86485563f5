//! Trains a perceptron on scikit-learn's handwritten digits to 97 % on images it has not seen, saves it, loads it, predicts.
//!
//! ```text
//! python examples/export_digits.py target/digits.safetensors
//! cargo run --release -p wootz --example digits [digits.safetensors [model.safetensors]]
//! ```
//!
//! The file holds `images` f32 [1797, 64] (scaled to 0 to 1) and `labels` i64 [1797].

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use wootz::io::{TensorFile, safetensors};
use wootz::prelude::*;

const FEATURES: usize = 64;
const BATCH: usize = 32;
const EPOCHS: usize = 40;
/// The share of held-out images that must be recognised.
const ENOUGH: f64 = 0.97;

fn main() -> ExitCode {
    match run() {
        Ok(accuracy) if accuracy >= ENOUGH => ExitCode::SUCCESS,
        Ok(accuracy) => {
            eprintln!("error: {:.2} % is below {:.0} %", 100.0 * accuracy, 100.0 * ENOUGH);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<f64, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let source = arguments.next().unwrap_or_else(|| "target/digits.safetensors".into());
    let saved = arguments.next().unwrap_or_else(|| "target/digits-model.safetensors".into());

    let (train, held_out) = Digits::read(&source)?.split();
    let model = nn::mlp(&[FEATURES, 128, 64, 10]);
    save(&saved, &fit(&model, &train)?)?;
    let accuracy = evaluate(&model, &load(&saved)?, &held_out)?;
    println!(
        "{:.2} % of {} held-out images, model in {}",
        100.0 * accuracy,
        held_out.labels.len(),
        saved.display()
    );
    Ok(accuracy)
}

/// Trains from scratch; gives the parameters.
fn fit(model: &nn::Model, data: &Digits) -> Result<Params, Box<dyn Error>> {
    let step = nn::training(model, nn::cross_entropy(), nn::adamw(2e-3));
    let traced = step.trace(&inputs! { x: f32[BATCH, FEATURES], y: i64[BATCH] })?;
    let program = compile(&traced.into(), &BTreeMap::new(), &Cpu::default(), &Options::default())?;
    let mut state = program.init_state(0)?;
    let mut order: Vec<usize> = (0..data.labels.len()).collect();
    let mut shuffle = Shuffle(1);
    // The last rows of an epoch that do not fill a batch are left out; the next one has another order.
    let steps = data.labels.len() / BATCH;
    let bar = ProgressBar::new((EPOCHS * steps) as u64)
        .with_style(ProgressStyle::with_template("{bar:32} {pos}/{len} steps, {elapsed}, loss {msg}")?);
    for _ in 0..EPOCHS {
        shuffle.apply(&mut order);
        for rows in order.chunks_exact(BATCH) {
            let (x, y) = data.rows(rows)?;
            let (next, out) = program.step(state, &inputs! { x: x, y: y })?;
            state = next;
            bar.inc(1);
            if let Some(loss) = out.get("loss") {
                bar.set_message(format!("{:.4}", loss.to_f64()[0]));
            }
        }
    }
    bar.finish();
    Ok(state.params())
}

/// The share of images whose label the model finds.
fn evaluate(model: &nn::Model, params: &Params, data: &Digits) -> Result<f64, Box<dyn Error>> {
    let count = data.labels.len();
    let traced = nn::trace(model, &inputs! { x: f32[count, FEATURES] }, Mode::Inference)?;
    let program = compile(&traced.into(), &BTreeMap::new(), &Cpu::default(), &Options::default())?;
    let (x, _) = data.rows(&(0..count).collect::<Vec<_>>())?;
    let out = program.run(params, &inputs! { x: x })?;
    let logits = out.get("logits").ok_or("the model has no output `logits`")?.to_f64();
    let best = |row: &[f64]| (0..row.len()).max_by(|i, j| row[*i].total_cmp(&row[*j])).map(|i| i as i64);
    let right = logits.chunks(10).zip(&data.labels).filter(|(row, label)| best(row) == Some(**label)).count();
    Ok(right as f64 / count as f64)
}

fn save(path: &Path, params: &Params) -> Result<(), Box<dyn Error>> {
    let tensors = params.tensors()?.into_iter().map(|(name, tensor)| (name.to_string(), tensor));
    safetensors::write(path, &TensorFile { tensors: tensors.collect(), ..TensorFile::default() })?;
    Ok(())
}

fn load(path: &Path) -> Result<Params, Box<dyn Error>> {
    let tensors = safetensors::read(path)?.tensors;
    Ok(Params::new(tensors.into_iter().map(|(name, tensor)| (name.into(), tensor))))
}

/// Images of 8 × 8 pixels, scaled to [0, 1], and what they show.
struct Digits {
    images: Vec<f32>,
    labels: Vec<i64>,
}

impl Digits {
    fn read(path: &Path) -> Result<Digits, Box<dyn Error>> {
        let hint = "write it with `python examples/export_digits.py target/digits.safetensors`";
        let mut file = safetensors::Reader::open(path).map_err(|e| format!("{e}; {hint}"))?;
        let (images, labels) = (file.tensor("images")?, file.tensor("labels")?);
        let rows = labels.len();
        let fits = images.dims() == [rows, FEATURES] && labels.dims() == [rows];
        match (images.try_as_slice::<f32>(), labels.try_as_slice::<i64>()) {
            (Some(pixels), Some(labels)) if fits => {
                Ok(Digits { images: pixels.to_vec(), labels: labels.to_vec() })
            }
            _ => Err(format!(
                "{} holds images {} and labels {}, not f32[n, {FEATURES}] and i64[n]; {hint}",
                path.display(),
                images.ty(),
                labels.ty()
            )
            .into()),
        }
    }

    /// Four fifths to train on and the rest, in a fixed random order: writers follow one another in the file.
    fn split(self) -> (Digits, Digits) {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        Shuffle(0).apply(&mut order);
        let (held_out, train) = order.split_at(order.len() / 5);
        let part = |rows: &[usize]| Digits {
            images: rows.iter().flat_map(|row| self.image(*row)).copied().collect(),
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
        };
        (part(train), part(held_out))
    }

    fn image(&self, row: usize) -> &[f32] {
        &self.images[row * FEATURES..(row + 1) * FEATURES]
    }

    /// The images and labels of these rows as tensors.
    fn rows(&self, rows: &[usize]) -> Result<(HostTensor, HostTensor), Box<dyn Error>> {
        let images: Vec<f32> = rows.iter().flat_map(|row| self.image(*row)).copied().collect();
        let labels: Vec<i64> = rows.iter().map(|row| self.labels[*row]).collect();
        Ok((
            HostTensor::from_slice(&[rows.len(), FEATURES], &images)?,
            HostTensor::from_slice(&[rows.len()], &labels)?,
        ))
    }
}

/// A shuffle that is the same everywhere: Fisher and Yates with the generator of Steele, Lea and Flood (SplitMix64).
struct Shuffle(u64);

impl Shuffle {
    fn apply(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
