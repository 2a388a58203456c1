use std::alloc::{GlobalAlloc, Layout, System};

use tikv_jemallocator::Jemalloc;

/// From this size on memory is the system's: buffers of cells and rows, for which a daemon sets the system's thresholds.
const LARGE_BYTES: usize = 32 << 10;

/// Small objects by jemalloc, large ones by the system.
///
/// A request of a master is some seventy small objects, part of which another thread frees than the one that took them.
/// With the system's allocator those two threads wait for each other. Buffers go back to the system's as soon as they are
/// free, and do not stay with the process.
pub(crate) struct Allocator;

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BYTES
}

// SAFETY: which of the two has an object follows from its layout alone, so each gets back what it gave, and both keep the
// promises of the trait.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that both ask for.
        unsafe { if is_large(layout) { System.alloc(layout) } else { Jemalloc.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { if is_large(layout) { System.alloc_zeroed(layout) } else { Jemalloc.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: as above, and the layout is the one that it was taken with.
        unsafe { if is_large(layout) { System.dealloc(object, layout) } else { Jemalloc.dealloc(object, layout) } }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this size is valid with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        unsafe {
            match (is_large(layout), is_large(wanted)) {
                (true, true) => System.realloc(object, layout, size),
                (false, false) => Jemalloc.realloc(object, layout, size),
                (true, false) | (false, true) => self.move_over(object, layout, wanted),
            }
        }
    }
}

impl Allocator {
    /// What `realloc` does where an object goes from one to the other.
    #[allow(unsafe_code)]
    unsafe fn move_over(&self, object: *mut u8, layout: Layout, wanted: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of `realloc`; the two objects are different ones, and both have as many
        // bytes as are copied.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(object, layout.size().min(wanted.size()));
                self.dealloc(object, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LARGE_BYTES;

    fn pattern(length: usize) -> impl Iterator<Item = u8> {
        (0..length).map(|at| u8::try_from(at % 251).unwrap())
    }

    /// The program's tests have its allocator.
    #[test]
    fn a_buffer_keeps_its_bytes_while_it_grows_large_and_shrinks_again() {
        let mut buffer: Vec<u8> = Vec::with_capacity(1);
        for length in [1, 100, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, 8 * LARGE_BYTES] {
            buffer.extend(pattern(length).skip(buffer.len()));
            buffer.shrink_to_fit();
            assert!(buffer.iter().copied().eq(pattern(length)), "{length} bytes");
        }
        for length in [2 * LARGE_BYTES, LARGE_BYTES, LARGE_BYTES - 1, 7] {
            buffer.truncate(length);
            buffer.shrink_to_fit();
            assert!(buffer.iter().copied().eq(pattern(length)), "{length} bytes");
        }
    }

    #[test]
    fn objects_of_any_size_are_aligned_and_zeroed_as_asked() {
        #[repr(align(4096))]
        #[derive(Clone)]
        struct Page([u8; 4096]);

        for pages in [1, LARGE_BYTES / 4096 - 1, LARGE_BYTES / 4096, 40] {
            let aligned = vec![Page([7; 4096]); pages];
            assert!(aligned.iter().all(|page| std::ptr::from_ref(page).addr() % 4096 == 0 && page.0 == [7; 4096]));
            let zeroed = vec![0_u8; pages * 4096];
            assert!(zeroed.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn what_one_thread_takes_another_gives_back() {
        let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
        let freeing = std::thread::spawn(move || receiver.into_iter().map(|buffer| buffer.len()).sum::<usize>());
        let lengths = (0..2000).map(|number| number * 97 % (2 * LARGE_BYTES));
        let sent: usize = lengths.clone().sum();
        lengths.for_each(|length| sender.send(pattern(length).collect()).unwrap());
        drop(sender);
        assert_eq!(freeing.join().unwrap(), sent);
    }
}
