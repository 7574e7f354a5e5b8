//! Reports for people, as aligned tables, and for programs.

pub(crate) mod answer;
pub(crate) mod checkup;
pub(crate) mod clone;
#[cfg(unix)]
pub(crate) mod dev;
pub(crate) mod drift;
pub(crate) mod lint;
pub(crate) mod migration;
pub(crate) mod people;
pub(crate) mod pooler;
pub(crate) mod table_move;
pub(crate) mod tenant;
pub(crate) mod toolchain;

use comfy_table::{Table, presets};

/// An aligned table: columns parted by spaces, no lines, nothing wrapped.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = plain();
    table.set_header(header.map(str::to_uppercase));
    table.add_rows(rows);
    finished(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn finished(table: &Table) -> String {
    // Every cell begins with a space.
    let lines = table.lines().map(|line| {
        let line = line.trim_end();
        line.strip_prefix(' ').unwrap_or(line).to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `1 row`, `2 rows`.
fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
