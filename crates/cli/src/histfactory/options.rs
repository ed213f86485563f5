//! Options of statistical inference: how rates are computed, and how fits are made.

use anyhow::{Result, bail};
use wootz::histfactory::{Config, FitOptions, HistosysCode, ModelOptions, ModifierSettings, NormsysCode};

/// How rates are computed.
#[derive(clap::Args)]
pub(crate) struct Rates {
    /// How normsys factors are interpolated: code1, code4 [default: code4]
    #[arg(long, value_name = "CODE", value_parser = parse_normsys)]
    normsys_code: Option<NormsysCode>,
    /// How histosys yields are interpolated: code0, code2, code4p [default: code4p]
    #[arg(long, value_name = "CODE", value_parser = parse_histosys)]
    histosys_code: Option<HistosysCode>,
    /// Raise each sample's rate in each bin to at least this
    #[arg(long, value_name = "RATE", value_parser = parse_number)]
    clip_sample_data: Option<f64>,
    /// Raise each bin's rate to at least this
    #[arg(long, value_name = "RATE", value_parser = parse_number)]
    clip_bin_data: Option<f64>,
}

impl Rates {
    pub(crate) fn options(&self) -> ModelOptions {
        let default = ModifierSettings::default();
        ModelOptions {
            settings: ModifierSettings {
                normsys: self.normsys_code.unwrap_or(default.normsys),
                histosys: self.histosys_code.unwrap_or(default.histosys),
            },
            clip_sample_data: self.clip_sample_data,
            clip_bin_data: self.clip_bin_data,
            ..ModelOptions::default()
        }
    }
}

fn parse_normsys(name: &str) -> Result<NormsysCode, String> {
    NormsysCode::parse(name).ok_or_else(|| "there are: code1, code4".to_owned())
}

fn parse_histosys(name: &str) -> Result<HistosysCode, String> {
    HistosysCode::parse(name).ok_or_else(|| "there are: code0, code2, code4p".to_owned())
}

/// How fits are made.
#[derive(clap::Args)]
pub(crate) struct Fits {
    /// Hold a parameter at a value, at its initial one by default (repeatable). The name of a set of parameters stands for each of them
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = Setting::optional)]
    fix: Vec<Setting<Option<f64>>>,
    /// Start fits at another value of a parameter (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = Setting::value)]
    init: Vec<Setting<f64>>,
    /// Other bounds of a parameter (repeatable)
    #[arg(long, value_name = "NAME=LOW,HIGH", value_parser = Setting::pair)]
    bounds: Vec<Setting<(f64, f64)>>,
    /// The largest gradient component at a fit's end, in units of the square root of its curvature
    #[arg(long, value_name = "X", default_value_t = FitOptions::TOLERANCE)]
    tolerance: f64,
    /// The most iterations of a fit
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().max_iterations)]
    max_iterations: usize,
    /// The most starting points where a fit may have several minima
    #[arg(long, value_name = "N", default_value_t = FitOptions::STARTS)]
    starts: usize,
}

impl Fits {
    pub(crate) fn options(&self, config: &Config) -> Result<FitOptions> {
        let Fits { tolerance, max_iterations, starts, .. } = *self;
        let mut options = FitOptions { tolerance, max_iterations, starts, ..FitOptions::default() };
        if !self.bounds.is_empty() {
            let bounds = options.bounds.insert(config.bounds.clone());
            for setting in &self.bounds {
                setting.positions(config)?.for_each(|i| bounds[i] = setting.value);
            }
        }
        let held = self.fix.iter().filter_map(|s| Some(Setting { name: s.name.clone(), value: s.value? }));
        let values: Vec<_> = self.init.iter().cloned().chain(held).collect();
        if !values.is_empty() {
            let init = options.init.insert(config.init.clone());
            for setting in &values {
                setting.positions(config)?.for_each(|i| init[i] = setting.value);
            }
        }
        if !self.fix.is_empty() {
            let fixed = options.fixed.insert(config.fixed.clone());
            for setting in &self.fix {
                setting.positions(config)?.for_each(|i| fixed[i] = true);
            }
        }
        Ok(options)
    }
}

/// Something said of a parameter.
#[derive(Clone)]
struct Setting<T> {
    name: String,
    value: T,
}

impl<T> Setting<T> {
    /// The parameters it is about: that of its name, or all of the set of its name.
    fn positions(&self, config: &Config) -> Result<std::ops::Range<usize>> {
        if let Some(at) = config.names.iter().position(|name| *name == self.name) {
            return Ok(at..at + 1);
        }
        match config.parameter_set(&self.name) {
            Some(set) => Ok(set.slice.clone()),
            None => bail!("there is no parameter `{}`; there are: {}", self.name, config.names.join(", ")),
        }
    }
}

impl Setting<Option<f64>> {
    fn optional(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            None => Ok(Setting { name: text.to_owned(), value: None }),
            Some((name, value)) => Ok(Setting { name: name.to_owned(), value: Some(parse_number(value)?) }),
        }
    }
}

impl Setting<f64> {
    fn value(text: &str) -> Result<Self, String> {
        let (name, value) = text.rsplit_once('=').ok_or("a value is missing: NAME=VALUE")?;
        Ok(Setting { name: name.to_owned(), value: parse_number(value)? })
    }
}

impl Setting<(f64, f64)> {
    fn pair(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('=');
        let parts = parts.and_then(|(name, pair)| Some((name, pair.split_once(',')?)));
        let (name, (low, high)) = parts.ok_or("bounds are missing: NAME=LOW,HIGH")?;
        Ok(Setting { name: name.to_owned(), value: (parse_bound(low)?, parse_bound(high)?) })
    }
}

fn parse_number(text: &str) -> Result<f64, String> {
    let value = parse_bound(text)?;
    if value.is_finite() { Ok(value) } else { Err(format!("`{text}` is not finite")) }
}

/// Bounds may be infinite.
fn parse_bound(text: &str) -> Result<f64, String> {
    let value: f64 = text.trim().parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_nan() { Err(format!("`{text}` is not a number")) } else { Ok(value) }
}
