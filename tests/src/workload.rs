//! Files to copy: the same bytes for the same seed, and never compressible.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use sha2::{Digest, Sha256};

const PIECE_BYTES: usize = 1 << 20;
/// Largest file of a tree.
const TREE_FILE_LIMIT_BYTES: u64 = 5_000_000;

/// SHA-256 of a file.
pub type Sum = [u8; 32];

/// A file that was written, and what its readers must see.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its name, which is also the key it gets.
    pub name: String,
    /// Where the original is.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sum: Sum,
}

/// `length` bytes that follow from `seed`.
#[must_use]
pub fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Writes a file of random bytes.
///
/// # Panics
/// When the folder cannot be written.
#[must_use]
pub fn random_file(folder: &Path, name: &str, size_bytes: u64, seed: u64) -> SourceFile {
    let path = folder.join(name);
    let sum = write_random(&path, size_bytes, seed)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    SourceFile { name: name.to_owned(), path, sum }
}

fn write_random(path: &Path, size_bytes: u64, seed: u64) -> io::Result<Sum> {
    let mut generator = SmallRng::seed_from_u64(seed);
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = size_bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        generator.fill_bytes(&mut piece[..length]);
        hash.update(&piece[..length]);
        file.write_all(&piece[..length])?;
        left -= length as u64;
    }
    file.flush()?;
    Ok(hash.finalize().into())
}

/// Writes `count` files of 0 B to 5 MB into a new folder: an empty one, the sizes around every boundary of
/// the default layout, and then sizes spread evenly over the orders of magnitude, as real trees have them.
///
/// # Panics
/// When the folder cannot be written.
#[must_use]
pub fn tree(folder: &Path, count: usize, seed: u64) -> Vec<SourceFile> {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    let mut generator = SmallRng::seed_from_u64(seed);
    (0..count)
        .map(|index| {
            let size = boundary_size(index).unwrap_or_else(|| size_of_any_magnitude(&mut generator));
            random_file(folder, &format!("tree-{index:05}.bin"), size, seed + index as u64)
        })
        .collect()
}

fn boundary_size(index: usize) -> Option<u64> {
    const CELL: u64 = 64 << 10;
    const ROW: u64 = 4 * CELL;
    const SIZES: [u64; 12] =
        [0, 1, 4095, 4096, CELL - 1, CELL, CELL + 1, ROW - 1, ROW, ROW + 1, 3 * ROW + 17, TREE_FILE_LIMIT_BYTES];
    SIZES.get(index).copied()
}

fn size_of_any_magnitude(generator: &mut SmallRng) -> u64 {
    let magnitude = generator.random_range(0..7_u32);
    let limit = 10_u64.pow(magnitude + 1).min(TREE_FILE_LIMIT_BYTES);
    generator.random_range(0..=limit)
}

/// SHA-256 of a file, read from its start to its end.
pub fn sum_of_file(path: &Path) -> io::Result<Sum> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&piece[..length]),
        }
    }
}

/// SHA-256 of bytes in memory.
#[must_use]
pub fn sum_of_bytes(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

/// A sum as `sha256sum` prints it.
#[must_use]
pub fn hexadecimal(sum: &Sum) -> String {
    sum.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::{hexadecimal, random_bytes, random_file, sum_of_bytes, sum_of_file, tree};
    use std::fs;

    #[test]
    fn a_file_has_the_sum_that_its_maker_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = random_file(folder.path(), "file", 3 * 1024 * 1024 + 5, 7);
        assert_eq!(sum_of_file(&file.path).unwrap(), file.sum);
        assert_eq!(sum_of_bytes(&fs::read(&file.path).unwrap()), file.sum);
        assert_eq!(fs::metadata(&file.path).unwrap().len(), 3 * 1024 * 1024 + 5);
    }

    #[test]
    fn a_seed_fixes_the_bytes() {
        assert_eq!(random_bytes(1, 100), random_bytes(1, 100));
        assert_ne!(random_bytes(1, 100), random_bytes(2, 100));
    }

    #[test]
    fn a_tree_has_files_from_empty_to_five_megabytes() {
        let folder = tempfile::tempdir().unwrap();
        let files = tree(folder.path(), 40, 1);
        let sizes: Vec<u64> = files.iter().map(|file| fs::metadata(&file.path).unwrap().len()).collect();
        assert_eq!(sizes.len(), 40);
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&0), Some(&5_000_000)));
    }

    #[test]
    fn a_sum_prints_as_sha256sum_does() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hexadecimal(&sum_of_bytes(b"")), empty);
    }
}
