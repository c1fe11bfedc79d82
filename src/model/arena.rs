//! Memory for weights, tables and caches.
//!
//! Anonymous memory in 2-MiB-aligned blocks, advised to huge pages before it is touched: weights
//! on 4-KiB pages stream up to 1.4 times slower, and their speed depends on where the pages
//! happen to lie. Freed blocks go back to the system at once, which an allocator does not promise.

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
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Size and alignment of a huge page.
pub const HUGE_PAGE: usize = 2 << 20;

/// Alignment of every slab: one cache line, one AVX-512 register.
pub const ALIGNMENT: usize = 64;

/// What is said of lengths whose bytes cannot be counted.
const TOO_LONG: &str = "a slab fits the address space";

fn bytes_of<T>(len: usize) -> usize {
    len.checked_mul(size_of::<T>()).expect(TOO_LONG)
}

/// Start and length in bytes of every mapping of this process that is large enough for a huge page.
static LARGE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Address ranges of this process's arenas of at least [`HUGE_PAGE`] bytes, in order of address.
pub fn large_regions() -> Vec<Range<usize>> {
    let regions = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One mapping; unmapped when the last slab in it is dropped.
struct Mapping {
    /// What the system gave, for giving it back.
    base: NonNull<c_void>,
    mapped: usize,
    /// First usable byte.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is owned by this value and reached through slabs only, which do not overlap.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is reached through a shared mapping itself.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize) -> Self {
        assert!(len > 0, "a mapping holds bytes");
        let is_large = len >= HUGE_PAGE;
        let slack = if is_large { HUGE_PAGE } else { 0 };
        let mapped = len + slack;
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
        let base = base.unwrap_or_else(|error| panic!("no memory for {len} bytes: {error}"));
        let base = NonNull::new(base).expect("a mapping is never at address 0");
        let shift = if is_large {
            base.as_ptr().align_offset(HUGE_PAGE)
        } else {
            0
        };
        // SAFETY: `shift` is below HUGE_PAGE, the slack mapped for it.
        let start = unsafe { base.cast::<u8>().add(shift) };
        if is_large {
            // A kernel without huge pages refuses; the memory is as good, only slower.
            // SAFETY: the range lies inside the fresh mapping; the advice changes no content.
            let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxHugepage) };
            LARGE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(start.as_ptr().addr(), len);
        }
        Self {
            base,
            mapped,
            start,
            len,
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len >= HUGE_PAGE {
            LARGE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.start.as_ptr().addr());
        }
        // SAFETY: the range was mapped by `new` and no slab refers to it any more.
        let _ = unsafe { munmap(self.base.as_ptr(), self.mapped) };
    }
}

/// A block of memory that hands out slabs from its beginning to its end.
pub struct Arena {
    mapping: Arc<Mapping>,
    used: usize,
}

impl Arena {
    /// A block of `bytes` bytes, all zero; the system gives the pages as they are touched.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn new(bytes: usize) -> Self {
        Self {
            mapping: Arc::new(Mapping::new(bytes.max(1))),
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
            end <= self.mapping.len.next_multiple_of(ALIGNMENT)
                && start + bytes_of::<T>(len) <= self.mapping.len,
            "the arena holds {} bytes, {end} were taken",
            self.mapping.len
        );
        self.used = end;
        Slab {
            mapping: Arc::clone(&self.mapping),
            start,
            len,
            values: PhantomData,
        }
    }
}

/// Values in an arena, owned like a boxed slice.
pub struct Slab<T> {
    mapping: Arc<Mapping>,
    /// Offset in bytes.
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
            slice::from_raw_parts(self.mapping.start.add(self.start).cast().as_ptr(), self.len)
        }
    }
}

impl<T: Plain> DerefMut for Slab<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the slab is borrowed mutably, and no other slab overlaps it.
        unsafe {
            slice::from_raw_parts_mut(self.mapping.start.add(self.start).cast().as_ptr(), self.len)
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
    fn large_arenas_are_listed_while_they_live() {
        let small = Slab::<u8>::zeroed(HUGE_PAGE - 1);
        let large = Slab::<u8>::zeroed(HUGE_PAGE + 1);
        let start = |slab: &Slab<u8>| slab.as_ptr().addr();
        let listed = |start| large_regions().iter().any(|region| region.start == start);
        assert!(listed(start(&large)) && !listed(start(&small)));
        let region = large_regions()
            .into_iter()
            .find(|region| region.start == start(&large));
        assert_eq!(region.map(|region| region.len()), Some(HUGE_PAGE + 1));
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
