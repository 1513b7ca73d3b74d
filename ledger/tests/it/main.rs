//! The log formats against other people's vectors, other implementations and stock tools.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod oracles;
#[cfg(test)]
mod stock_tools;
#[cfg(test)]
mod tiles;
#[cfg(test)]
mod vectors;

/// Numbered leaves, the same in every test.
#[cfg(test)]
fn leaves(count: u32) -> Vec<ledger::Hash> {
    (0..count).map(|number| ledger::leaf_hash(&number.to_be_bytes())).collect()
}

/// A leaf number as a place in a slice.
#[cfg(test)]
fn place(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
