//! How a workspace becomes a model.

/// What is chosen beyond the workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// The measurement; the first one by default.
    pub measurement: Option<String>,
    /// The parameter of interest.
    pub poi: Poi,
    /// How variations are interpolated.
    pub settings: ModifierSettings,
    /// Each sample's rate in each bin is raised to at least this. As in pyhf, a sample that a channel has not counts as one with
    /// rate 0.
    pub clip_sample_data: Option<f64>,
    /// Each bin's rate is raised to at least this.
    pub clip_bin_data: Option<f64>,
}

/// Which parameter is of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Poi {
    /// The measurement's.
    #[default]
    Measurement,
    /// This one.
    Name(String),
    /// None.
    None,
}

/// How variations are interpolated.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModifierSettings {
    /// How normsys factors are.
    pub normsys: NormsysCode,
    /// How histosys yields are.
    pub histosys: HistosysCode,
}

/// Interpolation of factors at −1 and +1; the factor at 0 is 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum NormsysCode {
    /// Piecewise exponential, hi^α above 0 and lo^−α below. At the kink 0 the derivative is the lower branch's, −ln lo.
    Code1,
    /// A polynomial of degree 6 within ±1 that continues the exponentials twice differentiably.
    Code4,
}

/// Interpolation of yields at −1 and +1: what is added to the nominal ones, with Δ↑ = up − nominal, Δ↓ = nominal − down.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum HistosysCode {
    /// Piecewise linear: αΔ↑ above 0 and αΔ↓ below. At the kink 0 the derivative is the lower branch's, Δ↓.
    Code0,
    /// Quadratic within ±1, with a = ½(Δ↑ − Δ↓), b = ½(Δ↑ + Δ↓): aα² + bα; beyond, as pyhf computes it, (b + 2a)(α − 1) above
    /// 1 and (b − 2a)α below −1. It jumps at ±1, where value and derivative are the quadratic's.
    Code2,
    /// A polynomial of degree 6 within ±1 that continues the lines of code 0 twice differentiably.
    Code4p,
}

impl Default for ModifierSettings {
    fn default() -> ModifierSettings {
        ModifierSettings { normsys: NormsysCode::Code4, histosys: HistosysCode::Code4p }
    }
}

impl ModifierSettings {
    /// What pyhf does with settings that name only some modifier types: the others get the types' own defaults, codes 1 and 0,
    /// and not those of [`ModifierSettings::default`].
    pub fn given(normsys: Option<NormsysCode>, histosys: Option<HistosysCode>) -> ModifierSettings {
        ModifierSettings {
            normsys: normsys.unwrap_or(NormsysCode::Code1),
            histosys: histosys.unwrap_or(HistosysCode::Code0),
        }
    }
}

impl NormsysCode {
    /// The code of this name: `code1` or `code4`.
    pub fn parse(name: &str) -> Option<NormsysCode> {
        match name {
            "code1" => Some(NormsysCode::Code1),
            "code4" => Some(NormsysCode::Code4),
            _ => None,
        }
    }
}

impl HistosysCode {
    /// The code of this name: `code0`, `code2` or `code4p`.
    pub fn parse(name: &str) -> Option<HistosysCode> {
        match name {
            "code0" => Some(HistosysCode::Code0),
            "code2" => Some(HistosysCode::Code2),
            "code4p" => Some(HistosysCode::Code4p),
            _ => None,
        }
    }
}
