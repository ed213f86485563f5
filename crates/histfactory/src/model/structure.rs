//! A model's templates and where they act, as flat arrays.
//!
//! A *block* is a sample of a channel, a *cell* one bin of a block, an *element* one bin of a histosys entry, an *entry* one modifier on one
//! block. Everything is in the order of channel, sample, modifier, bin.

use super::config::Constraint;
use super::parameters::Resolved;
use super::walk::Walk;
use crate::workspace::ModifierKind;
use std::collections::HashMap;
use std::ops::Range;

/// The templates of a model and where they act.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Structure {
    pub(crate) bins: usize,
    /// The number of samples that a bin's channel has not, for each bin.
    pub(crate) absent: Vec<usize>,
    pub(crate) blocks: Vec<Block>,
    /// One a cell.
    pub(crate) nominal: Vec<f64>,
    /// Which block a cell belongs to.
    pub(crate) cell_block: Vec<usize>,
    /// Which bin a cell belongs to.
    pub(crate) cell_bin: Vec<usize>,
    /// One an entry, and the yields, one an element.
    pub(crate) histosys: Vec<HistosysEntry>,
    pub(crate) histosys_lo: Vec<f64>,
    pub(crate) histosys_hi: Vec<f64>,
    /// One an entry.
    pub(crate) normsys: Vec<NormsysEntry>,
    pub(crate) normsys_lo: Vec<f64>,
    pub(crate) normsys_hi: Vec<f64>,
    /// Normfactor and lumi: (block, parameter).
    pub(crate) block_factors: Vec<(usize, usize)>,
    /// Shapefactor, shapesys and staterror: (cell, parameter).
    pub(crate) cell_factors: Vec<(usize, usize)>,
    /// One a bin of a staterror modifier, and the absolute errors.
    pub(crate) staterror: Vec<StatisticalElement>,
    pub(crate) staterror_errors: Vec<f64>,
    /// One a bin of a shapesys modifier, and the absolute errors.
    pub(crate) shapesys: Vec<StatisticalElement>,
    pub(crate) shapesys_errors: Vec<f64>,
    pub(crate) constraints: Constraints,
}

/// A sample of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) channel: usize,
    pub(crate) sample: usize,
    pub(crate) cells: Range<usize>,
}

/// A histosys modifier on a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistosysEntry {
    pub(crate) block: usize,
    pub(crate) parameter: usize,
    /// Its elements, one a bin of the block.
    pub(crate) elements: Range<usize>,
}

/// A normsys modifier on a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct NormsysEntry {
    pub(crate) block: usize,
    pub(crate) parameter: usize,
}

/// One bin of a staterror or shapesys modifier on a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatisticalElement {
    pub(crate) cell: usize,
    /// The position among the normal (staterror) or Poisson (shapesys) constraint terms.
    pub(crate) term: usize,
}

/// The constraint terms, in the order of parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// N(auxiliary | parameter, width).
    pub normal: Vec<NormalTerm>,
    /// Poisson(auxiliary | rate · parameter).
    pub poisson: Vec<PoissonTerm>,
}

/// A normal auxiliary measurement.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct NormalTerm {
    /// The position of the parameter.
    pub parameter: usize,
    /// The position of the datum in the auxiliary data.
    pub auxiliary: usize,
    /// The standard deviation at nominal.
    pub width: f64,
    /// Whether the width follows the templates (a staterror with an error) or is a constant.
    pub derived: bool,
}

/// A Poisson auxiliary measurement.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct PoissonTerm {
    /// The position of the parameter.
    pub parameter: usize,
    /// The position of the datum in the auxiliary data.
    pub auxiliary: usize,
    /// The factor τ at nominal.
    pub rate: f64,
    /// Whether the factor follows the templates (a shapesys with yield and error) or is a constant.
    pub derived: bool,
    /// Whether the auxiliary datum at nominal is the factor, and so follows the templates too.
    pub auxdata_derived: bool,
}

