//! Memory for weights, tables and caches.
//!
//! Anonymous memory in 2-MiB-aligned blocks, advised to huge pages before it is touched: weights
//! on 4-KiB pages stream up to 1.4 times slower, and their speed depends on where the pages
//! happen to lie. Freed blocks go back to the system at once, which an allocator does not promise.
//!
//! Arenas below 2 MiB share huge pages, for the second reason: a small model on 4-KiB pages decodes
//! up to a fifth slower in one process than in the next, because its pages happen to compete for
//! the same lines of the cache.

#![expect(
    unsafe_code,
    reason = "memory from the system with an alignment and an advice no safe interface gives"
)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Size and alignment of a huge page.
pub const HUGE_PAGE: usize = 2 << 20;

/// Alignment of every slab: one cache line, one AVX-512 register.
pub const ALIGNMENT: usize = 64;

/// Begins what a process says that ends because there is no memory for an arena.
pub const NO_MEMORY: &str = "no memory for";

/// What is said of lengths whose bytes cannot be counted.
const TOO_LONG: &str = "a slab fits the address space";

fn bytes_of<T>(len: usize) -> usize {
    len.checked_mul(size_of::<T>()).expect(TOO_LONG)
}

/// Start and length in bytes of every mapping of this process.
static LARGE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Address ranges that this process's arenas lie in, in order of address; small arenas share one.
pub fn large_regions() -> Vec<Range<usize>> {
    let regions = locked(&LARGE);
    regions
        .iter()
        .map(|(start, len)| *start..start + len)
        .collect()
}

/// Types whose values may be any bits, zeros included.
pub trait Plain: Copy + Send + Sync + private::Sealed + 'static {}

mod private {
    pub trait Sealed {}
}

macro_rules! plain {
    ($($t:ty)*) => { $(impl private::Sealed for $t {} impl Plain for $t {})* };
}
plain!(u8 i8 u16 i16 u32 i32 u64 f32);

/// One mapping on its own huge pages; unmapped when the last block of it is dropped.
struct Mapping {
    /// What the system gave, for giving it back.
    base: NonNull<c_void>,
    mapped: usize,
    /// First usable byte.
    start: NonNull<u8>,
}

// SAFETY: the memory is owned by this value and reached through slabs only, which do not overlap.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is reached through a shared mapping itself.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// * `len`: at least [`HUGE_PAGE`]
    fn new(len: usize) -> Self {
        let mapped = len.checked_add(HUGE_PAGE).expect(TOO_LONG);
        // SAFETY: a fresh anonymous mapping at a place of the system's choice touches no memory
        // that anything else uses.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        // As an allocator does: there is no way on without memory.
        let base = base.unwrap_or_else(|error| panic!("{NO_MEMORY} {len} bytes: {error}"));
        let base = NonNull::new(base).expect("a mapping is never at address 0");
        let shift = base.as_ptr().align_offset(HUGE_PAGE);
        // SAFETY: `shift` is below HUGE_PAGE, the slack mapped for it.
        let start = unsafe { base.cast::<u8>().add(shift) };
        // A kernel without huge pages refuses; the memory is as good, only slower.
        // SAFETY: the range lies inside the fresh mapping; the advice changes no content.
        let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxHugepage) };
        locked(&LARGE).insert(start.as_ptr().addr(), len);
        Self {
            base,
            mapped,
            start,
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        locked(&LARGE).remove(&self.start.as_ptr().addr());
        // SAFETY: the range was mapped by `new` and no slab refers to it any more.
        let _ = unsafe { munmap(self.base.as_ptr(), self.mapped) };
    }
}

/// A huge page that small blocks share.
struct SharedPage {
    mapping: Arc<Mapping>,
    /// Length of each free range by its start, in bytes; none touches another.
    holes: BTreeMap<usize, usize>,
    /// Bytes from here on were never given out: they are still zero.
    fresh_from: usize,
}

/// Pages with at least one block in them.
static SHARED: Mutex<Vec<SharedPage>> = Mutex::new(Vec::new());

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedPage {
    fn new() -> Self {
        Self {
            mapping: Arc::new(Mapping::new(HUGE_PAGE)),
            holes: BTreeMap::from([(0, HUGE_PAGE)]),
            fresh_from: 0,
        }
    }

    /// The start of a free range of `len` bytes, taken from the first hole that is large enough.
    fn take(&mut self, len: usize) -> Option<usize> {
        let (&start, &size) = self.holes.iter().find(|(_, size)| **size >= len)?;
        self.holes.remove(&start);
        if size > len {
            self.holes.insert(start + len, size - len);
        }
        Some(start)
    }

    /// Gives a range back, joined with the holes beside it.
    fn release(&mut self, mut start: usize, mut len: usize) {
        if let Some(after) = self.holes.remove(&(start + len)) {
            len += after;
        }
        if let Some((&before, &size)) = self.holes.range(..start).next_back()
            && before + size == start
        {
            self.holes.remove(&before);
            start = before;
            len += size;
        }
        self.holes.insert(start, len);
    }

    fn is_empty(&self) -> bool {
        self.holes.get(&0) == Some(&HUGE_PAGE)
    }
}

