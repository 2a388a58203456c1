//! Intel's library of the same kind (ISA-L), as the distribution has it, loaded when it is there.

use std::ffi::{CStr, c_int, c_uchar, c_void};

use cairn_codec::{Coder, Layout};

/// What Debian's package libisal2 installs.
const LIBRARY: &CStr = c"libisal.so.2";
/// Bytes of its tables for each factor.
const TABLE_BYTES: usize = 32;

/// `void ec_init_tables(int k, int rows, unsigned char *a, unsigned char *gftbls)`
type InitTables = unsafe extern "C" fn(c_int, c_int, *mut c_uchar, *mut c_uchar);
/// `void ec_encode_data(int len, int k, int rows, unsigned char *gftbls, unsigned char **data, unsigned char **coding)`
type EncodeData = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_uchar, *mut *mut c_uchar, *mut *mut c_uchar);

/// Its encoding by the factors of one of our layouts, so that both make the same code cells.
pub(crate) struct Isal {
    encode_data: EncodeData,
    tables: Vec<u8>,
    data: usize,
    code: usize,
}

impl Isal {
    /// `None` where it is not installed.
    pub(crate) fn load(coder: &Coder) -> Option<Self> {
        let (init_tables, encode_data) = (symbol(c"ec_init_tables")?, symbol(c"ec_encode_data")?);
        // SAFETY: the functions of these names have had these types since version 2.0 of the library, whose name is
        // that of its interface, and it is never unloaded.
        #[allow(unsafe_code)]
        let (init_tables, encode_data) = unsafe {
            (
                std::mem::transmute::<*mut c_void, InitTables>(init_tables),
                std::mem::transmute::<*mut c_void, EncodeData>(encode_data),
            )
        };
        let (data, code) = (coder.layout().data(), coder.layout().code());
        let mut factors = factors(coder);
        let mut tables = vec![0; TABLE_BYTES * data * code];
        // SAFETY: it reads M x N factors and writes 32 bytes for each, and both buffers have as many.
        #[allow(unsafe_code)]
        unsafe {
            init_tables(narrow(data), narrow(code), factors.as_mut_ptr(), tables.as_mut_ptr());
        }
        Some(Self { encode_data, tables, data, code })
    }

    /// Fills the code cells of a full row.
    pub(crate) fn encode(&mut self, data: &[&[u8]], code: &mut [&mut [u8]]) {
        let length = data.first().map_or(0, |cell| cell.len());
        assert!(data.len() == self.data && code.len() == self.code, "as many cells as the tables are for");
        let lengths = data.iter().map(|cell| cell.len()).chain(code.iter().map(|cell| cell.len()));
        assert!(lengths.into_iter().all(|cell| cell == length), "a full row");
        let mut data: Vec<*mut c_uchar> = data.iter().map(|cell| cell.as_ptr().cast_mut()).collect();
        let mut code: Vec<*mut c_uchar> = code.iter_mut().map(|cell| cell.as_mut_ptr()).collect();
        let (tables, sizes) = (self.tables.as_mut_ptr(), [length, self.data, self.code].map(narrow));
        // SAFETY: it reads N cells and the tables and writes M cells, each of `length` bytes and all checked above; the
        // data cells are mutable only in the C type.
        #[allow(unsafe_code)]
        unsafe {
            (self.encode_data)(sizes[0], sizes[1], sizes[2], tables, data.as_mut_ptr(), code.as_mut_ptr());
        }
    }
}

/// The address of a function of the library, which stays loaded.
fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: both names end with a zero; loading runs what the distribution's library does at its start, and no more.
    #[allow(unsafe_code)]
    let address = unsafe {
        let library = libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return None;
        }
        libc::dlsym(library, name.as_ptr())
    };
    (!address.is_null()).then_some(address)
}

/// How much of each data cell goes into each code cell: what N cells of N bytes, each with a single one, are coded to.
fn factors(coder: &Coder) -> Vec<u8> {
    let layout: &Layout = coder.layout();
    let unit = |chunk: usize| (0..layout.data()).map(|place| u8::from(place == chunk)).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = (0..layout.data()).map(unit).collect();
    let mut factors = vec![0; layout.code() * layout.data()];
    let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<&mut [u8]> = factors.chunks_exact_mut(layout.data()).collect();
    coder.encode(&inputs, &mut outputs);
    factors
}

fn narrow(size: usize) -> c_int {
    c_int::try_from(size).expect("cells have at most 4 MiB")
}
