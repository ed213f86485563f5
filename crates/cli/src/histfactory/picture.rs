//! Pictures of results, as SVG and PNG.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use resvg::{tiny_skia, usvg};
use wootz::histfactory::{Impact, Model, Prediction, Pull, Scan};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
const BLUE_BAND: RGBColor = RGBColor(86, 180, 233);
const ONE_SIGMA: RGBColor = RGBColor(0, 158, 115);
const TWO_SIGMA: RGBColor = RGBColor(240, 228, 66);
const ROW: u32 = 18;

/// What plotters says, without its type, which names the backend.
fn drawn<T, E: std::error::Error + Send + Sync>(result: Result<T, DrawingAreaErrorKind<E>>) -> Result<T> {
    result.map_err(|error| anyhow!("cannot draw: {error}"))
}

/// Pixels of a PNG for each unit of the SVG.
const SCALE: f32 = 2.0;

/// The form of a picture.
#[derive(Clone, Copy)]
enum Form {
    Svg,
    Png,
}

impl Form {
    fn of(path: &Path) -> Result<Form> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("svg") => Ok(Form::Svg),
            Some("png") => Ok(Form::Png),
            _ => Err(anyhow!(
                "{}: pictures are SVG or PNG; give a name that ends in .svg or .png",
                path.display()
            )),
        }
    }
}

/// Refuses names of pictures that are of no known form, before any work is done for them.
pub(super) fn check<'a>(paths: impl IntoIterator<Item = &'a Option<PathBuf>>) -> Result<()> {
    paths.into_iter().flatten().try_for_each(|path| Form::of(path).map(|_| ()))
}

/// Draws to a file; its name says in which form.
fn draw(path: &Path, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let form = Form::of(path)?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        drawn(area.fill(&WHITE))?;
        paint(&area)?;
        drawn(area.present())?;
    }
    let bytes = match form {
        Form::Svg => text.into_bytes(),
        Form::Png => png(&text).context("cannot turn the picture into a PNG")?,
    };
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The pixels of an SVG. Its font comes with the binary, so that a picture does not depend on those of the machine.
fn png(svg: &str) -> Result<Vec<u8>> {
    let mut options = usvg::Options::default();
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    let family = fonts.faces().next().and_then(|face| face.families.first()).map(|(name, _)| name.clone());
    if let Some(family) = family {
        fonts.set_sans_serif_family(&family);
        options.font_family = family;
    }
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("it has no size")?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).context("it is too large")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}

/// Pulls and constraints of parameters.
pub(super) fn pulls(path: &Path, names: &[String], pulls: &[Option<Pull>]) -> Result<()> {
    let rows: Vec<(&str, Pull)> =
        names.iter().zip(pulls).filter_map(|(name, pull)| Some((name.as_str(), (*pull)?))).collect();
    let size = (640, 70 + ROW * rows.len() as u32);
    draw(path, size, |area| pull_rows(area, &rows, "(best fit − measurement) / uncertainty before the fit"))
}

fn pull_rows(area: &Area<'_>, rows: &[(&str, Pull)], title: &str) -> Result<()> {
    let reach = rows.iter().map(|(_, p)| p.value.abs() + p.uncertainty).fold(2.5, f64::max);
    let count = rows.len();
    let names = |row: &f64| row_name(*row, count, |i| rows[i].0);
    let mut chart = drawn(
        ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(160)
            .build_cartesian_2d(-reach..reach, 0.0..count.max(1) as f64),
    )?;
    for (sigmas, colour) in [(2.0, TWO_SIGMA), (1.0, ONE_SIGMA)] {
        let band = Rectangle::new([(-sigmas, 0.0), (sigmas, count as f64)], colour.mix(0.4).filled());
        drawn(chart.draw_series([band]))?;
    }
    drawn(
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(2 * count + 1)
            .y_label_formatter(&names)
            .x_desc(title)
            .label_style((FONT, 12))
            .draw(),
    )?;
    drawn(chart.draw_series(rows.iter().enumerate().flat_map(|(i, (_, pull))| {
        let y = row_centre(i, count);
        let ends = [(pull.value - pull.uncertainty, y), (pull.value + pull.uncertainty, y)];
        [PathElement::new(ends, BLACK).into_dyn(), Circle::new((pull.value, y), 3, BLACK.filled()).into_dyn()]
    })))?;
    Ok(())
}

