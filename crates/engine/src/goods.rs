//! What nodes are given beside their slices: contents of files and templates, brought once and by hash.

use ideal_api::{Bytes, Verb};
use ideal_core::slice::Slice;

use crate::outside::Outside;

/// How much of a content goes in one order: well below what an agent reads of one.
const PART: usize = 3 << 20;

/// The hashes of all contents that a slice names.
pub(crate) fn contents_of(slice: &Slice) -> Vec<String> {
    let files = slice.recipes.iter().flat_map(|used| used.files.values());
    let files = files.chain(slice.plugins.values()).map(|file| file.hash.clone());
    files.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// A content, or why it cannot be had.
pub(crate) fn content(outside: &Outside, hash: &str) -> Result<Vec<u8>, String> {
    match outside.goods.content(hash) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(format!("the content {hash} is not among the files of this project")),
        Err(error) => Err(format!("a file of a recipe cannot be read: {error}")),
    }
}

/// The orders that bring a content.
pub(crate) fn parts<'c>(hash: &'c str, content: &'c [u8]) -> impl Iterator<Item = Verb> + 'c {
    let size = content.len() as u64;
    let part = move |offset: usize, part: &[u8]| Verb::Store {
        hash: hash.to_owned(),
        size,
        offset: offset as u64,
        part: Bytes(part.to_vec()),
    };
    // An empty content is one empty part.
    let empty = content.is_empty().then(|| part(0, &[]));
    let parts = content.chunks(PART).enumerate().map(move |(i, chunk)| part(i * PART, chunk));
    empty.into_iter().chain(parts)
}
