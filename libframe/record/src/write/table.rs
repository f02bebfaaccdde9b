//! Records that are no samples, as groups of equally long columns.

use anyhow::Result;
use libframe::schema::Dtype;

use super::column::{Column, Making};
use super::press::Press;
use crate::h5::{Group, Type};
use crate::layout::table;

/// Rows in a chunk, and bytes in one of payloads.
const CHUNK: u64 = 256;
const PAYLOAD_CHUNK: u64 = 16 << 10;

/// One field of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    I32(i32),
    I64(i64),
    U64(u64),
    F64(f64),
    /// In a column of this width.
    Text(usize, &'a str),
}

impl Cell<'_> {
    fn kind(&self) -> Type {
        match self {
            Cell::I32(_) => Type::Number(Dtype::I32),
            Cell::I64(_) => Type::Number(Dtype::I64),
            Cell::U64(_) => Type::Number(Dtype::U64),
            Cell::F64(_) => Type::Number(Dtype::F64),
            Cell::Text(width, _) => Type::Text(*width),
        }
    }

    fn put(&self, column: &mut Column, press: &mut Press) -> Result<()> {
        match self {
            Cell::I32(n) => column.push(&n.to_le_bytes(), press),
            Cell::I64(n) => column.push(&n.to_le_bytes(), press),
            Cell::U64(n) => column.push(&n.to_le_bytes(), press),
            Cell::F64(n) => column.push(&n.to_le_bytes(), press),
            Cell::Text(width, text) => column.push(&padded(text, *width), press),
        }
    }
}

/// A text cut at a character, and filled up with zeros.
pub(crate) fn padded(text: &str, width: usize) -> Vec<u8> {
    let mut end = text.len().min(width);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = text.as_bytes()[..end].to_vec();
    bytes.resize(width, 0);
    bytes
}

/// A group of equally long columns, and the payloads they were made of.
pub(crate) struct Table {
    columns: Vec<Column>,
    payload: Column,
    payload_end: Column,
}

impl Table {
    /// A new one. `like` is a row, whose fields tell the columns' types.
    pub(crate) fn create(
        at: &Group,
        name: &str,
        like: &[(&str, Cell<'_>)],
        making: Making,
    ) -> Result<Table> {
        let group = at.create(name)?;
        let column = |name: &str, kind: Type| {
            Column::create(&group, name, (kind, &[]), CHUNK, making.numbers(kind))
        };
        let columns = like.iter().map(|(name, cell)| column(name, cell.kind()));
        let bytes = Type::Number(Dtype::U8);
        let coding = making.numbers(bytes);
        Ok(Table {
            columns: columns.collect::<Result<_>>()?,
            payload_end: column(table::PAYLOAD_END, Type::Number(Dtype::U64))?,
            payload: Column::create(
                &group,
                table::PAYLOAD,
                (bytes, &[]),
                PAYLOAD_CHUNK,
                coding,
            )?,
        })
    }

    /// One that has rows already.
    pub(crate) fn reopen(
        at: &Group,
        name: &str,
        like: &[(&str, Cell<'_>)],
        making: Making,
    ) -> Result<Table> {
        let group = at.open(name)?;
        let column = |name: &str, kind: Type| {
            Column::reopen(&group, name, kind.size(), making.numbers(kind))
        };
        let columns = like.iter().map(|(name, cell)| column(name, cell.kind()));
        Ok(Table {
            columns: columns.collect::<Result<_>>()?,
            payload_end: column(table::PAYLOAD_END, Type::Number(Dtype::U64))?,
            payload: column(table::PAYLOAD, Type::Number(Dtype::U8))?,
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.payload_end.rows()
    }

    /// Adds a row.
    pub(crate) fn push(
        &mut self,
        row: &[(&str, Cell<'_>)],
        payload: &[u8],
        press: &mut Press,
    ) -> Result<()> {
        for (column, (_, cell)) in self.columns.iter_mut().zip(row) {
            cell.put(column, press)?;
        }
        if !payload.is_empty() {
            self.payload.push(payload, press)?;
        }
        Cell::U64(self.payload.rows()).put(&mut self.payload_end, press)
    }

    /// Hands over the last chunks as they are now.
    pub(crate) fn settle(&mut self, press: &mut Press) -> Result<()> {
        let all =
            self.columns.iter_mut().chain([&mut self.payload, &mut self.payload_end]);
        all.into_iter().try_for_each(|column| column.settle(press))
    }
}