/// Rows are numbered from the top.
fn row_centre(row: usize, count: usize) -> f64 {
    (count - row) as f64 - 0.5
}

fn row_name<'a>(at: f64, count: usize, name: impl Fn(usize) -> &'a str) -> String {
    let row = count as f64 - at - 0.5;
    let is_row = row >= 0.0 && (row - row.round()).abs() < 1e-6 && (row.round() as usize) < count;
    if is_row { name(row.round() as usize).to_owned() } else { String::new() }
}

/// Impacts on the parameter of interest, and pulls beside them.
pub(super) fn ranking(
    path: &Path,
    names: &[String],
    impacts: &[Impact],
    pulls: &[Option<Pull>],
) -> Result<()> {
    let count = impacts.len();
    draw(path, (900, 70 + ROW * count as u32), |area| {
        let (left, right) = area.split_horizontally(520);
        let sizes = impacts.iter().flat_map(|i| i.prefit.into_iter().chain([i.postfit]).flatten());
        let reach = 1.1 * sizes.map(f64::abs).fold(1e-12, f64::max);
        let label = |row: &f64| row_name(*row, count, |i| &names[impacts[i].parameter]);
        let mut chart = drawn(
            ChartBuilder::on(&left)
                .margin(8)
                .x_label_area_size(36)
                .y_label_area_size(160)
                .build_cartesian_2d(-reach..reach, 0.0..count.max(1) as f64),
        )?;
        drawn(
            chart
                .configure_mesh()
                .disable_y_mesh()
                .y_labels(2 * count + 1)
                .y_label_formatter(&label)
                .x_desc("impact (outlined: before the fit)")
                .label_style((FONT, 12))
                .draw(),
        )?;
        drawn(chart.draw_series(impacts.iter().enumerate().flat_map(|(i, impact)| {
            let y = row_centre(i, count);
            let bar = move |x: f64, half: f64| [(0.0, y - half), (x, y + half)];
            let after = impact.postfit.into_iter().zip([ONE_SIGMA, BLUE_BAND]);
            let after = after.map(move |(x, colour)| Rectangle::new(bar(x, 0.3), colour.filled()));
            let before = impact.prefit.into_iter().flatten().zip([ONE_SIGMA, BLUE_BAND]);
            after.chain(before.map(move |(x, colour)| Rectangle::new(bar(x, 0.4), colour.stroke_width(1))))
        })))?;
        let beside = |i: &Impact| {
            let none = Pull { value: 0.0, uncertainty: 0.0 };
            ("", pulls.get(i.parameter).copied().flatten().unwrap_or(none))
        };
        pull_rows(&right, &impacts.iter().map(beside).collect::<Vec<_>>(), "pull")
    })
}

