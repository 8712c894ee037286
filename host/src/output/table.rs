//! A table of text whose columns are as wide as their widest cell.

use crate::text::escape;

/// Rows below a header. Cells are escaped when they are added.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these columns; one whose name begins with `>` is aligned to the right.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        let header = columns
            .iter()
            .map(|c| c.trim_start_matches('>').to_owned())
            .collect();
        Self {
            rows: vec![header],
            right: columns.iter().map(|c| c.starts_with('>')).collect(),
        }
    }

    /// Adds a row.
    pub fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        self.rows
            .push(cells.iter().map(|c| escape(c.as_ref()).into_owned()).collect());
    }

    /// The text, a line for each row, without spaces at the end of a line.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.right.len();
        let width = |i: usize| {
            self.rows
                .iter()
                .filter_map(|r| r.get(i))
                .map(|c| cells(c))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let pad = " ".repeat(width.saturating_sub(cells(cell)));
                let parts = if *right {
                    [pad.as_str(), cell]
                } else {
                    [cell, pad.as_str()]
                };
                parts.iter().for_each(|part| line.push_str(part));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns of a terminal that a text takes, near enough for a table.
fn cells(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_cells_escaped() {
        let mut table = Table::new(&[">ID", "NAME"]);
        table.row(&["7", "a\u{7}b"]);
        table.row(&["123", "ção"]);
        assert_eq!(table.render(), " ID  NAME\n  7  a\\x07b\n123  ção\n");
    }
}
