//! A window as text that fits its place.

use std::fmt::Write as _;

use super::{
    format::{clip, percent, rate, seconds},
    screen::{Size, Style},
    window::{Requests, Row, Service, Window},
};

/// Lines above and below the rows: two of header, the titles, one of footer, the cursor's own.
const FRAME: usize = 6;
/// Between two columns.
const GAP: usize = 2;
const LONGEST_NAME: usize = 44;
const LONGEST_VERSION: usize = 20;
/// From this share of failed requests on a service is in trouble, below it is a matter of attention.
const ALARMING: f64 = 0.05;

/// A column. Those with the highest `rank` go first when the place is narrow.
struct Column {
    title: &'static str,
    right: bool,
    rank: u8,
}

const COLUMNS: [Column; 12] = [
    Column { title: "SERVICE", right: false, rank: 0 },
    Column { title: "INST", right: true, rank: 5 },
    Column { title: "VERSION", right: false, rank: 6 },
    Column { title: "REQ/S", right: true, rank: 0 },
    Column { title: "ERR%", right: true, rank: 0 },
    Column { title: "P50", right: true, rank: 4 },
    Column { title: "P95", right: true, rank: 7 },
    Column { title: "P99", right: true, rank: 1 },
    Column { title: "SYSCALL/S", right: true, rank: 2 },
    Column { title: "SYSERR/S", right: true, rank: 3 },
    Column { title: "RETRANS/S", right: true, rank: 3 },
    Column { title: "TOP ERRNO", right: false, rank: 8 },
];
const CELLS: usize = COLUMNS.len();

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Normal,
    Quiet,
    Attention,
    Alarm,
}

struct Cell {
    text: String,
    tone: Tone,
}

/// The whole frame, lines ended.
pub(super) fn draw(window: &Window, host: &str, size: Size, style: Style) -> String {
    let seconds = window.length.as_secs_f64().max(1e-3);
    let mut rows: Vec<_> = window.services.iter().collect();
    rows.sort_by(|(a, row), (b, other)| {
        activity(other).total_cmp(&activity(row)).then_with(|| a.cmp(b))
    });
    let all = rows.len();
    rows.truncate(size.rows.map_or(all, |rows| rows.saturating_sub(FRAME).max(1)));
    let cells: Vec<_> = rows.iter().map(|(service, row)| cells(service, row, seconds)).collect();
    let columns = fit(&cells, size.columns);

    let mut out = String::new();
    header(&mut out, window, host, size, style);
    let titles = columns.iter().map(|(at, width)| {
        let column = &COLUMNS[*at];
        let cell = Cell { text: column.title.to_owned(), tone: Tone::Quiet };
        pad(&cell, *width, column.right, style)
    });
    line(&mut out, titles);
    for cells in &cells {
        let shown = columns.iter().filter_map(|(at, width)| {
            Some(pad(cells.get(*at)?, *width, COLUMNS[*at].right, style))
        });
        line(&mut out, shown);
    }
    if all == 0 {
        out.push_str("no service has done anything yet\n");
    }
    let mut notes = Vec::new();
    if all > rows.len() {
        notes.push(format!("not shown: {} more rows", all - rows.len()));
    }
    if window.hidden > 0 {
        notes.push(format!("not shown: {} idle executables", window.hidden));
    }
    if rows.iter().any(|(service, _)| service.shown().is_err()) {
        notes.push("[executable] of no known service".to_owned());
    }
    if rows.iter().any(|(_, row)| sends_only(row)) {
        notes.push("→ requests that the service sends; it serves none".to_owned());
    }
    if !notes.is_empty() {
        let text = clip(&notes.join("; "), size.columns.unwrap_or(usize::MAX));
        let _ = writeln!(out, "{}", paint(&text, Tone::Quiet, style));
    }
    out.push('\n');
    out
}

fn header(out: &mut String, window: &Window, host: &str, size: Size, style: Style) {
    let clock = window.at.0 / 1_000_000_000 % 86_400;
    let (hours, minutes, seconds) = (clock / 3600, clock / 60 % 60, clock % 60);
    let length = window.length.as_secs_f64();
    let services = &window.services;
    let executables = services.keys().filter(|service| service.shown().is_err()).count();
    let known = services.len() - executables;
    let unit = if known == 1 { "service" } else { "services" };
    let more = match executables {
        0 => String::new(),
        1 => ", 1 executable".to_owned(),
        many => format!(", {many} executables"),
    };
    let text = format!(
        "shipwake {}  {host}  {hours:02}:{minutes:02}:{seconds:02} UTC  last {length:.0} s  {known} {unit}{more}",
        env!("CARGO_PKG_VERSION")
    );
    let width = size.columns.unwrap_or(usize::MAX);
    let _ = writeln!(out, "{}", bold(&clip(&text, width), style));
    if window.lost.is_empty() {
        let _ = writeln!(out, "{}", paint("nothing lost", Tone::Quiet, style));
    } else {
        let mut lost: Vec<_> = window.lost.iter().collect();
        lost.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let causes: Vec<_> =
            lost.iter().map(|(cause, count)| format!("{cause} {count:.0}")).collect();
        let total: f64 = window.lost.values().sum();
        let text = format!("lost since start: {total:.0} ({})", causes.join(", "));
        let _ = writeln!(out, "{}", paint(&clip(&text, width), Tone::Alarm, style));
    }
}