/// A range of a mapping with one owner, all zero at first.
struct Block {
    mapping: Arc<Mapping>,
    /// Offset in bytes.
    start: usize,
    len: usize,
}

impl Block {
    /// * `len`: bytes, a multiple of [`ALIGNMENT`], not 0
    fn new(len: usize) -> Self {
        if len >= HUGE_PAGE {
            return Self {
                mapping: Arc::new(Mapping::new(len)),
                start: 0,
                len,
            };
        }
        let mut pages = locked(&SHARED);
        let found = pages
            .iter_mut()
            .enumerate()
            .find_map(|(place, page)| Some((place, page.take(len)?)));
        let (place, start) = found.unwrap_or_else(|| {
            let mut page = SharedPage::new();
            let start = page.take(len).expect("a block is smaller than a page");
            pages.push(page);
            (pages.len() - 1, start)
        });
        let page = &mut pages[place];
        let used = page.fresh_from.saturating_sub(start).min(len);
        page.fresh_from = page.fresh_from.max(start + len);
        let block = Self {
            mapping: Arc::clone(&page.mapping),
            start,
            len,
        };
        // SAFETY: the range was a hole, so it lies inside the mapping and nothing else refers to it.
        unsafe { block.mapping.start.add(start).write_bytes(0, used) };
        block
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.len >= HUGE_PAGE {
            return;
        }
        let mut pages = locked(&SHARED);
        let place = pages
            .iter()
            .position(|page| Arc::ptr_eq(&page.mapping, &self.mapping));
        if let Some(place) = place {
            pages[place].release(self.start, self.len);
            if pages[place].is_empty() {
                pages.swap_remove(place);
            }
        }
    }
}

/// A block of memory that hands out slabs from its beginning to its end.
pub struct Arena {
    block: Arc<Block>,
    used: usize,
}

impl Arena {
    /// A block of `bytes` bytes, all zero; the system gives the pages as they are touched.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn new(bytes: usize) -> Self {
        let len = bytes.max(1).checked_next_multiple_of(ALIGNMENT);
        Self {
            block: Arc::new(Block::new(len.expect(TOO_LONG))),
            used: 0,
        }
    }

    /// Bytes a slab of `len` values takes.
    ///
    /// # Panics
    /// When no memory could hold them.
    pub fn room<T: Plain>(len: usize) -> usize {
        bytes_of::<T>(len)
            .checked_next_multiple_of(ALIGNMENT)
            .expect(TOO_LONG)
    }

    /// The next `len` values, all zero, on a [`ALIGNMENT`] boundary.
    ///
    /// # Panics
    /// When the arena was made too small.
    pub fn take<T: Plain>(&mut self, len: usize) -> Slab<T> {
        let start = self.used;
        // Lengths that wrap around would pass the check below, also without overflow checks.
        let end = start.checked_add(Self::room::<T>(len)).expect(TOO_LONG);
        assert!(
            end <= self.block.len,
            "the arena holds {} bytes, {end} were taken",
            self.block.len
        );
        self.used = end;
        Slab {
            block: Arc::clone(&self.block),
            start: self.block.start + start,
            len,
            values: PhantomData,
        }
    }
}

/// Values in an arena, owned like a boxed slice.
pub struct Slab<T> {
    /// Keeps the range the values lie in.
    block: Arc<Block>,
    /// Offset in the block's mapping, in bytes.
    start: usize,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Plain> Slab<T> {
    /// `len` zeros in a mapping of their own, which goes back to the system when they are dropped.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn zeroed(len: usize) -> Self {
        Arena::new(bytes_of::<T>(len)).take(len)
    }

    /// A copy in a mapping of its own.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn copied(values: &[T]) -> Self {
        let mut slab = Self::zeroed(values.len());
        slab.copy_from_slice(values);
        slab
    }
}

impl<T: Plain> Deref for Slab<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `take` checked that the range lies inside the mapping and gave it to this slab
        // alone; it is aligned for every plain type, and its bytes are zeros or values written.
        unsafe {
            slice::from_raw_parts(
                self.block.mapping.start.add(self.start).cast().as_ptr(),
                self.len,
            )
        }
    }
}

impl<T: Plain> DerefMut for Slab<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the slab is borrowed mutably, and no other slab overlaps it.
        unsafe {
            slice::from_raw_parts_mut(
                self.block.mapping.start.add(self.start).cast().as_ptr(),
                self.len,
            )
        }
    }
}

impl<T: Plain> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Self::copied(self)
    }
}

impl<T: Plain> From<Vec<T>> for Slab<T> {
    fn from(values: Vec<T>) -> Self {
        Self::copied(&values)
    }
}

