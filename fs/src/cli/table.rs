use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};

/// A table without borders, for people.
pub(crate) fn plain_table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(titles.iter().map(Cell::new));
    table
}

/// A cell with a number.
pub(crate) fn number(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}