/// Services that answer requests first, then by how busy their processes are.
fn activity(row: &Row) -> f64 {
    (row.served.count + row.sent.count) * 1e6 + row.syscalls
}

fn sends_only(row: &Row) -> bool {
    row.served.count == 0.0 && row.sent.count > 0.0
}

fn cells(service: &Service, row: &Row, window: f64) -> [Cell; CELLS] {
    let name = match service.shown() {
        Ok(name) => Cell { text: clip(&name, LONGEST_NAME), tone: Tone::Normal },
        Err(executable) => {
            let text = format!("[{}]", clip(executable, LONGEST_NAME - 2));
            Cell { text, tone: Tone::Quiet }
        }
    };
    let sends_only = sends_only(row);
    let requests = if sends_only { &row.sent } else { &row.served };
    let arrow = if sends_only { "→" } else { "" };
    let count = |value: f64| Cell { text: rate(value / window), tone: some(value, Tone::Normal) };
    let quantile =
        |q| Cell { text: quantile(requests, q), tone: some(requests.count, Tone::Normal) };
    let nothing = || Cell { text: "-".to_owned(), tone: Tone::Quiet };
    let (rate_cell, errors) = if requests.count > 0.0 {
        let share = requests.failed / requests.count;
        let tone = if share >= ALARMING { Tone::Alarm } else { some(share, Tone::Attention) };
        let text = format!("{arrow}{}", rate(requests.count / window));
        let errors = Cell { text: percent(requests.failed, requests.count), tone };
        (Cell { text, tone: Tone::Normal }, errors)
    } else {
        (nothing(), nothing())
    };
    let errnos: f64 = row.errors.values().sum();
    let top = row.errors.iter().filter(|(_, n)| **n > 0.0).max_by(|(_, a), (_, b)| a.total_cmp(b));
    let top = top.map(|(errno, count)| format!("{} {}%", clip(errno, 16), percent(*count, errnos)));
    let plain = |text| Cell { text, tone: Tone::Normal };
    [
        name,
        plain(row.instances.len().max(1).to_string()),
        plain(versions(row)),
        rate_cell,
        errors,
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        count(row.syscalls),
        count(errnos),
        Cell { text: rate(row.retransmits / window), tone: some(row.retransmits, Tone::Attention) },
        top.map_or_else(nothing, plain),
    ]
}

/// Several versions at once are a deploy under way, or a canary.
fn versions(row: &Row) -> String {
    let mut versions = row.versions.iter();
    match (versions.next_back(), versions.len()) {
        (None, _) => "-".to_owned(),
        (Some(version), 0) => clip(version, LONGEST_VERSION),
        (Some(version), more) => format!("{} +{more}", clip(version, LONGEST_VERSION - 4)),
    }
}

fn quantile(requests: &Requests, q: f64) -> String {
    let value = requests.durations.as_ref().and_then(|(value, bounds)| value.quantile(q, bounds));
    value.filter(|_| requests.count > 0.0).map_or_else(|| "-".to_owned(), seconds)
}

fn some(value: f64, tone: Tone) -> Tone {
    if value > 0.0 { tone } else { Tone::Quiet }
}

/// Columns that fit, in order, with their widths.
fn fit(cells: &[[Cell; CELLS]], room: Option<usize>) -> Vec<(usize, usize)> {
    let mut columns: Vec<_> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let widest = cells.iter().map(|cells| cells[at].text.chars().count()).max();
            (at, widest.unwrap_or(0).max(column.title.len()))
        })
        .collect();
    let Some(room) = room else { return columns };
    let total = |columns: &[(usize, usize)]| {
        columns.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(&columns) > room {
        let last = columns.iter().enumerate().max_by_key(|(_, (at, _))| COLUMNS[*at].rank);
        match last {
            Some((place, (at, _))) if COLUMNS[*at].rank > 0 => drop(columns.remove(place)),
            _ => break,
        }
    }
    let over = total(&columns).saturating_sub(room);
    if let Some((_, width)) = columns.first_mut() {
        *width = width.saturating_sub(over).max(1);
    }
    columns
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    let text = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
    out.push_str(text.trim_end());
    out.push('\n');
}

fn pad(cell: &Cell, width: usize, right: bool, style: Style) -> String {
    let text = clip(&cell.text, width);
    let space = " ".repeat(width.saturating_sub(text.chars().count()));
    let text = paint(&text, cell.tone, style);
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

fn paint(text: &str, tone: Tone, style: Style) -> String {
    let code = match (style, tone) {
        (Style::Plain, _) | (Style::Colour, Tone::Normal) => return text.to_owned(),
        (Style::Colour, Tone::Quiet) => 2,
        (Style::Colour, Tone::Attention) => 33,
        (Style::Colour, Tone::Alarm) => 31,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn bold(text: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Colour => format!("\x1b[1m{text}\x1b[0m"),
    }
}