impl<T: Plain + PartialEq> PartialEq for Slab<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({} values)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_of_one_arena_are_apart_aligned_and_zero() {
        let mut arena = Arena::new(Arena::room::<u8>(3) + Arena::room::<f32>(100));
        let mut bytes = arena.take::<u8>(3);
        let mut floats = arena.take::<f32>(100);
        assert!(bytes.iter().all(|b| *b == 0) && floats.iter().all(|x| x.to_bits() == 0));
        bytes.fill(255);
        floats.fill(1.5);
        assert_eq!(*bytes, [255; 3]);
        assert!(floats.as_ptr().addr().is_multiple_of(ALIGNMENT));
        drop(arena);
        assert_eq!(floats[99].to_bits(), 1.5f32.to_bits());
    }

    #[test]
    fn large_arenas_begin_on_a_huge_page() {
        let slab = Slab::<u8>::zeroed(3 * HUGE_PAGE + 5);
        assert!(slab.as_ptr().addr().is_multiple_of(HUGE_PAGE));
        assert_eq!(slab.len(), 3 * HUGE_PAGE + 5);
    }

    #[test]
    fn arenas_are_listed_while_they_live() {
        let listed = |slab: &Slab<u8>| {
            let at = slab.as_ptr().addr();
            let regions = large_regions();
            regions.into_iter().find(|region| region.contains(&at))
        };
        let small = Slab::<u8>::zeroed(HUGE_PAGE - 1);
        let large = Slab::<u8>::zeroed(HUGE_PAGE + 1);
        assert_eq!(listed(&small).map(|region| region.len()), Some(HUGE_PAGE));
        let region = listed(&large).unwrap();
        assert_eq!(region.start, large.as_ptr().addr());
        assert_eq!(region.len(), HUGE_PAGE + ALIGNMENT);
        drop(large);
        assert!(!large_regions().contains(&region));
    }

    #[test]
    fn a_shared_page_gives_ranges_that_do_not_overlap_and_takes_them_back() {
        let mut page = SharedPage::new();
        let [a, b, c] = [64, 128, 64].map(|len| page.take(len).unwrap());
        assert_eq!([a, b, c], [0, 64, 192]);
        page.release(b, 128);
        assert_eq!(page.take(192), Some(256), "the hole of 128 is too small");
        assert_eq!(page.take(128), Some(b));
        assert_eq!(page.take(HUGE_PAGE), None);
        for (start, len) in [(a, 64), (256, 192), (c, 64), (b, 128)] {
            assert!(!page.is_empty());
            page.release(start, len);
        }
        assert!(page.is_empty());
        assert_eq!(page.holes.len(), 1);
    }

    #[test]
    fn memory_given_out_again_is_zero() {
        // Other tests share the pages, so that the same place comes back now and then only.
        let mut seen = Vec::new();
        for _ in 0..200 {
            let mut slab = Slab::<u8>::zeroed(4096);
            assert!(slab.iter().all(|byte| *byte == 0));
            slab.fill(0xff);
            seen.push(slab.as_ptr().addr());
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() < 200, "no place came back");
    }

    #[test]
    fn threads_share_pages_without_sharing_memory() {
        std::thread::scope(|scope| {
            for mark in 1..=4u8 {
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for round in 0..300 {
                        let mut slab = Slab::<u8>::zeroed(1 + (round * 977) % 30_000);
                        assert!(slab.iter().all(|byte| *byte == 0));
                        slab.fill(mark);
                        kept.push(slab);
                        if round % 3 == 2 {
                            let gone = kept.swap_remove(round % kept.len());
                            assert!(gone.iter().all(|byte| *byte == mark));
                        }
                    }
                    assert!(
                        kept.iter()
                            .all(|slab| slab.iter().all(|byte| *byte == mark))
                    );
                });
            }
        });
    }

    #[test]
    #[should_panic(expected = "the arena holds 64 bytes")]
    fn an_arena_is_not_overdrawn() {
        let mut arena = Arena::new(64);
        arena.take::<u8>(1);
        arena.take::<u8>(1);
    }

    #[test]
    #[should_panic(expected = "a slab fits the address space")]
    fn a_length_whose_bytes_wrap_around_is_refused() {
        Slab::<f32>::zeroed(1 << 62);
    }

    #[test]
    #[should_panic(expected = "a slab fits the address space")]
    fn room_that_wraps_around_is_refused() {
        Arena::new(64).take::<u8>(usize::MAX);
    }

    #[test]
    fn a_copy_is_equal_and_its_own() {
        let slab = Slab::from(vec![1i32, 2, 3]);
        let mut copy = slab.clone();
        assert_eq!(copy, slab);
        copy[0] = 9;
        assert_ne!(copy, slab);
    }

    #[test]
    fn nothing_is_also_a_length() {
        assert!(Slab::<f32>::zeroed(0).is_empty());
    }
}
