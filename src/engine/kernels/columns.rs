//! Disjoint parts of one buffer for several threads.

#![expect(
    unsafe_code,
    reason = "parts of a matrix by columns cannot be written as slices"
)]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most parts a buffer is split into.
pub const MAX_PARTS: usize = 64;

/// A matrix `[rows, width]`, its columns shared out to threads. Each part can be taken once.
pub struct Split<'a, T> {
    base: *mut T,
    n_rows: usize,
    width: usize,
    n_parts: usize,
    shares: Shares<'a>,
    taken: AtomicU64,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: parts do not overlap and each is handed out once, so sharing this shares no element.
unsafe impl<T: Send> Sync for Split<'_, T> {}

/// How columns are shared out.
enum Shares<'a> {
    /// Evenly, in multiples of so many columns.
    Even(usize),
    /// Part i holds the columns from edge i up to edge i + 1.
    At(&'a [usize]),
}

/// Some columns of a matrix, all rows of them.
pub struct Columns<'a, T> {
    base: *mut T,
    n_rows: usize,
    width: usize,
    range: Range<usize>,
    buffer: PhantomData<&'a mut [T]>,
}

/// Columns of part `part` of `n_parts`, in multiples of `granule` but for the last.
fn share(width: usize, n_parts: usize, granule: usize, part: usize) -> Range<usize> {
    let granules = width.div_ceil(granule);
    let edge = |part: usize| (granules * part / n_parts * granule).min(width);
    edge(part)..edge(part + 1)
}

impl<'a, T> Split<'a, T> {
    /// Shares out `buffer`, `[rows, width]`, in multiples of `granule` columns.
    ///
    /// # Panics
    /// When the rows are not whole, or there are more than 64 parts.
    pub fn new(buffer: &'a mut [T], width: usize, n_parts: usize, granule: usize) -> Self {
        Self::with(buffer, width, n_parts, Shares::Even(granule))
    }

    /// Shares out `buffer`, `[rows, width]`: part i gets the columns from `edges[i]` up to
    /// `edges[i + 1]`.
    ///
    /// # Panics
    /// When the rows are not whole, there are more than 64 parts, or the edges do not ascend from
    /// 0 to `width`.
    pub fn at(buffer: &'a mut [T], width: usize, edges: &'a [usize]) -> Self {
        assert!(
            edges.first() == Some(&0) && edges.last() == Some(&width) && edges.is_sorted(),
            "edges cover the columns"
        );
        Self::with(buffer, width, edges.len() - 1, Shares::At(edges))
    }

    fn with(buffer: &'a mut [T], width: usize, n_parts: usize, shares: Shares<'a>) -> Self {
        assert!(
            width > 0 && buffer.len().is_multiple_of(width),
            "rows are whole"
        );
        assert!(
            (1..=MAX_PARTS).contains(&n_parts),
            "parts are counted in one word"
        );
        Self {
            base: buffer.as_mut_ptr(),
            n_rows: buffer.len() / width,
            width,
            n_parts,
            shares,
            taken: AtomicU64::new(0),
            buffer: PhantomData,
        }
    }

    /// The columns of one part.
    ///
    /// # Panics
    /// When the part was taken before or does not exist.
    pub fn take(&self, part: usize) -> Columns<'a, T> {
        assert!(part < self.n_parts, "the buffer has {} parts", self.n_parts);
        let bit = 1 << part;
        let before = self.taken.fetch_or(bit, Ordering::Relaxed);
        assert!(before & bit == 0, "part {part} was taken before");
        Columns {
            base: self.base,
            n_rows: self.n_rows,
            width: self.width,
            range: match self.shares {
                Shares::Even(granule) => share(self.width, self.n_parts, granule, part),
                Shares::At(edges) => edges[part]..edges[part + 1],
            },
            buffer: PhantomData,
        }
    }
}

impl<'a, T> Columns<'a, T> {
    /// All columns of `buffer`, `[rows, width]`.
    ///
    /// # Panics
    /// When the rows are not whole.
    pub fn of(buffer: &'a mut [T], width: usize) -> Self {
        Split::new(buffer, width, 1, width).take(0)
    }

    /// Which columns of the matrix these are.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// These columns of one row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.n_rows, "the matrix has {} rows", self.n_rows);
        // SAFETY: row and columns lie inside the buffer, which is borrowed for 'a; no other part
        // holds these columns, and this part is borrowed mutably.
        unsafe {
            let start = self.base.add(row * self.width + self.range.start);
            std::slice::from_raw_parts_mut(start, self.range.len())
        }
    }

    /// The columns of a matrix of one row, for as long as the buffer is borrowed.
    ///
    /// # Panics
    /// When the matrix has another number of rows.
    pub fn into_row(self) -> &'a mut [T] {
        assert!(self.n_rows == 1, "the matrix has one row");
        // SAFETY: as in `row`; `self` is consumed, so nothing else can reach these columns.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(self.range.start), self.range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_column_once() {
        for (width, n_parts, granule) in [(10, 3, 1), (7, 2, 2), (1, 4, 2), (640, 2, 2), (5, 8, 4)]
        {
            let mut next = 0;
            for part in 0..n_parts {
                let range = share(width, n_parts, granule, part);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, width);
        }
    }

    #[test]
    fn parts_write_their_own_columns() {
        let mut buffer = vec![0; 2 * 5];
        let split = Split::new(&mut buffer, 5, 2, 2);
        for part in 0..2 {
            let mut columns = split.take(part);
            for row in 0..2 {
                columns.row(row).fill(part + 1);
            }
        }
        assert_eq!(buffer, [1, 1, 2, 2, 2, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn parts_can_have_given_edges() {
        let mut buffer = vec![0; 2 * 5];
        let split = Split::at(&mut buffer, 5, &[0, 1, 1, 5]);
        for part in 0..3 {
            let mut columns = split.take(part);
            for row in 0..2 {
                columns.row(row).fill(part + 1);
            }
        }
        assert_eq!(buffer, [1, 3, 3, 3, 3, 1, 3, 3, 3, 3]);
    }

    #[test]
    fn edges_must_cover_the_columns() {
        for edges in [&[0, 3][..], &[1, 5], &[0, 4, 3, 5], &[0], &[]] {
            let caught = std::panic::catch_unwind(|| {
                Split::at(&mut [0; 5], 5, edges);
            });
            assert!(caught.is_err(), "{edges:?}");
        }
    }

    #[test]
    #[should_panic(expected = "part 1 was taken before")]
    fn a_part_is_taken_once() {
        let mut buffer = [0; 4];
        let split = Split::new(&mut buffer, 4, 2, 1);
        split.take(1);
        split.take(1);
    }
}