/// Correlations of parameters that have a variance.
pub(super) fn correlations(path: &Path, names: &[String], covariance: &[f64]) -> Result<()> {
    let n = names.len();
    let kept: Vec<usize> = (0..n).filter(|i| covariance[i * n + i] > 0.0).collect();
    let count = kept.len();
    let side = 200 + ROW * count as u32;
    draw(path, (side, side), |area| {
        let of = |i: usize| names[kept[i]].as_str();
        let row = |y: &f64| row_name(*y, count, of);
        let span = || 0.0..count.max(1) as f64;
        let mut chart = drawn(
            ChartBuilder::on(area)
                .margin(8)
                .x_label_area_size(150)
                .y_label_area_size(150)
                .build_cartesian_2d(span(), span()),
        )?;
        let style = || (FONT, 12).into_font();
        drawn(
            chart
                .configure_mesh()
                .disable_mesh()
                .x_labels(0)
                .y_labels(2 * count + 1)
                .y_label_formatter(&row)
                .y_label_style(style())
                .draw(),
        )?;
        // Names of columns hang from the axis; the mesh would centre them on it.
        let hanging = TextStyle::from(style().transform(FontTransform::Rotate90));
        let hanging = hanging.pos(Pos::new(HPos::Left, VPos::Center));
        for column in 0..count {
            let (x, y) = chart.backend_coord(&(column as f64 + 0.5, 0.0));
            drawn(area.draw_text(of(column), &hanging, (x, y + 8)))?;
        }
        drawn(chart.draw_series((0..count * count).map(|cell| {
            let (i, j) = (cell / count, cell % count);
            let (a, b) = (kept[i], kept[j]);
            let r = covariance[a * n + b] / (covariance[a * n + a] * covariance[b * n + b]).sqrt();
            let colour = if r < 0.0 { BLUE_BAND } else { RGBColor(213, 94, 0) };
            let y = row_centre(i, count);
            let corners = [(j as f64, y - 0.5), (j as f64 + 1.0, y + 0.5)];
            Rectangle::new(corners, colour.mix(r.abs().min(1.0)).filled())
        })))?;
        Ok(())
    })
}

/// CLs with the expected band.
pub(super) fn cls(path: &Path, poi: &str, level: f64, scan: &Scan) -> Result<()> {
    let Some((first, last)) = scan.tests.first().zip(scan.tests.last()) else { return Ok(()) };
    draw(path, (720, 480), |area| {
        let mut chart = drawn(
            ChartBuilder::on(area)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(48)
                .build_cartesian_2d(first.mu..last.mu, 0.0..1.0),
        )?;
        let ring = |low: usize, high: usize| {
            let up = scan.tests.iter().map(|t| (t.mu, t.expected[high]));
            let down = scan.tests.iter().rev().map(|t| (t.mu, t.expected[low]));
            up.chain(down).collect::<Vec<_>>()
        };
        for (low, high, colour) in [(0, 4, TWO_SIGMA), (1, 3, ONE_SIGMA)] {
            drawn(chart.draw_series([Polygon::new(ring(low, high), colour.mix(0.7))]))?;
        }
        drawn(
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .x_desc(poi)
                .y_desc("CLs")
                .label_style((FONT, 14))
                .draw(),
        )?;
        let line = |of: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
            scan.tests.iter().enumerate().map(|(i, t)| (t.mu, of(i))).collect()
        };
        let median = line(&|i| scan.tests[i].expected[2]);
        let dashes = median.chunks(2).filter(|c| c.len() == 2).map(|c| PathElement::new(c.to_vec(), BLACK));
        drawn(chart.draw_series(dashes))?;
        let observed = line(&|i| scan.tests[i].observed);
        drawn(chart.draw_series([PathElement::new(observed.clone(), BLACK.stroke_width(2))]))?;
        drawn(chart.draw_series(observed.iter().map(|at| Circle::new(*at, 2, BLACK.filled()))))?;
        let threshold = vec![(first.mu, level), (last.mu, level)];
        drawn(chart.draw_series([PathElement::new(threshold, RED)]))?;
        Ok(())
    })
}

/// −2 ln λ of a parameter, with the levels of one and two standard deviations.
pub(super) fn likelihood(path: &Path, name: &str, values: &[f64], rises: &[f64]) -> Result<()> {
    let Some((first, last)) = values.first().zip(values.last()) else { return Ok(()) };
    let top = 1.05 * rises.iter().copied().fold(1e-9, f64::max);
    draw(path, (720, 480), |area| {
        let mut chart = drawn(
            ChartBuilder::on(area)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(48)
                .build_cartesian_2d(*first..*last, rises.iter().copied().fold(0.0, f64::min)..top),
        )?;
        drawn(
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .x_desc(name)
                .y_desc("−2 ln λ")
                .label_style((FONT, 14))
                .draw(),
        )?;
        for level in [1.0, 4.0].into_iter().filter(|level| *level < top) {
            drawn(chart.draw_series([PathElement::new([(*first, level), (*last, level)], RED)]))?;
        }
        let line: Vec<(f64, f64)> = values.iter().copied().zip(rises.iter().copied()).collect();
        drawn(chart.draw_series([PathElement::new(line.clone(), BLACK.stroke_width(2))]))?;
        drawn(chart.draw_series(line.into_iter().map(|at| Circle::new(at, 2, BLACK.filled()))))?;
        Ok(())
    })
}