impl Structure {
    pub(super) fn build(walk: &Walk<'_>, sets: &[Resolved]) -> Structure {
        let by_name: HashMap<&str, &Resolved> = sets.iter().map(|s| (s.set.name.as_str(), s)).collect();
        let mut out = Structure { constraints: constraints(sets), ..Structure::default() };
        let normal_of: HashMap<usize, usize> =
            out.constraints.normal.iter().enumerate().map(|(i, t)| (t.parameter, i)).collect();
        let poisson_of: HashMap<usize, usize> =
            out.constraints.poisson.iter().enumerate().map(|(i, t)| (t.parameter, i)).collect();
        let first_bins = out.count_bins(walk);
        // The bins of a staterror's channels come one after another.
        let mut next_staterror: HashMap<&str, (usize, usize)> = HashMap::new();
        for block in &walk.blocks {
            let bins = walk.bins(block);
            let cells = out.nominal.len()..out.nominal.len() + bins;
            let index = out.blocks.len();
            out.nominal.extend_from_slice(&block.data.data);
            out.cell_block.extend(std::iter::repeat_n(index, bins));
            out.cell_bin.extend((0..bins).map(|b| first_bins[block.channel] + b));
            for modifier in &block.modifiers {
                let first = by_name[modifier.name.as_str()].set.slice.start;
                match &modifier.kind {
                    ModifierKind::Lumi | ModifierKind::Normfactor => out.block_factors.push((index, first)),
                    ModifierKind::Normsys { hi, lo } => {
                        out.normsys.push(NormsysEntry { block: index, parameter: first });
                        out.normsys_hi.push(hi.value);
                        out.normsys_lo.push(lo.value);
                    }
                    ModifierKind::Histosys { hi_data, lo_data } => {
                        let elements = out.histosys_hi.len()..out.histosys_hi.len() + bins;
                        out.histosys.push(HistosysEntry { block: index, parameter: first, elements });
                        out.histosys_hi.extend_from_slice(hi_data);
                        out.histosys_lo.extend_from_slice(lo_data);
                    }
                    ModifierKind::Shapefactor => {
                        out.cell_factors.extend(cells.clone().enumerate().map(|(b, cell)| (cell, first + b)));
                    }
                    ModifierKind::Shapesys(errors) => {
                        for (b, cell) in cells.clone().enumerate() {
                            out.cell_factors.push((cell, first + b));
                            out.shapesys.push(StatisticalElement { cell, term: poisson_of[&(first + b)] });
                        }
                        out.shapesys_errors.extend_from_slice(errors);
                    }
                    ModifierKind::Staterror(errors) => {
                        let (channel, offset) =
                            next_staterror.entry(&modifier.name).or_insert((block.channel, 0));
                        if *channel != block.channel {
                            *offset += walk.channels[*channel].bins();
                            *channel = block.channel;
                        }
                        for (b, cell) in cells.clone().enumerate() {
                            let parameter = first + *offset + b;
                            out.cell_factors.push((cell, parameter));
                            out.staterror.push(StatisticalElement { cell, term: normal_of[&parameter] });
                        }
                        out.staterror_errors.extend_from_slice(errors);
                    }
                }
            }
            out.blocks.push(Block { channel: block.channel, sample: block.sample, cells });
        }
        out.mark_derived(sets);
        out
    }

    /// The first bin of each channel.
    fn count_bins(&mut self, walk: &Walk<'_>) -> Vec<usize> {
        let mut first = Vec::with_capacity(walk.channels.len());
        for channel in &walk.channels {
            first.push(self.bins);
            self.bins += channel.bins();
            let absent = walk.samples.len() - channel.samples.len();
            self.absent.extend(std::iter::repeat_n(absent, channel.bins()));
        }
        first
    }

    /// Widths and factors follow the templates unless the measurement gives them or there is no uncertainty.
    fn mark_derived(&mut self, sets: &[Resolved]) {
        // Sets are in the order of their parameters and leave no gaps.
        let owner: Vec<&Resolved> =
            sets.iter().flat_map(|s| std::iter::repeat_n(s, s.set.slice.len())).collect();
        let mut total: HashMap<usize, (f64, f64)> = HashMap::new();
        for (element, error) in self.staterror.iter().zip(&self.staterror_errors) {
            let sums = total.entry(element.term).or_insert((0.0, 0.0));
            sums.0 += self.nominal[element.cell];
            sums.1 += error * error;
        }
        for (term, (nominal, squares)) in total {
            let term = &mut self.constraints.normal[term];
            term.derived = nominal > 0.0 && squares > 0.0 && !owner[term.parameter].scales_given;
        }
        for (element, error) in self.shapesys.iter().zip(&self.shapesys_errors) {
            let term = &mut self.constraints.poisson[element.term];
            let valid = self.nominal[element.cell] > 0.0 && *error > 0.0;
            let set = owner[term.parameter];
            term.derived = valid && !set.scales_given;
            term.auxdata_derived = valid && !set.auxdata_given;
        }
    }
}

fn constraints(sets: &[Resolved]) -> Constraints {
    let mut out = Constraints::default();
    for set in sets {
        let places = set.set.slice.clone().zip(set.set.auxiliary.clone()).zip(&set.scales);
        for ((parameter, auxiliary), scale) in places {
            match set.set.constraint {
                Constraint::None => {}
                Constraint::Normal => {
                    out.normal.push(NormalTerm { parameter, auxiliary, width: *scale, derived: false })
                }
                Constraint::Poisson => out.poisson.push(PoissonTerm {
                    parameter,
                    auxiliary,
                    rate: *scale,
                    derived: false,
                    auxdata_derived: false,
                }),
            }
        }
    }
    out
}
