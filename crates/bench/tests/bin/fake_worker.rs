//! A worker for the tests: computes with the float64 reference, and misbehaves as the variable `FAULT` says.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wootz_bench::cases::{CaseData, Target, Tensor};
use wootz_bench::protocol::{Failure, FailureKind, Loss, Phase, Setup, TensorFile};
use wootz_bench::reference::{Reference, reference};
use wootz_bench::worker::{Marks, Session, WorkerModel, serve};

struct Fake {
    fault: String,
}

struct FakeSession {
    data: CaseData,
    result: Reference,
    fault: String,
    steps: usize,
}

fn main() -> io::Result<()> {
    serve(&Fake { fault: env::var("FAULT").unwrap_or_default() })
}

impl WorkerModel for Fake {
    type Session = FakeSession;

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("fake".to_owned(), "1".to_owned())])
    }

    fn prepare(&self, setup: &Setup, marks: &mut Marks) -> Result<FakeSession, Failure> {
        if let Some(folder) = env::var_os("OBSERVE").map(PathBuf::from) {
            let journal = fs::read_to_string(folder.join(wootz_bench::JOURNAL_FILE))?;
            let seen = fs::read_to_string(folder.join("seen")).unwrap_or_default();
            fs::write(folder.join("seen"), format!("{seen}{}\n", journal.lines().count() - 1))?;
        }
        if self.fault == "unsupported" {
            return Err(Failure::unsupported("not for me"));
        }
        if self.fault == "missing" {
            return Err(Failure { kind: FailureKind::Missing, message: "not here".to_owned() });
        }
        let read = |file: &TensorFile| -> io::Result<Tensor> {
            Ok(Tensor { name: file.name.clone(), shape: file.shape.clone(), values: file.read_f32()? })
        };
        let target = match (&setup.target, setup.case.model.loss) {
            (None, _) => Target::Labels(Vec::new()),
            (Some(file), Loss::CrossEntropy) => Target::Labels(file.read_i64()?),
            (Some(file), Loss::Mse) => Target::Values(read(file)?),
        };
        let data = CaseData {
            parameters: setup.parameters.iter().map(read).collect::<io::Result<_>>()?,
            input: read(&setup.input)?,
            target,
        };
        marks.end(Phase::Load);
        let result = reference(&setup.case, &data);
        marks.end(Phase::Compile);
        Ok(FakeSession { data, result, fault: self.fault.clone(), steps: 0 })
    }
}

/// Writes down whose turn it is, if another's was written last: `TURNS` is the file, `NAME` who writes.
fn take_turn() -> io::Result<()> {
    let (Some(file), Ok(name)) = (env::var_os("TURNS"), env::var("NAME")) else { return Ok(()) };
    let turns = fs::read_to_string(&file).unwrap_or_default();
    if turns.lines().last() == Some(&name) {
        return Ok(());
    }
    fs::write(file, format!("{turns}{name}\n"))
}

impl Session for FakeSession {
    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        take_turn()?;
        if self.fault == "late" && self.steps > 3 {
            eprintln!("out of breath");
            std::process::exit(3);
        }
        std::thread::sleep(std::time::Duration::from_micros(20));
        Ok(())
    }

    fn outputs(&mut self, directory: &Path) -> Result<Vec<TensorFile>, Failure> {
        let skew = |fault: &str| if self.fault == fault { 1.01 } else { 1.0 };
        let mut files = Vec::new();
        match &self.result {
            Reference::Inference { output } => {
                let mut values: Vec<f32> = output.iter().map(|v| (v * skew("output")) as f32).collect();
                if self.fault == "nan" {
                    values[0] = f32::NAN;
                }
                let name = if self.fault == "absent" { "something" } else { "output" };
                files.push(TensorFile::write_f32(directory, name, &[values.len()], &values)?);
            }
            Reference::Training { loss, updates } => {
                files.push(TensorFile::write_f32(directory, "loss", &[], &[(loss * skew("loss")) as f32])?);
                for (parameter, update) in self.data.parameters.iter().zip(updates) {
                    let moved = |(p, u): (&f32, &f64)| (f64::from(*p) + u * skew("update")) as f32;
                    let values: Vec<f32> = parameter.values.iter().zip(update).map(moved).collect();
                    files.push(TensorFile::write_f32(directory, &parameter.name, &parameter.shape, &values)?);
                }
            }
        }
        Ok(files)
    }
}