/// Stacked yields with counts, before and after a fit, one row a channel.
pub(super) fn yields(
    path: &Path,
    title: &str,
    model: &Model,
    data: &[f64],
    before: &Prediction,
    after: &Prediction,
) -> Result<()> {
    let config = model.config();
    let channels = &config.channels;
    draw(path, (900, 40 + 260 * channels.len() as u32), |area| {
        let area = drawn(area.titled(title, (FONT, 18)))?;
        let panels = area.split_evenly((channels.len(), 2));
        for (i, panel) in panels.iter().enumerate() {
            let (prediction, when) = if i % 2 == 0 { (before, "before") } else { (after, "after") };
            let channel = &channels[i / 2];
            let title = format!("{}, {when} the fit", channel.name);
            panel_of_yields(panel, &title, channel.slice.clone(), data, prediction, &config.samples)?;
        }
        Ok(())
    })
}

fn panel_of_yields(
    area: &Area<'_>,
    title: &str,
    bins: Range<usize>,
    data: &[f64],
    prediction: &Prediction,
    samples: &[String],
) -> Result<()> {
    let total = |bin: usize| prediction.bins[bin];
    let highest = bins.clone().map(|b| (data[b] + data[b].sqrt()).max(total(b).value + total(b).uncertainty));
    let top = 1.3 * highest.fold(1e-9, f64::max);
    let mut chart = drawn(
        ChartBuilder::on(area)
            .caption(title, (FONT, 14))
            .margin(6)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..bins.len() as f64, 0.0..top),
    )?;
    let whole = |x: &f64| if (x - x.round()).abs() < 1e-6 { format!("{x:.0}") } else { String::new() };
    let mut mesh = chart.configure_mesh();
    let mesh = mesh.disable_mesh().x_desc("bin").x_labels(bins.len() + 1).x_label_formatter(&whole);
    drawn(mesh.label_style((FONT, 12)).draw())?;
    let mut floor = vec![0.0; bins.len()];
    for (s, name) in samples.iter().enumerate() {
        let colour = Palette99::pick(s).to_rgba();
        let bars: Vec<_> = bins
            .clone()
            .enumerate()
            .map(|(i, bin)| {
                let low = floor[i];
                floor[i] += prediction.samples[s][bin].value;
                Rectangle::new([(i as f64, low), (i as f64 + 1.0, floor[i])], colour.filled())
            })
            .collect();
        drawn(chart.draw_series(bars))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 10, y + 4)], colour.filled()));
    }
    drawn(chart.draw_series(bins.clone().enumerate().map(|(i, bin)| {
        let (at, error) = (total(bin).value, total(bin).uncertainty);
        Rectangle::new([(i as f64, at - error), (i as f64 + 1.0, at + error)], BLACK.mix(0.3).filled())
    })))?;
    drawn(chart.draw_series(bins.enumerate().flat_map(|(i, bin)| {
        let (x, n) = (i as f64 + 0.5, data[bin]);
        let ends = [(x, n - n.sqrt()), (x, n + n.sqrt())];
        [PathElement::new(ends, BLACK).into_dyn(), Circle::new((x, n), 3, BLACK.filled()).into_dyn()]
    })))?;
    drawn(
        chart
            .configure_series_labels()
            .label_font((FONT, 11))
            .background_style(WHITE.mix(0.8))
            .position(SeriesLabelPosition::UpperRight)
            .draw(),
    )
}
